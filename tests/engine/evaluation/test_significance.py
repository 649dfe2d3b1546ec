"""A difference is called real when it survives other draws of the images and seeds, and the choice among many."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, studentized_range, ttest_1samp, ttest_rel

from engine.evaluation.significance import (
    Counts,
    Difference,
    corrected,
    needed_errors,
    paired_difference,
    seeds_p,
)

NUM_SWEEPS = 400
MOST_FALSE = int(binom.ppf(0.999, NUM_SWEEPS, 0.05))  # 35: a right method with 5 % exceeds it once in a thousand tests
EQUAL_SPREADS = [1.0] * 12
UNEQUAL_SPREADS = [12.5, 5.0, 2.0, *[0.3] * 9]


def judged(accuracies: Sequence[float], num_images: int = 60, seed: int = 0, luck: float = 0.1) -> Counts:
    """Two classes, 100 pixels of each in every image; accuracies of the seeds, the luck of an image shared by all."""
    generator = np.random.default_rng(seed)
    shared_N = np.random.default_rng(99).normal(0, luck, num_images)
    found = []
    for accuracy in accuracies:
        right_N = np.clip(accuracy + shared_N + generator.normal(0, 0.01, num_images), 0, 1)
        right_N = np.round(100 * right_N).astype(np.int64)
        found.append(np.stack([np.array([[r, 100 - r], [100 - r, r]]) for r in right_N]))
    return np.stack(found)


def is_real(difference: Difference) -> bool:
    """As the only comparison of a page, its first named beforehand."""
    (p,) = corrected([difference], 1, came_first=False)
    return p is not None and p <= 0.05


def over_seeds(gaps: Sequence[float]) -> Difference:
    """As if there were endless images: the p of a page is never below it."""
    mean = float(np.mean(gaps))
    return Difference(mean, mean, mean, seeds_p(list(gaps)))


def calls(scores_MS: NDArray[np.float64], first: int, *, came_first: bool) -> list[bool]:
    """Which others differ really, by the schedules' scores of every seed."""
    gaps = [over_seeds(scores_MS[first] - other) for row, other in enumerate(scores_MS) if row != first]
    found = corrected(gaps, len(scores_MS) if came_first else 1, came_first=came_first)
    return [p is not None and p <= 0.05 for p in found]


@pytest.mark.parametrize("spreads", [EQUAL_SPREADS, UNEQUAL_SPREADS], ids=["equal", "unequal"])
@pytest.mark.parametrize("came_first", [True, False], ids=["chosen", "named"])
def test_of_twelve_equal_schedules_with_three_seeds_a_page_in_twenty_at_most_calls_one_different(
    spreads: list[float], came_first: bool
) -> None:
    generator = np.random.default_rng(0)
    num_false = 0
    for _ in range(NUM_SWEEPS):
        of_seeds = generator.normal(0, 3, 3)  # a seed's luck reaches all schedules
        scores_MS = 70 + of_seeds + generator.normal(0, 1, (12, 3)) * np.array(spreads)[:, None]
        first = int(scores_MS.mean(1).argmax()) if came_first else 0
        num_false += any(calls(scores_MS, first, came_first=came_first))
    assert num_false <= MOST_FALSE


def test_pair_by_pair_or_with_pooled_spreads_far_more_pages_would_err() -> None:
    """Why there is a correction, and why it is not Tukey's: more than half of all pages, and a fifth."""
    generator = np.random.default_rng(3)
    pairwise = pooled = 0
    tukey = studentized_range.ppf(0.95, 12, 22)
    for _ in range(NUM_SWEEPS):
        equal_MS = generator.normal(0, 1, (12, 3))
        first = int(equal_MS.mean(1).argmax())
        pairwise += bool((ttest_rel(equal_MS[first], np.delete(equal_MS, first, 0), axis=1).pvalue < 0.05).any())
        unequal_MS = generator.normal(0, 1, (12, 3)) * np.array(UNEQUAL_SPREADS)[:, None]
        rest_MS = unequal_MS - unequal_MS.mean(0) - unequal_MS.mean(1, keepdims=True) + unequal_MS.mean()
        pooled += np.ptp(unequal_MS.mean(1)) > tukey * ((rest_MS**2).sum() / 22 / 3) ** 0.5
    assert pairwise > NUM_SWEEPS / 2 and pooled > NUM_SWEEPS / 5


