"""Cross-entropy: a sum and the weight to divide it by, at the cells or at the pixels."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
from torch.nn import functional

from configs.schema import VOID, LossConfig, LossGrid, WeightRule
from engine.training.losses import MAX_CLASS_WEIGHT, CrossEntropy, class_weights


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


def test_weights_of_two_classes_are_those_worked_out_by_hand() -> None:
    pixels = np.array([64, 36])
    # sqrt: 1/0.8 and 1/0.6, whose mean over the pixels is 0.64/0.8 + 0.36/0.6 = 1.4.
    assert class_weights("sqrt_inverse", pixels) == pytest.approx([1 / (0.8 * 1.4), 1 / (0.6 * 1.4)])
    assert class_weights("inverse", pixels) == pytest.approx([1 / (2 * 0.64), 1 / (2 * 0.36)])
    assert class_weights("none", pixels) == [1, 1]


@pytest.mark.parametrize("rule", get_args(WeightRule))
@pytest.mark.parametrize("pixels", [[1], [10**9, 1], [10**9, 10**5, 3, 1, 0], [5, 0, 5], [0, 7, 10**4]])
def test_the_mean_over_the_pixels_is_1_no_weight_is_above_10_and_rarer_is_never_lighter(
    rule: WeightRule, pixels: list[int]
) -> None:
    weights = np.array(class_weights(rule, np.array(pixels)))
    shares = np.array(pixels) / sum(pixels)
    assert (weights * shares).sum() == pytest.approx(1)
    assert (weights > 0).all() and (weights <= MAX_CLASS_WEIGHT * (1 + 1e-12)).all()
    assert (weights[shares == 0] == 1).all()
    occurring = np.argsort(-shares[shares > 0], kind="stable")
    assert (np.diff(weights[shares > 0][occurring]) >= 0).all()
    below = weights[(shares > 0) & (weights < MAX_CLASS_WEIGHT)]
    exponent = {"none": 0, "sqrt_inverse": 0.5, "inverse": 1}[rule]
    law = below * shares[(shares > 0) & (weights < MAX_CLASS_WEIGHT)] ** exponent
    assert law == pytest.approx(law[0])  # what is not capped keeps its ratio


def test_a_class_on_a_millionth_of_the_pixels_is_capped() -> None:
    assert class_weights("inverse", np.array([10**6, 1]))[1] == MAX_CLASS_WEIGHT
