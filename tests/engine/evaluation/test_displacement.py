"""An edge that moves takes the answer along, and the answer lies where the edge is: ports are often 3.5 px off."""

from typing import Literal, get_args

import pytest
import torch
from torch import Tensor, nn

from configs.schema import (
    VOID,
    ContextConfig,
    Head,
    LossConfig,
    ModelConfig,
    Protocol,
    ValidationConfig,
)
from engine.evaluation.answers import probabilities
from engine.evaluation.inference import whole_logits
from engine.training.losses import CrossEntropy
from models.build import build_context, build_segmenter
from models.segmenter import Segmenter
from tests.helpers.networks import tiny_frontend

# Where a cell sits, px, and where the loss is taken, as the authors train each head.
TRAINING = {"interpolated": (0.0, "cells"), "transposed": (3.5, "pixels")}
RAMP_PX = 64  # from dark to bright; a hard edge moves the answer in steps of a cell
RIM_PX = 12  # where the context module sees the zeros around its map
EDGE_PX = 84.5  # between two pixels, more than a cell away from where tiles of 64 px meet
LINE_PX = 40  # along which the answer is read, just as far from there
MOVES_PX = (0, 1, 3, 4, 8)
Axis = Literal["down", "right"]


def edges(positions_px: Tensor, size: tuple[int, int], axis: Axis, rising: bool) -> tuple[Tensor, Tensor]:
    """Images whose brightness passes the middle at these pixels; labels are 1 where it is above, rising or falling."""
    distance = torch.arange(size[axis == "right"]) - positions_px[:, None]
    distance = distance if rising else -distance
    distance_BHW = (distance[:, None, :] if axis == "right" else distance[:, :, None]).expand(-1, *size)
    brightness = (distance_BHW / RAMP_PX + 0.5).clamp(0, 1)
    images = (255 * brightness).round().to(torch.uint8)
    return images[:, None].expand(-1, 3, -1, -1), (distance_BHW > 0).to(torch.uint8)


def photometer(head: Head) -> Segmenter:
    """A front end that hands on how dark and how bright the pixels 8i ... 8i + 7 are at the most.

    Of a bright channel alone, max pooling would draw every bright side half a cell wider.
    """
    config = ModelConfig(
        frontend=tiny_frontend(channels=[2] * 4, fc_channels=2),
        head=head,
        node_offset_px=TRAINING[head][0],
        mean_rgb=[0.0] * 3,
        scale_rgb=[1 / 255] * 3,
    )
    segmenter, _ = build_segmenter(config, 2, (), seed=0)
    for layer in segmenter.frontend.children():
        assert isinstance(layer, nn.Conv2d) and layer.bias is not None
        nn.init.zeros_(layer.bias)
        nn.init.dirac_(layer.weight)
    first, bias = (segmenter.frontend.get_parameter(f"conv1_1.{kind}") for kind in ("weight", "bias"))
    with torch.no_grad():
        first[:] = 0
        first[:, :, 1, 1] = torch.tensor([[-1 / 3], [1 / 3]])
        bias[0] = 1
    return segmenter.eval()


@pytest.fixture(scope="module", params=TRAINING)
def network(request: pytest.FixtureRequest) -> Segmenter:
    """A photometer whose context module has learned from edges at every pixel of a cell, by its head's own loss."""
    model, (node_offset_px, grid) = photometer(request.param), TRAINING[request.param]
    context = build_context(ModelConfig(context=ContextConfig(dilations=[1])), 2, seed=0)
    middles_px, axes = torch.arange(44.5, 52.5), get_args(Axis)
    sets = [edges(middles_px, (96, 96), axis, rising) for axis in axes for rising in (True, False)]
    images_B3HW, labels_BHW = (torch.cat(parts) for parts in zip(*sets, strict=True))
    is_rim = torch.ones(96, 96, dtype=torch.bool)
    is_rim[RIM_PX:-RIM_PX, RIM_PX:-RIM_PX] = False
    loss = CrossEntropy(LossConfig(grid=grid), model.stride, node_offset_px, model.head)
    targets = loss.targets(labels_BHW.masked_fill(is_rim, VOID))
    with torch.no_grad():
        maps = whole_logits(model, model.frontend_maps, images_B3HW)
    optimizer = torch.optim.Adam(context.parameters(), lr=0.05)
    for _ in range(120):
        optimizer.zero_grad()
        (loss.total(context(maps), targets) / loss.weight(targets)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():  # the zero of the logits stays; between steep ones probabilities would step in half cells
        logits_B2hw = context(maps)
        for parameter in context.get_submodule("ctx_final").parameters():
            parameter /= (logits_B2hw[:, 1] - logits_B2hw[:, 0]).abs().max()
    model.insert_context(context)
    return model


def answered_px(network: Segmenter, protocol: Protocol, axis: Axis, rising: bool) -> Tensor:
    """Where, along one line, the classes are equally probable, for an edge at `EDGE_PX` and its moves."""
    size = (96, 160) if axis == "right" else (160, 96)
    images_B3HW, _ = edges(EDGE_PX + torch.tensor(MOVES_PX), size, axis, rising)
    with torch.no_grad():
        shares = probabilities(network, ValidationConfig(protocol=protocol, tile_px=[64, 64]), images_B3HW)
    lead = shares[:, 1] - shares[:, 0]
    along = lead[:, LINE_PX, :] if axis == "right" else lead[:, :, LINE_PX]
    found = []
    for line in along:
        (before,) = ((line[:-1] > 0) != (line[1:] > 0)).nonzero().flatten().tolist()
        found.append(before + float(line[before] / (line[before] - line[before + 1])))
    return torch.tensor(found)


@pytest.mark.parametrize("protocol", get_args(Protocol))
@pytest.mark.parametrize("axis", get_args(Axis))
def test_the_answer_moves_as_far_as_the_edge_and_lies_where_it_is(
    network: Segmenter, protocol: Protocol, axis: Axis
) -> None:
    moves = torch.tensor(MOVES_PX)
    rising, falling = (answered_px(network, protocol, axis, rising) - EDGE_PX for rising in (True, False))
    for found in (rising, falling):
        torch.testing.assert_close(found - found[0], moves.float(), rtol=0, atol=0.25)
    torch.testing.assert_close((rising + falling) / 2, moves.float(), rtol=0, atol=0.25)


@pytest.mark.parametrize("protocol", get_args(Protocol))
def test_cells_put_elsewhere_than_in_training_are_seen_as_a_shift_by_3_5_px(
    network: Segmenter, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained_px = network.node_offset_px
    monkeypatch.setattr(network, "head", "interpolated")
    monkeypatch.setattr(network, "node_offset_px", 3.5 - trained_px)
    shifted = torch.tensor(MOVES_PX) + 3.5 - 2 * trained_px
    found = answered_px(network, protocol, "right", rising=True) - EDGE_PX
    torch.testing.assert_close(found, shifted, rtol=0, atol=0.25)
