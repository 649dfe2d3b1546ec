"""Cross-entropy: a sum and the weight to divide it by, at the cells or at the pixels."""

import math
from typing import get_args

import pytest
import torch
from torch.nn import functional

from configs.schema import VOID, LossConfig, LossGrid
from engine.training.losses import CrossEntropy


def test_even_guesses_cost_ln_c() -> None:
    loss = CrossEntropy(LossConfig(), stride=8, node_offset_px=0)
    targets = loss.targets(torch.randint(0, 7, (2, 32, 32), dtype=torch.uint8))
    total = loss.total(torch.zeros(2, 7, 4, 4), targets)
    assert float(total) / loss.weight(targets) == pytest.approx(math.log(7))


def test_parts_with_uneven_void_add_up_to_the_whole() -> None:
    loss = CrossEntropy(LossConfig(), stride=8, node_offset_px=0)
    labels = torch.randint(0, 5, (4, 64, 64), dtype=torch.uint8)
    labels[0, :60] = VOID
    labels[1] = VOID
    logits = torch.randn(4, 5, 8, 8)
    targets = loss.targets(labels)
    whole = functional.cross_entropy(logits, targets, ignore_index=VOID)
    parts = sum(loss.total(logits[i : i + 1], targets[i : i + 1]) for i in range(4))
    weight = sum(loss.weight(targets[i : i + 1]) for i in range(4))
    torch.testing.assert_close(parts / weight, whole)


@pytest.mark.parametrize("grid", get_args(LossGrid))
def test_nothing_but_void_costs_nothing_and_has_a_finite_gradient(grid: LossGrid) -> None:
    loss = CrossEntropy(LossConfig(grid=grid), stride=8, node_offset_px=0)
    targets = loss.targets(torch.full((1, 16, 16), VOID, dtype=torch.uint8))
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    total = loss.total(logits, targets)
    total.backward()
    assert float(total.detach()) == 0 and loss.weight(targets) == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))  # type: ignore[arg-type]


def test_class_weights_are_those_of_cross_entropy() -> None:
    weights = [0.5, 1.0, 4.0]
    loss = CrossEntropy(LossConfig(class_weights=weights), stride=8, node_offset_px=0)
    targets = loss.targets(torch.randint(0, 3, (2, 32, 32), dtype=torch.uint8))
    targets[0, 0, 0] = VOID
    logits = torch.randn(2, 3, 4, 4)
    reference = functional.cross_entropy(logits, targets, torch.tensor(weights), ignore_index=VOID)
    torch.testing.assert_close(loss.total(logits, targets) / loss.weight(targets), reference)


def test_pixel_grid_compares_at_every_pixel() -> None:
    loss = CrossEntropy(LossConfig(grid="pixels"), stride=8, node_offset_px=0)
    labels = torch.randint(0, 3, (1, 16, 24), dtype=torch.uint8)
    targets = loss.targets(labels)
    assert targets.shape == (1, 16, 24) and loss.weight(targets) == 16 * 24
    logits = torch.randn(1, 3, 1, 1)
    reference = functional.cross_entropy(logits.expand(-1, -1, 16, 24), targets)
    torch.testing.assert_close(loss.total(logits, targets) / loss.weight(targets), reference)
