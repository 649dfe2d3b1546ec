"""Optimizers: the paper's SGD (biases at twice the rate and without decay) and AdamW."""

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import Optimizer

from configs.schema import OptimizerConfig, OptimizerName

BACKBONE = "frontend.conv"  # conv1_1 ... conv5_3: what may come from ImageNet


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
        case OptimizerName.sgd:
            return torch.optim.SGD(parameter_groups, lr=0.0, momentum=config.momentum)
        case OptimizerName.adamw:
            return torch.optim.AdamW(parameter_groups, lr=0.0, fused=True)


def set_lr(optimizer: Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_factor"]
