"""Optimizers: SGD with the momentum of PyTorch or of Caffe, and AdamW; biases have a rate of their own and no decay.

What they keep of each weight may include its moving average, which is then what is scored and handed on.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from inspect import unwrap
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from configs.schema import OptimizerConfig

BACKBONE = "frontend.conv"  # conv1_1 ... conv5_3: what may come from ImageNet
AVERAGE = "average"  # of a weight, in an optimizer's state


class Uncompiled(Optimizer):
    """An optimizer that does without torch's compiler.

    torch wraps these methods so that the compiler leaves them alone, and imports it for that: two seconds of a start.
    """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        unwrap(Optimizer.add_param_group)(self, param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        unwrap(Optimizer.zero_grad)(self, set_to_none)

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = unwrap(Optimizer.state_dict)(self)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        unwrap(Optimizer.load_state_dict)(self, state_dict)


class SGD(Uncompiled, torch.optim.SGD):
    """PyTorch's."""

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # no closure: the loop has computed the gradients
        unwrap(torch.optim.SGD.step)(self)


class AdamW(Uncompiled, torch.optim.AdamW):
    """PyTorch's."""

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        unwrap(torch.optim.AdamW.step)(self)


class CaffeSGD(Uncompiled):
    """SGD as Caffe has it: v = momentum * v + lr * (gradient + weight_decay * w); w -= v.

    `torch.optim.SGD` multiplies by lr last instead. Then a lower rate also shrinks the steps gathered before it; here
    they run out at the rate that they were made with, for about 1 / (1 - momentum) steps.
    """

    def __init__(self, parameter_groups: list[dict[str, Any]], *, lr: float, momentum: float) -> None:
        super().__init__(parameter_groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            for weight in weights:
                if not self.state[weight]:
                    self.state[weight]["velocity"] = torch.zeros_like(weight)
            velocities = [self.state[weight]["velocity"] for weight in weights]
            lr = group["lr"]
            torch._foreach_mul_(velocities, group["momentum"])
            torch._foreach_add_(velocities, [weight.grad for weight in weights], alpha=lr)
            if group["weight_decay"]:
                torch._foreach_add_(velocities, weights, alpha=lr * group["weight_decay"])
            torch._foreach_sub_(weights, velocities)


def build_optimizer(config: OptimizerConfig, named_parameters: Iterable[tuple[str, nn.Parameter]]) -> Optimizer:
    """An optimizer over the parameters that want gradients; `set_lr` gives it its rate before each step.

    Each group keeps `lr_factor`, its rate over that of the stage.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in named_parameters:
        if parameter.requires_grad:
            groups.setdefault((name.startswith(BACKBONE), name.endswith(".bias")), []).append(parameter)
    parameter_groups = [
        {
            "params": parameters,
            "lr_factor": (config.backbone_lr_factor if is_backbone else 1.0)
            * (config.bias_lr_factor if is_bias else 1.0),
            "weight_decay": 0.0 if is_bias else config.weight_decay,
        }
        for (is_backbone, is_bias), parameters in groups.items()
    ]
    match config.name:
        case "sgd" if config.momentum_form == "caffe":
            return CaffeSGD(parameter_groups, lr=0.0, momentum=config.momentum)
        case "sgd":
            return SGD(parameter_groups, lr=0.0, momentum=config.momentum, fused=True)
        case "adamw":
            return AdamW(parameter_groups, lr=0.0, fused=True)


def load_state(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Go on with momenta and step counts from a checkpoint; decay, momentum and factors stay those of the config."""
    of_config = [{key: value for key, value in group.items() if key not in ("params", "lr")}
                 for group in optimizer.param_groups]  # fmt: skip
    optimizer.load_state_dict(state)
    for group, own in zip(optimizer.param_groups, of_config, strict=True):
        group.update(own)


def set_lr(optimizer: Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_factor"]


@torch.no_grad()
def average_weights(optimizer: Optimizer, decay: float, step: int) -> None:
    """Bring the averages up to date after step number `step`, 1 being the first; a `decay` of 0 keeps none.

    average = d * average + (1 - d) * weight, d the smaller of `decay` and (1 + step) / (10 + step): at first of about
    the last tenth of all steps, so that where training began does not stay in it (TensorFlow's
    ExponentialMovingAverage with num_updates).
    """
    if decay == 0:
        return
    weights = [weight for group in optimizer.param_groups for weight in group["params"] if weight.grad is not None]
    for weight in weights:
        if AVERAGE not in optimizer.state[weight]:
            optimizer.state[weight][AVERAGE] = weight.detach().clone()
    averages = [optimizer.state[weight][AVERAGE] for weight in weights]
    torch._foreach_lerp_(averages, weights, 1 - min(decay, (1 + step) / (10 + step)))


@contextmanager
def averaged(optimizer: Optimizer) -> Iterator[None]:
    """Within the block weights and their averages are exchanged, where there are any; nothing may learn there."""
    states = [(weight, state) for weight, state in optimizer.state.items() if AVERAGE in state]

    def exchange() -> None:
        for weight, state in states:
            weight.data, state[AVERAGE] = state[AVERAGE], weight.data

    exchange()
    try:
        yield
    finally:
        exchange()