def test_of_four_equal_schedules_judged_on_images_and_seeds_a_page_in_twenty_at_most_calls_one_different() -> None:
    """The whole way from confusion matrices, with more seeds, where the images weigh more than the seeds."""
    generator = np.random.default_rng(1)
    num_sweeps, num_false = 80, 0
    for _ in range(num_sweeps):
        right_MSN = 70 + generator.normal(0, 4, (4, 6, 1)) + generator.normal(0, 14, (4, 1, 12))
        right_MSN = np.clip(right_MSN, 0, 100).round().astype(np.int64)
        counts = np.stack([[right_MSN, 100 - right_MSN], [100 - right_MSN, right_MSN]])
        counts_MSNKK = np.moveaxis(counts, (0, 1), (-2, -1))
        order = np.argsort(-right_MSN.mean((1, 2)))
        gaps = [paired_difference(counts_MSNKK[order[0]], counts_MSNKK[other]) for other in order[1:]]
        num_false += any(p is not None and p <= 0.05 for p in corrected(gaps, 4, came_first=True))
    assert num_false <= binom.ppf(0.999, num_sweeps, 0.05)


def test_a_clear_and_steady_difference_is_found_with_three_seeds_among_twelve_chosen_ones() -> None:
    """93.9 and 67.0, whose seeds spread by 0.12 and 0.04 (intervals of 0.3 and 0.1): in nine sweeps of ten."""
    generator = np.random.default_rng(2)
    found = 0
    for _ in range(100):
        scores_MS = np.array([93.9] * 5 + [67.0] * 7)[:, None] + generator.normal(
            0, [[0.12]] * 5 + [[0.04]] * 7, (12, 3)
        )
        found += all(calls(scores_MS, int(scores_MS.mean(1).argmax()), came_first=True)[-7:])
    assert found >= 90


def test_a_large_but_unsteady_difference_needs_more_than_three_seeds() -> None:
    """93.3, 93.6, 93.7 and 77.8, 68.9, 69.3: gaps of mean 21.53, 7.1 standard errors, p 0.019 on its own.

    Three seeds carry it alone, not as one of eleven; five seeds of such a spread do.
    """
    gap = over_seeds([93.3 - 77.8, 93.6 - 68.9, 93.7 - 69.3])
    assert gap.p == pytest.approx(0.0191, abs=1e-4) and is_real(gap)
    others = [over_seeds([0.1, -0.2, 0.3])] * 10
    p, *_ = corrected([gap, *others], 12, came_first=True)
    assert p == 1
    five = over_seeds([15.5, 24.7, 24.4, 19.0, 24.0])
    p, *_ = corrected([five, *[over_seeds([0.1, -0.2, 0.3, 0, 0.2])] * 10], 12, came_first=True)
    assert p is not None and p < 0.05


def test_the_correction_by_hand() -> None:
    """Holm: 4 p of the smallest, 3 of the next, never falling. Came first: half of p, times the candidates."""
    gaps = [Difference(0.1, 0.0, 0.2, p) for p in (0.02, 0.001, 0.8, 0.012)]
    assert corrected(gaps, 1, came_first=False) == pytest.approx([0.04, 0.004, 0.8, 0.036])
    assert corrected(gaps, 5, came_first=True) == pytest.approx([0.1, 0.01, 1, 0.09])
    worse = Difference(-0.1, -0.2, 0.0, 0.001)
    assert corrected([worse], 2, came_first=True) == [1] and corrected([worse], 1, came_first=False) == [0.001]
    unknown = Difference(0.1, 0.0, 0.2, None)
    assert (
        corrected([unknown, gaps[0]], 1, came_first=False) == [None, 0.02] and corrected([], 1, came_first=True) == []
    )


def test_so_many_standard_errors_are_needed_as_decide() -> None:
    gaps_of = [over_seeds(steps + np.array([0.9, 1.0, 1.1])) for steps in (0.0, 3.0)]
    errors = [gap.mean / (0.1 / 3**0.5) for gap in gaps_of]
    needed = needed_errors(3, 11, 12, came_first=True)
    assert errors[0] < needed < errors[1]
    others = [Difference(0.0, 0.0, 0.0, 1.0)] * 10
    assert [corrected([gap, *others], 12, came_first=True)[0] <= 0.05 for gap in gaps_of] == [False, True]  # type: ignore[operator]


