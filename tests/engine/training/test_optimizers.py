"""Learning rates: by step, by group."""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from configs.schema import MomentumForm, OptimizerConfig, OptimizerName, ScheduleConfig
from engine.runs import checkpoint
from engine.training.learning_rate import lr_factor
from engine.training.optimizers import average_weights, averaged, build_optimizer, load_state, set_lr


def test_schedules_at_steps_worked_out_by_hand() -> None:
    step = ScheduleConfig(name="step", every_steps=100, factor=0.1)
    assert [lr_factor(step, at, 1000) for at in (0, 99, 100, 250)] == pytest.approx([1, 1, 0.1, 0.01])
    poly = ScheduleConfig(name="poly", power=0.9)
    assert lr_factor(poly, 0, 200) == 1
    assert lr_factor(poly, 100, 200) == pytest.approx(0.5**0.9)
    assert lr_factor(poly, 199, 200) > 0
    warm = ScheduleConfig(warmup_steps=4)
    assert [lr_factor(warm, at, 10) for at in range(5)] == [0.25, 0.5, 0.75, 1, 1]


@pytest.mark.parametrize("name", get_args(OptimizerName))
def test_biases_learn_twice_as_fast_without_decay_and_the_backbone_at_its_own_rate(name: OptimizerName) -> None:
    frontend = nn.ModuleDict({"conv1_1": nn.Conv2d(3, 4, 3), "fc6": nn.Conv2d(4, 2, 1)})
    model = nn.ModuleDict({"frontend": frontend})
    config = OptimizerConfig(name=name, weight_decay=0.5, bias_lr_factor=2, backbone_lr_factor=0.1)
    optimizer = build_optimizer(config, model.named_parameters())
    set_lr(optimizer, 1e-2)
    found = {id(p): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    expected = {
        "frontend.conv1_1.weight": (1e-3, 0.5),
        "frontend.conv1_1.bias": (2e-3, 0.0),
        "frontend.fc6.weight": (1e-2, 0.5),
        "frontend.fc6.bias": (2e-2, 0.0),
    }
    for key, parameter in model.named_parameters():
        assert found[id(parameter)] == pytest.approx(expected[key]), key


def test_frozen_parameters_are_left_out() -> None:
    model = nn.ModuleDict({"a": nn.Conv2d(1, 1, 1), "b": nn.Conv2d(1, 1, 1)})
    model["a"].requires_grad_(False)
    optimizer = build_optimizer(OptimizerConfig(), model.named_parameters())
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 2


def test_one_sgd_step_is_the_arithmetic_of_the_paper() -> None:
    layer = nn.Conv2d(1, 1, 1)
    nn.init.constant_(layer.weight, 2.0)
    nn.init.constant_(layer.bias, 1.0)
    optimizer = build_optimizer(OptimizerConfig(momentum=0.9, weight_decay=0.1), layer.named_parameters("m"))
    for _ in range(2):
        optimizer.zero_grad()
        (3 * layer.weight.sum() + 5 * layer.bias.sum()).backward()
        set_lr(optimizer, 0.01)
        optimizer.step()
    first = 3 + 0.1 * 2.0
    weight = 2.0 - 0.01 * first
    second = 0.9 * first + 3 + 0.1 * weight
    assert float(layer.weight.detach()) == pytest.approx(weight - 0.01 * second)
    assert float(layer.bias.detach()) == pytest.approx(1 - 0.02 * 5 - 0.02 * (0.9 * 5 + 5))  # type: ignore[union-attr]


MOMENTUM = 0.9
DROPS = ScheduleConfig(name="step", every_steps=7, factor=0.1)
WARMUP = ScheduleConfig(warmup_steps=6)


class Steps:
    """SGD in float64 on two convolutions, one of them of the backbone; gradients are noise drawn from the step."""

    def __init__(self, form: MomentumForm) -> None:
        torch.manual_seed(0)
        self.model = nn.ModuleDict(
            {"frontend": nn.ModuleDict({"conv1_1": nn.Conv2d(2, 3, 3), "fc6": nn.Conv2d(3, 2, 1)})}
        )
        self.model.double()
        config = OptimizerConfig(momentum=MOMENTUM, momentum_form=form, weight_decay=0.05, backbone_lr_factor=0.5)
        self.optimizer = build_optimizer(config, self.model.named_parameters())

    def take(self, steps: Iterable[int], schedule: ScheduleConfig) -> "Steps":
        for step in steps:
            for name, weight in self.model.named_parameters():
                weight.grad = gradient(name, step, tuple(weight.shape))
            set_lr(self.optimizer, 0.1 * lr_factor(schedule, step, 20))
            self.optimizer.step()
        return self

    def weights(self) -> dict[str, Tensor]:
        return {name: weight.detach().clone() for name, weight in self.model.named_parameters()}


def gradient(name: str, step: int, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(np.random.default_rng([step, *name.encode()]).standard_normal(shape))


def largest_difference(one: Steps, other: dict[str, Tensor]) -> float:
    return max(float((weight - other[name]).abs().max()) for name, weight in one.weights().items())


def caffes(schedule: ScheduleConfig) -> dict[str, Tensor]:
    """Twenty steps weight by weight: v = m * v + lr * (g + wd * w), w -= v."""
    factors = {"frontend.conv1_1": 0.5, "frontend.fc6": 1.0}
    found = {}
    for name, weight in Steps("caffe").weights().items():
        layer, _, kind = name.rpartition(".")
        decay, own = (0.05, factors[layer]) if kind == "weight" else (0.0, 2 * factors[layer])
        w, v = weight.numpy().copy(), np.zeros(weight.shape)
        for step in range(20):
            lr = 0.1 * lr_factor(schedule, step, 20) * own
            v = MOMENTUM * v + lr * (gradient(name, step, w.shape).numpy() + decay * w)
            w = w - v
        found[name] = torch.from_numpy(w)
    return found


def test_the_two_momenta_on_a_drop_worked_out_by_hand() -> None:
    """m = 1/2, gradient 1, rates 1, 0.1. Caffe: v = 1, 0.6; w = -1, -1.6. PyTorch: v = 1, 1.5; w = -1, -1.15."""
    for form, expected in (("caffe", -1.6), ("pytorch", -1.15)):
        weight = nn.Parameter(torch.zeros(1))
        config = OptimizerConfig(momentum=0.5, momentum_form=form, weight_decay=0)
        optimizer = build_optimizer(config, [("a.weight", weight)])
        for lr in (1.0, 0.1):
            weight.grad = torch.ones(1)
            set_lr(optimizer, lr)
            optimizer.step()
        assert float(weight.detach()) == pytest.approx(expected)


def test_both_momenta_agree_while_the_rate_is_constant() -> None:
    constant = ScheduleConfig()
    caffe = Steps("caffe").take(range(20), constant)
    assert largest_difference(caffe, Steps("pytorch").take(range(20), constant).weights()) < 1e-13


@pytest.mark.parametrize("schedule", [DROPS, WARMUP], ids=["drops", "warm-up"])
def test_caffes_momentum_is_caffes_where_the_rate_changes_and_pytorchs_is_not(schedule: ScheduleConfig) -> None:
    expected = caffes(schedule)
    assert largest_difference(Steps("caffe").take(range(20), schedule), expected) < 1e-13
    assert largest_difference(Steps("pytorch").take(range(20), schedule), expected) > 0.1


@pytest.mark.parametrize("form", get_args(MomentumForm))
def test_momentum_goes_on_from_a_checkpoint_bit_for_bit(form: MomentumForm, tmp_path: Path) -> None:
    whole = Steps(form).take(range(20), DROPS)
    first = Steps(form).take(range(9), DROPS)
    checkpoint.save(
        tmp_path / "last.pt", {"model": first.model.state_dict(), "optimizer": first.optimizer.state_dict()}
    )
    content, second = checkpoint.load(tmp_path / "last.pt"), Steps(form)
    second.model.load_state_dict(content["model"])
    forgetful = copy.deepcopy(second)
    second.optimizer.load_state_dict(content["optimizer"])
    assert largest_difference(second.take(range(9, 20), DROPS), whole.weights()) == 0
    assert largest_difference(forgetful.take(range(9, 20), DROPS), whole.weights()) > 0


@pytest.mark.parametrize("form", get_args(MomentumForm))
def test_a_state_that_goes_on_brings_momenta_and_leaves_the_config_s_decay_and_factors(form: MomentumForm) -> None:
    def after_a_step(momentum: float, factor: float) -> tuple[Optimizer, nn.Parameter]:
        weight = nn.Parameter(torch.ones(3))
        config = OptimizerConfig(momentum_form=form, momentum=momentum, bias_lr_factor=factor)
        optimizer = build_optimizer(config, [("frontend.conv1_1.bias", weight)])
        set_lr(optimizer, 0.1 * factor)
        weight.grad = torch.full((3,), 2.0)
        optimizer.step()
        return optimizer, weight

    saved = after_a_step(0.9, 2.0)[0].state_dict()
    changed, weight = after_a_step(0.5, 3.0)
    load_state(changed, saved)
    (group,) = changed.param_groups
    assert (group["momentum"], group["lr_factor"]) == (0.5, 3.0)
    (velocity,), (known,) = changed.state[weight].values(), saved["state"][0].values()
    assert torch.equal(velocity, known)


@pytest.mark.parametrize("name", get_args(OptimizerName))
def test_averages_are_those_worked_out_by_hand(name: OptimizerName) -> None:
    weight, unused = nn.Parameter(torch.tensor([1.0, 2.0])), nn.Parameter(torch.ones(1))
    optimizer = build_optimizer(OptimizerConfig(name=name), [("weight", weight), ("unused", unused)])
    expected, decay = np.zeros(2), 0.4
    for step in range(1, 8):
        set_lr(optimizer, 0.1)
        (weight**2).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        average_weights(optimizer, decay, step)
        share = min(decay, (1 + step) / (10 + step))
        now = weight.detach().numpy().astype(float)
        expected = now if step == 1 else share * expected + (1 - share) * now
    before = weight.detach().clone()
    with averaged(optimizer):
        assert np.allclose(weight.detach().numpy(), expected, rtol=1e-6)
        assert not torch.equal(weight, before) and torch.equal(unused, torch.ones(1))
    assert torch.equal(weight, before)
    with pytest.raises(RuntimeError, match="broken off"), averaged(optimizer):
        raise RuntimeError("broken off")
    assert torch.equal(weight, before)


def test_without_a_decay_nothing_is_averaged() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = build_optimizer(OptimizerConfig(), [("weight", weight)])
    weight.sum().backward()  # type: ignore[no-untyped-call]
    set_lr(optimizer, 0.1)
    optimizer.step()
    average_weights(optimizer, 0.0, 1)
    before = weight.detach().clone()
    with averaged(optimizer):
        assert torch.equal(weight, before)
    assert all("average" not in state for state in optimizer.state.values())
