"""Learning rates: by step, by group."""

import pytest
from torch import nn

from configs.schema import OptimizerConfig, OptimizerName, ScheduleConfig, ScheduleName
from engine.optim import build_optimizer, set_lr
from engine.schedule import lr_factor


def test_schedules_at_steps_worked_out_by_hand() -> None:
    step = ScheduleConfig(name=ScheduleName.step, every_steps=100, factor=0.1)
    assert [lr_factor(step, at, 1000) for at in (0, 99, 100, 250)] == pytest.approx([1, 1, 0.1, 0.01])
    poly = ScheduleConfig(name=ScheduleName.poly, power=0.9)
    assert lr_factor(poly, 0, 200) == 1
    assert lr_factor(poly, 100, 200) == pytest.approx(0.5**0.9)
    assert lr_factor(poly, 199, 200) > 0
    warm = ScheduleConfig(warmup_steps=4)
    assert [lr_factor(warm, at, 10) for at in range(5)] == [0.25, 0.5, 0.75, 1, 1]


@pytest.mark.parametrize("name", list(OptimizerName))
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
