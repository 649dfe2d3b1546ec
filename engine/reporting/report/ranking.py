"""Which validation images to look at, from the confusion matrices of every image."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]  # (N, K, K), rows are the truth


class RankedImage(NamedTuple):
    """`share` is of the labelled pixels, 0..1: wrong ones, or at least so many that two runs answer differently."""

    position: int
    share: float


def worst_images(counts_NKK: Counts, count: int) -> list[RankedImage]:
    """The images with the largest shares of wrong pixels, the worst first."""
    wrong_N = counts_NKK.sum((1, 2)) - counts_NKK.diagonal(axis1=1, axis2=2).sum(1)
    return _ranked(wrong_N, counts_NKK, count)


def disputed_images(counts_of_runs: Sequence[Counts], count: int) -> list[RankedImage]:
    """The images on which any two runs differ most, the most disputed first; all runs were scored on these images.

    Two runs that answer d pixels of an image differently have matrices that lie at most 2 d apart, entry by entry
    (each such pixel leaves one entry and enters another), so half that distance is a lower bound of d.
    """
    pairs = itertools.combinations(counts_of_runs, 2)
    least_N = np.max([least_differing(first, second) for first, second in pairs], axis=0)
    return _ranked(least_N, counts_of_runs[0], count)


def least_differing(first_NKK: Counts, second_NKK: Counts) -> NDArray[np.int64]:
    """Of every image, at least so many pixels have different answers."""
    distance_N: NDArray[np.int64] = np.abs(first_NKK - second_NKK).sum((1, 2)) // 2
    return distance_N


def are_of_same_images(counts_of_runs: Sequence[Counts]) -> bool:
    """Whether the runs' images have the same numbers of pixels of every class, one by one."""
    truths = [counts_NKK.sum(2) for counts_NKK in counts_of_runs]
    return all(truth_NK.shape == truths[0].shape and (truth_NK == truths[0]).all() for truth_NK in truths)


def _ranked(pixels_N: NDArray[np.int64], counts_NKK: Counts, count: int) -> list[RankedImage]:
    """By share of the labelled pixels; images without any are left out."""
    share_N = pixels_N / np.maximum(1, counts_NKK.sum((1, 2)))
    order = np.argsort(-share_N, kind="stable")[:count]
    return [RankedImage(int(position), float(share_N[position])) for position in order if share_N[position] > 0]
