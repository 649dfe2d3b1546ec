"""Costs by arithmetic, against the network itself: its parameters, counted operations and what autograd keeps."""

import random
from typing import Any, get_args

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from configs.schema import ContextConfig, FrontendConfig, ModelConfig, Padding
from models.context import Context
from models.cost import context_cost, frontend_cost, map_cells
from models.frontend import Frontend
from tests.helpers.networks import tiny_frontend

LARGE = ContextConfig(widths=[2, 2, 4, 8, 16, 32, 32])
VGG16 = FrontendConfig(dropout=0)
ONCE = ContextConfig(dilations=[2, 4, 8], widths=[3, 1, 2], padding="once")
NETWORKS = {
    "paper": (ModelConfig(frontend=VGG16), 21, (128, 96)),
    "zero_padding": (ModelConfig(frontend=VGG16, padding="zero"), 21, (136, 128)),
    "narrow": (ModelConfig(frontend=FrontendConfig(dropout=0, width=0.3, depths=[1, 2, 1, 1, 1])), 5, (64, 64)),
    "zeros_once": (ModelConfig(frontend=VGG16, context=ONCE), 4, (64, 80)),
}


def multiply_adds_of(module: nn.Module, maps: Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        module(maps)
    return int(counter.get_total_flops()) // 2


def bytes_kept(module: nn.Module, maps: Tensor) -> int:
    """What the backward pass keeps, each storage once; parameters are no activations."""
    storages: dict[Any, Tensor] = {}
    own = {parameter.data_ptr() for parameter in module.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in own:
            storages[tensor.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        module(maps)
    return sum(tensor.untyped_storage().nbytes() for tensor in storages.values())


def parameters_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def frontend_on(device: str, config: ModelConfig, num_classes: int) -> Frontend:
    with torch.device(device):
        return Frontend(config.frontend, num_classes, config.padding).train()


def context_of(config: ModelConfig, num_classes: int) -> Context:
    return Context(config.context, num_classes, Generator().manual_seed(0))


@pytest.mark.parametrize(("config", "num_classes", "crop_px"), NETWORKS.values(), ids=NETWORKS)
def test_parameters_and_multiply_adds_are_those_of_the_network(
    config: ModelConfig, num_classes: int, crop_px: tuple[int, int]
) -> None:
    frontend = frontend_on("meta", config, num_classes)
    size = [pixels + 2 * frontend.margin_px for pixels in crop_px]
    cost = frontend_cost(config, num_classes, crop_px)
    assert cost.parameters == parameters_of(frontend)
    assert cost.multiply_adds == multiply_adds_of(frontend, torch.empty(1, 3, *size, device="meta"))

    context = context_of(config, num_classes).to("meta")
    maps = torch.empty(1, num_classes, *map_cells(config, crop_px), device="meta")
    cost = context_cost(config, num_classes, crop_px)
    assert cost.parameters == parameters_of(context)
    assert cost.multiply_adds == multiply_adds_of(context, maps)


def test_counting_agrees_for_200_random_schedules() -> None:
    draw = random.Random(0)
    for _ in range(200):
        dilations = [draw.randint(1, 9) for _ in range(draw.randint(1, 6))]
        widths = [draw.randint(1, 4) for _ in dilations] if draw.random() < 0.5 else []
        config = ModelConfig(context=ContextConfig(dilations=dilations, widths=widths))
        crop_px, num_classes = (8 * draw.randint(1, 30), 8 * draw.randint(1, 30)), draw.randint(1, 12)
        cost, context = context_cost(config, num_classes, crop_px), context_of(config, num_classes)
        assert cost.parameters == parameters_of(context)
        maps = torch.empty(1, num_classes, *map_cells(config, crop_px), device="meta")
        assert cost.multiply_adds == multiply_adds_of(context.to("meta"), maps)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("padding", get_args(Padding))
def test_activation_memory_is_what_autograd_keeps(padding: Padding, dropout: float) -> None:
    config = ModelConfig(
        frontend=tiny_frontend(dropout=dropout), context=ContextConfig(dilations=[1, 2], widths=[2, 3]), padding=padding
    )
    frontend = frontend_on("cpu", config, 4)
    height, width = map_cells(config, (40, 56))
    images = torch.rand(1, 3, 40 + 2 * frontend.margin_px, 56 + 2 * frontend.margin_px)
    masks = 2 * 16 * height * width * 4 if dropout else 0  # of fc6 and fc7, 16 channels each; float32 on a CPU
    assert bytes_kept(frontend, images) == frontend_cost(config, 4, (40, 56)).activation_bytes + masks

    maps = torch.rand(1, 4, height, width)
    assert bytes_kept(context_of(config, 4), maps) == context_cost(config, 4, (40, 56)).activation_bytes


def test_known_networks_have_their_known_numbers_of_parameters() -> None:
    assert context_cost(ModelConfig(), 21, (8, 8)).parameters == 28_392
    assert context_cost(ModelConfig(context=LARGE), 21, (8, 8)).parameters == 6_803_139
    assert frontend_cost(ModelConfig(), 21, (8, 8)).parameters == 134_346_581


def test_multiply_adds_of_one_layer_counted_by_hand() -> None:
    """A map of 8 x 4 cells, 2 classes: 32 cells * (9 * 2 * 2 of the 3x3 + 2 * 2 of the 1x1)."""
    assert context_cost(ModelConfig(context=ContextConfig(dilations=[2])), 2, (64, 32)).multiply_adds == 32 * 40
