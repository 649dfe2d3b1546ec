"""Whole images and tiles answer alike wherever the geometry says they must, and the report says where."""

from typing import get_args

import pytest
import torch
from torch import Tensor

from configs.schema import (
    ContextConfig,
    ContextPadding,
    ModelConfig,
    ValidationConfig,
)
from engine.evaluation.inference import tiled_logits, whole_logits
from models.build import build_context, build_segmenter
from models.describe import context_reach_px, tiling_line
from models.segmenter import Segmenter
from tests.helpers.networks import tiny_frontend

pytestmark = pytest.mark.precision

TILE_PX = [64, 56]


def network(dilations: list[int] | None, padding: ContextPadding = "each") -> tuple[Segmenter, ModelConfig]:
    """Random weights throughout, double precision."""
    frontend = tiny_frontend(channels=[6, 6, 8, 8], fc_channels=8)
    config = ModelConfig(frontend=frontend, context=ContextConfig(dilations=dilations or [1], padding=padding))
    model, _ = build_segmenter(config, 4, (), seed=0)
    if dilations is not None:
        model.insert_context(build_context(config, 4, seed=0))
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator).div(parameter[0].numel() ** 0.5)
    model.mean_rgb, model.scale_rgb = model.mean_rgb.double(), model.scale_rgb.double()
    return model.double().eval(), config


def logits(model: Segmenter, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    image = torch.randint(0, 256, (1, 3, *size), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    forward = lambda tile: model.double()(tile.double())  # noqa: E731
    with torch.inference_mode():
        return whole_logits(model, forward, image), tiled_logits(model, forward, image, TILE_PX)


def far_from_seams(size: tuple[int, int], reach_px: int) -> Tensor:
    """Cells (h, w) that no seam comes within the reach of."""
    far = []
    for side, tile in zip(size, TILE_PX, strict=True):
        cells = torch.arange(-(-side // 8))
        seams = torch.arange(tile // 8, len(cells), tile // 8)
        distance = torch.where(cells[:, None] < seams, seams - cells[:, None] - 1, cells[:, None] - seams)
        far.append((8 * distance >= reach_px).all(1))
    return far[0][:, None] & far[1][None]


@pytest.mark.parametrize("padding", get_args(ContextPadding))
@pytest.mark.parametrize("dilations", [None, [1], [1, 2], [2, 1]])
@pytest.mark.parametrize("size", [(128, 112), (101, 150)])
def test_tiles_answer_as_the_whole_image_does_beyond_the_reach_of_the_context_module(
    size: tuple[int, int], dilations: list[int] | None, padding: ContextPadding
) -> None:
    model, config = network(dilations, padding)
    whole, tiles = logits(model, size)
    reach_px = 0 if dilations is None else context_reach_px(config)
    far = far_from_seams(size, reach_px)
    same = (whole - tiles).abs()[0].amax(0) < 1e-5 * whole.abs().max()  # the front end computes in float32
    assert far.any() and same[far].all()
    if dilations is not None:
        assert not same[~far].all()  # and the seams do show: the reach is no excuse


def test_the_report_says_where_tiles_and_whole_images_may_differ() -> None:
    tiles = ValidationConfig(protocol="tiles", tile_px=[1024, 528])
    dilation8, dilation10 = ModelConfig(), ModelConfig(context=ContextConfig(dilations=[1, 1, 2, 4, 8, 16, 32, 64, 1]))
    assert tiling_line(dilation8, ValidationConfig(), has_context=True) == ""
    assert "answer as the whole image does" in tiling_line(dilation8, tiles, has_context=False)
    assert "sees 264 px to every side, so no answer" in tiling_line(dilation8, tiles, has_context=True)
    wide = ValidationConfig(protocol="tiles", tile_px=[1024, 536])
    assert "within 264 px of a seam" in tiling_line(dilation8, wide, has_context=True)
    assert "sees 1032 px to every side, so no answer" in tiling_line(dilation10, wide, has_context=True)
    assert "pads each with zeros" in tiling_line(ModelConfig(padding="zero"), tiles, has_context=False)
