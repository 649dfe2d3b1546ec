"""What a schedule sees, against the paper's figures and against trying every path."""

import itertools
import random

import numpy as np
import pytest
import torch
from torch.nn import functional

from configs.schema import ContextConfig
from models.coverage import coverage, hdc_m2, path_counts, path_spread, verdict

SCHEDULES = [  # dilations, field in cells, holes per axis, gcd, HDC's M_2, sigma in cells
    ([1, 1, 2, 4, 8, 1], 35, 0, 1, 1, 7.62),
    ([1, 1, 2, 4, 8, 16, 1], 67, 0, 1, 1, 15.12),
    ([1, 1, 2, 4, 8, 16, 32, 64, 1], 259, 0, 1, 1, 60.35),
    ([1, 1, 1, 1, 1, 1, 1], 15, 0, 1, 1, 2.16),
    ([1, 2, 5], 17, 0, 1, 2, 4.47),
    ([1, 2, 9], 25, 4, 1, 5, 7.57),
    ([2, 4, 8], 29, 14, 2, 4, 7.48),
    ([2, 2, 2], 13, 6, 2, 2, 2.83),
    ([4, 8, 16], 57, 42, 4, 8, 14.97),
]


def random_schedules(count: int) -> list[list[int]]:
    draw = random.Random(0)
    return [[draw.randint(1, 9) for _ in range(draw.randint(1, 6))] for _ in range(count)]


def judged(dilations: list[int], field_px: int = 100, crop_px: tuple[int, int] = (512, 512)) -> list[str]:
    return verdict(ContextConfig(dilations=dilations), field_px=field_px, stride=8, crop_px=crop_px)


@pytest.mark.parametrize(("dilations", "field", "holes", "gcd", "m2", "sigma"), SCHEDULES)
def test_figures_are_the_known_ones(
    dilations: list[int], field: int, holes: int, gcd: int, m2: int, sigma: float
) -> None:
    covered = coverage(dilations)
    assert (covered.field_cells, covered.holes_per_axis, covered.gcd, covered.hdc_m2) == (field, holes, gcd, m2)
    assert round(covered.sigma_cells, 2) == sigma


def test_dense_convolution_of_ones_agrees_for_200_random_schedules() -> None:
    """In the plane: an impulse through 3x3 kernels of ones gives the path counts and, where it stays 0, the holes."""
    for dilations in random_schedules(200):
        covered, reach = coverage(dilations), sum(dilations)
        plane = torch.zeros(1, 1, 2 * reach + 1, 2 * reach + 1, dtype=torch.float64)
        plane[0, 0, reach, reach] = 1
        for dilation in dilations:
            ones = torch.ones(1, 1, 3, 3, dtype=torch.float64)
            plane = functional.conv2d(plane, ones, padding=dilation, dilation=dilation)
        axis = torch.tensor(covered.path_counts, dtype=torch.float64)
        assert torch.equal(plane[0, 0], axis[:, None] * axis[None, :]), dilations
        reached = np.flatnonzero(plane[0, 0, :].any(0).numpy()) - reach
        assert covered.field_cells - len(reached) == covered.holes_per_axis, dilations
        assert set(covered.hole_offsets) == set(range(1, reach + 1)) - set(reached.tolist()), dilations


def test_sums_of_every_path_agree_for_200_random_schedules() -> None:
    """Field, gcd, variance and spread from the list of all 3^n paths; nothing of the convolution is used."""
    for dilations in random_schedules(200):
        covered = coverage(dilations)
        ends = np.array([sum(path) for path in itertools.product(*[(-d, 0, d) for d in dilations])])
        counts = np.bincount(ends - ends.min())
        assert counts.tolist() == covered.path_counts
        assert ends.max() - ends.min() + 1 == covered.field_cells
        assert np.gcd.reduce(ends) == covered.gcd
        assert covered.sigma_cells == pytest.approx(ends.std())  # equal weights: every path weighs the same
        assert covered.path_spread == pytest.approx(counts.std() / counts.mean())


def test_m2_follows_the_published_recursion_for_200_random_schedules() -> None:
    def published(dilations: list[int], layer: int) -> int:
        here = dilations[layer - 1]
        if layer == len(dilations):
            return here
        above = published(dilations, layer + 1)
        return max(above - 2 * here, above - 2 * (above - here), here)

    for dilations in random_schedules(200):
        assert hdc_m2(dilations) == (published(dilations, 2) if len(dilations) > 1 else None)


def test_1_2_4_sees_3_then_7_then_15_cells_and_one_layer_has_no_m2() -> None:
    assert [len(path_counts([1, 2, 4][:depth])) for depth in (1, 2, 3)] == [3, 7, 15]
    assert coverage([3]).hdc_m2 is None and coverage([3]).hole_offsets == [1, 2]


def test_coverage_by_a_single_plain_layer_is_even() -> None:
    assert path_spread(path_counts([1])) == 0
    assert path_spread(path_counts([1, 3, 9])) == 0  # base 3: every cell on exactly one path


def test_path_counts_stay_exact_beyond_floats() -> None:
    assert sum(path_counts([1] * 60)) == 3**60


def test_a_clean_schedule_gets_one_line_and_no_warning() -> None:
    assert judged([1, 1, 2, 4, 8, 16, 1]) == [
        "dilations [1, 1, 2, 4, 8, 16, 1]: all of the 67 x 67 cells of the field reach the centre"
    ]


def test_holes_and_a_common_factor_are_warned_of_and_hdc_is_overruled() -> None:
    holes, factor, overruled = judged([2, 2, 2])
    assert holes.startswith("warning: 6 of 13 cells along each axis never reach the centre (1, 3, 5 to either side)")
    assert holes.endswith("49 of the field's 13 x 13 cells are used, 29%")
    assert factor.startswith("warning: all dilations share the factor 2: the map falls into 2 x 2 grids")
    assert overruled == "HDC's M_2 = 2 is at most 3 and would pass it; the exact support decides"
    assert judged([8, 4, 2, 1])[1:] == ["HDC's M_2 = 5 is above 3 and would refuse it; the exact support has no holes"]


def test_a_field_larger_than_the_crop_and_taps_beyond_the_map_are_warned_of() -> None:
    assert len(judged([1, 2, 4], field_px=512)) == 1
    assert "the field of 513 px is larger than the crop of 512 x 1024 px" in judged([1, 2], 513, (512, 1024))[1]
    assert len(judged([1] * 20 + [31], crop_px=(256, 512))) == 1
    assert "the outer taps of dilation 32 only" in judged([1] * 20 + [32], crop_px=(256, 512))[1]


def test_taps_reach_the_image_when_all_zeros_are_added_at_the_first_layer() -> None:
    once = ContextConfig(dilations=[1] * 20 + [32], padding="once")
    assert len(verdict(once, field_px=100, stride=8, crop_px=(256, 256))) == 1
