"""Whether one schedule is better than another on the same images and seeds, or only luckier."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

NUM_RESAMPLES = 2000
CONFIDENCE = 0.95
ERROR_RATE = 1 - CONFIDENCE  # of a whole page: at most this share of pages call anything real that is not

Counts = NDArray[np.int64]


class Difference(NamedTuple):
    """Of mean IoU, fractions -1..1: first minus second. Interval (95 %) and p (two-sided) are of this pair alone.

    `p` is None where nothing can be said of other seeds; the interval then speaks of other images only.
    """

    mean: float
    low: float
    high: float
    p: float | None


def paired_difference(first_SNKK: Counts, second_SNKK: Counts) -> Difference:
    """Both schedules judged on the same `S` seeds and `N` images, by two standard errors of which the wider counts.

    Over the seeds: Student's t of the S differences. Over images and seeds at once: a bootstrap, in which every
    resample draws both with replacement, sums the confusion matrices of the images, takes the mean IoU for every drawn
    seed, and the mean over those; resamples without a labelled pixel are left out. Few seeds resampled vary too little,
    so the bootstrap alone never decides: with one seed, or seeds that all gave the same difference, p is None.
    """
    assert first_SNKK.shape == second_SNKK.shape, "the same seeds and images are required"
    num_seeds, num_images = first_SNKK.shape[:2]
    generator = np.random.default_rng(0)
    image_counts_RN = generator.multinomial(num_images, np.full(num_images, 1 / num_images), NUM_RESAMPLES)
    seed_counts_RS = generator.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), NUM_RESAMPLES)
    gaps_RS = np.stack(
        [_mean_iou(_summed(image_counts_RN, first_NKK)) - _mean_iou(_summed(image_counts_RN, second_NKK))
         for first_NKK, second_NKK in zip(first_SNKK, second_SNKK, strict=True)], axis=1
    )  # fmt: skip
    resampled_R = (gaps_RS * seed_counts_RS).sum(1) / num_seeds
    over_images = float(np.nanstd(resampled_R, ddof=1))
    gaps = (_mean_iou(first_SNKK.sum(1)) - _mean_iou(second_SNKK.sum(1))).tolist()
    mean = statistics.mean(gaps)
    half = max(_quantile(num_images) * over_images, interval(gaps) or 0.0)
    over_seeds = seeds_p(gaps)
    p = None if over_seeds is None else max(over_seeds, _p(mean, over_images, num_images))
    return Difference(mean, mean - half, mean + half, p)


def seeds_p(gaps: Sequence[float]) -> float | None:
    """Two-sided p of Student's t: could differences of mean 0, normal over the seeds, come out so?

    None where all are the same: one seed, or seeds that changed nothing, do not tell how much others would.
    """
    if len(set(gaps)) < 2:
        return None
    return _p(statistics.mean(gaps), statistics.stdev(gaps) / len(gaps) ** 0.5, len(gaps))


def corrected(differences: Sequence[Difference], num_candidates: int, *, came_first: bool) -> list[float | None]:
    """p for all comparisons of one reference together: at most 5 % of pages hold one below 0.05 by chance.

    Holm's step-down over the comparisons. If the reference was not named beforehand but is one of `num_candidates`,
    every candidate might have been it, so p is multiplied by them, too: Bonferroni over the families of comparisons of
    all candidates. A reference that `came_first` is only ever called better, so half of the two-sided p counts.

    Spreads are not pooled over schedules (Tukey, Dunnett): ours differ fortyfold (0.3 points here, 12.5 there), and so
    spread, twelve equal schedules were called different in a quarter of the simulated sweeps instead of 5 %. Each
    pair keeps its own spread, so few seeds carry only very clear differences: see `needed_errors`.
    """
    p_by_place = {
        place: _sided(difference.mean, difference.p, came_first)
        for place, difference in enumerate(differences)
        if difference.p is not None
    }
    p_values: list[float | None] = [None] * len(differences)
    largest = 0.0
    for rank, place in enumerate(sorted(p_by_place, key=lambda place: p_by_place[place])):
        largest = max(largest, (len(p_by_place) - rank) * num_candidates * p_by_place[place])
        p_values[place] = min(1.0, largest)
    return p_values


def needed_errors(num_seeds: int, num_compared: int, num_candidates: int, *, came_first: bool) -> float:
    """How many standard errors over the seeds the clearest of the differences must reach, to be called real."""
    tail = ERROR_RATE / (num_compared * num_candidates * (1 if came_first else 2))
    return float(student_t.isf(tail, num_seeds - 1))


def interval(values: Sequence[float]) -> float | None:
    """Half the 95 % confidence interval of the mean, by Student's t; None for a single value."""
    if len(values) < 2:
        return None
    return float(_quantile(len(values)) * statistics.stdev(values) / len(values) ** 0.5)


def _sided(mean: float, p: float, came_first: bool) -> float:
    """The two-sided p, or that of the first being better."""
    if not came_first:
        return p
    return p / 2 if mean > 0 else 1 - p / 2


def _quantile(num_values: int) -> float:
    """Standard errors on either side of a mean of so many values, by Student's t."""
    return float(student_t.ppf((1 + CONFIDENCE) / 2, num_values - 1)) if num_values > 1 else 0.0


def _p(mean: float, error: float, num_values: int) -> float:
    """Two-sided, by Student's t."""
    if num_values < 2 or error == 0:
        return float(mean == 0 or num_values < 2)
    return float(2 * student_t.sf(abs(mean) / error, num_values - 1))


def _summed(image_counts_RN: Counts, confusions_NKK: Counts) -> NDArray[np.float64]:
    """The confusion matrix of every resample, (R, K, K)."""
    flat_NL = confusions_NKK.reshape(len(confusions_NKK), -1).astype(np.float64)
    return (image_counts_RN.astype(np.float64) @ flat_NL).reshape(-1, *confusions_NKK.shape[1:])


def _mean_iou(confusions_BKK: NDArray[np.float64] | Counts) -> NDArray[np.float64]:
    """Over the classes that are there or predicted, for every matrix of a batch; NaN where there is none."""
    correct_BK = np.diagonal(confusions_BKK, axis1=1, axis2=2).astype(np.float64)
    union_BK = confusions_BKK.sum(1) + confusions_BKK.sum(2) - correct_BK
    iou_BK = np.divide(correct_BK, union_BK, out=np.zeros_like(correct_BK), where=union_BK > 0)
    num_scored_B = (union_BK > 0).sum(1)
    mean_B: NDArray[np.float64] = np.full(len(iou_BK), np.nan)
    np.divide(iou_BK.sum(1), num_scored_B, out=mean_B, where=num_scored_B > 0)
    return mean_B