def test_the_p_over_seeds_is_that_of_the_t_test() -> None:
    gaps = [0.32, 0.10, 0.11]
    assert seeds_p(gaps) == pytest.approx(ttest_1samp(gaps, 0).pvalue)


def test_one_seed_or_seeds_that_change_nothing_never_decide() -> None:
    for accuracies, worse in (([0.9], [0.6]), ([0.9] * 3, [0.6] * 3)):
        first, second = (np.concatenate([judged([one], seed=5) for one in some]) for some in (accuracies, worse))
        gap = paired_difference(first, second)
        assert gap.low > 0.2 and gap.p is None and not is_real(gap)


def test_images_alone_never_decide() -> None:
    """Every image says the same; of the three seeds one does not."""
    gap = paired_difference(judged([0.8, 0.8, 0.7], luck=0), judged([0.7, 0.7, 0.72], seed=2, luck=0))
    assert not is_real(gap) and gap.low < 0 < gap.mean


def test_few_images_count_where_they_are_less_sure_than_the_seeds() -> None:
    steady = [[[90, 10], [10, 90]], [[50, 50], [50, 50]], [[20, 80], [80, 20]]]
    first = np.array([steady, steady, steady]) + np.array([0, 1, 2])[:, None, None, None]
    second = np.roll(np.array([steady, steady, steady]), 1, axis=1)
    second[:, 0] += 1
    gap = paired_difference(first, second)
    assert gap.low < 0 < gap.high and gap.p is not None and gap.p > 0.5


def test_the_same_answers_differ_by_nothing() -> None:
    counts = judged([0.7, 0.71])
    assert paired_difference(counts, counts) == (0, 0, 0, None)


def test_a_small_steady_gain_is_real_because_the_images_are_paired() -> None:
    """Unpaired, the images' own luck (0.1) would hide a gain of 0.02."""
    better, worse = judged([0.72, 0.72, 0.72], seed=1), judged([0.70, 0.70, 0.70], seed=2)
    gap = paired_difference(better, worse)
    assert is_real(gap) and 0 < gap.low < gap.mean < gap.high < 2 * gap.mean
    assert paired_difference(worse, better).mean == pytest.approx(-gap.mean)


def test_a_gain_that_only_one_seed_has_is_not_real() -> None:
    gap = paired_difference(judged([0.80, 0.68, 0.69], seed=1), judged([0.70, 0.70, 0.70], seed=2))
    assert gap.mean > 0 and not is_real(gap)


def test_the_mean_is_that_of_the_whole_set_s_confusion_matrices() -> None:
    """Seed 0: 160 of 200 right, IoU 160 / 240; against 100 of 200, IoU 100 / 300."""
    first = np.array([[[[80, 20], [20, 80]]]])
    second = np.array([[[[50, 50], [50, 50]]]])
    assert paired_difference(first, second).mean == pytest.approx(80 / 120 - 50 / 150)


def test_classes_and_labels_that_a_resample_lacks_are_left_out() -> None:
    counts = np.zeros((1, 5, 3, 3), np.int64)
    counts[0, :, 0, 0] = 10
    counts[0, 0, 2, 1] = 5
    gap = paired_difference(counts, np.roll(counts, 1, axis=1))
    assert np.isfinite(gap[:3]).all() and gap.mean == 0
    mostly_void = np.zeros((1, 3, 2, 2), np.int64)
    mostly_void[0, 0] = [[7, 3], [3, 7]]
    gap = paired_difference(mostly_void, mostly_void[..., ::-1])
    assert np.isfinite(gap[:3]).all() and gap.mean > 0


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Forty draws of two equally good schedules: rarely called different (5 % expected; 15 % allowed)."""
    pairs = [paired_difference(judged([0.7] * 3, seed=2 * n, luck=0.05), judged([0.7] * 3, seed=2 * n + 1, luck=0.05))
             for n in range(40)]  # fmt: skip
    assert sum(is_real(pair) for pair in pairs) <= 6
    assert all(is_real(pair) == (pair.low > 0 or pair.high < 0) for pair in pairs)
