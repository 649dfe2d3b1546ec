"""Whether one schedule is better than another on the same images and seeds, or only luckier."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t
from torch import Tensor

NUM_RESAMPLES = 2000
CONFIDENCE = 0.95

Counts = NDArray[np.int64]


class Difference(NamedTuple):
    """Of mean IoU, fractions -1..1: first minus second, and the bounds of its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def is_real(self) -> bool:
        return self.low > 0 or self.high < 0


def save_confusions(path: Path, confusions_NKK: Tensor) -> None:
    """Of every validation image, at the stage's best weights; replaces what was there, whole."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        np.save(file, confusions_NKK.numpy())
    temporary.replace(path)


def paired_difference(first_SNKK: Counts, second_SNKK: Counts) -> Difference:
    """Bootstrap over images and seeds at once: both schedules are always judged on the same draw of both.

    `S` seeds, the same in both, and `N` images. Every resample draws seeds and images with replacement, sums the
    confusion matrices of the images, takes the mean IoU for every drawn seed, and the mean over those. Few seeds
    resampled vary too little, so the interval is widened to Student's over the seeds' differences where that is wider.
    With one seed it says nothing about other seeds.
    """
    assert first_SNKK.shape == second_SNKK.shape, "the same seeds and images are required"
    num_seeds, num_images = first_SNKK.shape[:2]
    generator = np.random.default_rng(0)
    image_counts_RN = generator.multinomial(num_images, np.full(num_images, 1 / num_images), NUM_RESAMPLES)
    seed_counts_RS = generator.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), NUM_RESAMPLES)
    gaps_RS = np.stack(
        [_mean_iou(_summed(image_counts_RN, one)) - _mean_iou(_summed(image_counts_RN, other))
         for one, other in zip(first_SNKK, second_SNKK, strict=True)], axis=1
    )  # fmt: skip
    resampled_R = (gaps_RS * seed_counts_RS).sum(1) / num_seeds
    low, high = np.quantile(resampled_R, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    gaps = (_mean_iou(first_SNKK.sum(1)) - _mean_iou(second_SNKK.sum(1))).tolist()
    mean, half = statistics.mean(gaps), interval(gaps) or 0.0
    return Difference(mean, min(float(low), mean - half), max(float(high), mean + half))


def interval(values: Sequence[float]) -> float | None:
    """Half the 95 % confidence interval of the mean, by Student's t; None for a single value."""
    if len(values) < 2:
        return None
    quantile = float(student_t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    return float(quantile * statistics.stdev(values) / len(values) ** 0.5)


def _summed(image_counts_RN: Counts, confusions_NKK: Counts) -> NDArray[np.float64]:
    """The confusion matrix of every resample, (R, K, K)."""
    flat_NL = confusions_NKK.reshape(len(confusions_NKK), -1).astype(np.float64)
    return (image_counts_RN.astype(np.float64) @ flat_NL).reshape(-1, *confusions_NKK.shape[1:])


def _mean_iou(confusions_BKK: NDArray[np.float64] | Counts) -> NDArray[np.float64]:
    """Over the classes that are there or predicted, for every matrix of a batch."""
    correct_BK = np.diagonal(confusions_BKK, axis1=1, axis2=2).astype(np.float64)
    union_BK = confusions_BKK.sum(1) + confusions_BKK.sum(2) - correct_BK
    iou_BK = np.divide(correct_BK, union_BK, out=np.full_like(correct_BK, np.nan), where=union_BK > 0)
    mean_B: NDArray[np.float64] = np.nanmean(iou_BK, axis=1)
    return mean_B
