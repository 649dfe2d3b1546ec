"""What a context module hears is measured: one cell at the identity, the whole comb with equal weights."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from configs.schema import ContextConfig
from engine.evaluation.effective_field import Probe, central_gradient, effective_cells, gridding, sigma_cells
from models.context import Context
from models.coverage import coverage

CLASSES = 3


def fresh(dilations: list[int]) -> Context:
    return Context(ContextConfig(dilations=dilations), CLASSES, torch.Generator().manual_seed(0))


def equal_weights(dilations: list[int]) -> nn.Module:
    """Every layer adds up all its taps; on maps of ones no ReLU ever closes."""
    context = fresh(dilations)
    for parameter in context.parameters():
        nn.init.constant_(parameter, 0.0 if parameter.dim() == 1 else 0.01)
    return context


@pytest.mark.parametrize("dilations", [[1], [1, 1, 2, 4, 8, 16, 1], [2, 2, 2]])
def test_at_the_identity_the_effective_field_is_one_cell(dilations: list[int]) -> None:
    gradient_hw = central_gradient(fresh(dilations), torch.randn(4, CLASSES, 16, 20).abs() + 0.1)
    assert effective_cells(gradient_hw) == 1 and sigma_cells(gradient_hw) == 0
    assert np.argwhere(gradient_hw).tolist() == [[8, 10]]


@pytest.mark.parametrize("dilations", [[1], [3], [1, 2], [2, 2, 2], [1, 2, 5]])
def test_with_equal_weights_the_gradient_is_the_path_count_and_its_sigma_the_computed_one(dilations: list[int]) -> None:
    covered = coverage(dilations)
    side = covered.field_cells + 4
    gradient_hw = central_gradient(equal_weights(dilations), torch.ones(2, CLASSES, side, side))
    field_hw = gradient_hw[2:-2, 2:-2]
    paths = np.outer(covered.path_counts, covered.path_counts)
    np.testing.assert_allclose(field_hw / field_hw.max(), paths / paths.max(), atol=1e-6)
    assert gradient_hw.sum() == pytest.approx(field_hw.sum())
    assert sigma_cells(gradient_hw) == pytest.approx(covered.sigma_cells, rel=1e-6)
    num_cells = (paths >= (1 - 0.9545) * paths.max()).sum()
    assert effective_cells(gradient_hw) == pytest.approx(math.sqrt(num_cells))


def test_a_module_that_passes_nothing_hears_nothing() -> None:
    gradient_hw = central_gradient(fresh([1, 2]), -torch.ones(1, CLASSES, 8, 8))
    assert effective_cells(gradient_hw) == 0 and sigma_cells(gradient_hw) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_measuring_leaves_the_module_s_gradients_alone_even_in_inference(dtype: torch.dtype) -> None:
    context = fresh([1, 2])
    probe = Probe(context, [1, 2])
    with torch.inference_mode(), torch.autocast("cpu", enabled=dtype is torch.bfloat16):
        maps = torch.rand(2, CLASSES, 8, 8, dtype=dtype)
        probe(maps, context(maps))
    assert probe.measure().effective_cells == 1
    assert all(parameter.grad is None for parameter in context.parameters())


@pytest.mark.parametrize("period", [2, 4, 8])
def test_gridding_is_one_for_cells_at_random_and_large_where_phases_differ(period: int) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(64, 8, 32, 40, generator=generator)
    assert gridding(noise, period) == pytest.approx(1, abs=0.1)
    pattern = torch.zeros(32, 40)
    pattern[::period, ::period] = 3.0
    cells = (32 // period) * (40 // period)
    assert gridding(noise + pattern, period) == pytest.approx(1 + cells * 3**2 / period**2, rel=0.1)
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(40.0), indexing="ij")
    smooth = torch.sin(rows / 10) + torch.cos(columns / 13)
    assert gridding(smooth.expand(1, 1, -1, -1), period) < 0.5  # type: ignore[operator]


def test_gridding_by_hand() -> None:
    """Two phases an axis, four cells each: means 0, 0, 0 and 4, variance of the means 4, times 4 cells is 16.

    Within the phases -1, -1, 1, 1: variance 4/3.
    """
    within = torch.tensor([[-1.0, 1.0], [-1.0, 1.0]]).repeat_interleave(2, 0).repeat_interleave(2, 1)
    means = torch.tensor([[0.0, 0.0], [0.0, 4.0]]).repeat(2, 2)
    assert gridding((within + means).view(1, 1, 4, 4), 2) == pytest.approx(16 / (4 / 3))


def test_maps_too_small_for_a_period_or_without_spread_have_no_score() -> None:
    assert gridding(torch.randn(1, 2, 15, 40), 8) is None
    assert gridding(torch.zeros(1, 2, 16, 16), 8) is None
    probe = Probe(fresh([1, 16]), [1, 16])
    maps = torch.rand(1, CLASSES, 20, 20)
    probe(maps, maps)
    assert probe.measure().gridding == {}
