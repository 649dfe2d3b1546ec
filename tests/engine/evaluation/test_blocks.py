"""Large images go through the front end in blocks, and every cell is that of the image in one piece."""

from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor

from configs.schema import Padding, ValidationConfig
from engine.evaluation.answers import probabilities
from engine.evaluation.blocks import frontend_maps_in_blocks, in_blocks, maps_after_blocks
from models.build import build_context, build_segmenter
from models.segmenter import Segmenter
from tests.helpers.networks import tiny_model_config


def network(padding: Padding) -> Segmenter:
    """Random weights throughout."""
    config = tiny_model_config(padding=padding)
    model, _ = build_segmenter(config, 4, (), seed=0)
    model.insert_context(build_context(config, 4, seed=0))
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator).div(parameter[0].numel() ** 0.5)
    return model.eval()


def images(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (1, 3, height, width), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)


def watched(model: Segmenter) -> tuple[list[tuple[int, int]], Callable[[], None]]:
    sizes: list[tuple[int, int]] = []
    handle = model.frontend.register_forward_pre_hook(lambda _, inputs: sizes.append(tuple(inputs[0].shape[-2:])))
    return sizes, handle.remove


@pytest.mark.parametrize("padding", get_args(Padding))
@pytest.mark.parametrize("size", [(400, 320), (131, 701), (500, 61), (96, 1000)])
def test_blocks_answer_as_the_image_in_one_piece(padding: Padding, size: tuple[int, int]) -> None:
    model, photograph = network(padding), images(*size)
    with torch.inference_mode():
        whole = probabilities(model, ValidationConfig(), photograph)
        sizes, stop = watched(model)
        pieces = probabilities(model, ValidationConfig(), photograph, in_blocks(model, 160**2))
        stop()
    assert len(sizes) > 1 and max(height * width for height, width in sizes) <= 160**2
    torch.testing.assert_close(pieces, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", get_args(Padding))
def test_an_image_that_fits_is_one_piece_with_the_same_bits(padding: Padding) -> None:
    model, window = network(padding), images(176, 240)
    with torch.inference_mode():
        assert torch.equal(frontend_maps_in_blocks(model, window), model.frontend_maps(window))


@pytest.mark.parametrize("padding", get_args(Padding))
def test_blocks_that_are_smaller_than_what_a_cell_sees_still_come_to_an_end(padding: Padding) -> None:
    model, window = network(padding), images(280, 328)
    with torch.inference_mode():
        maps = frontend_maps_in_blocks(model, window, 32**2)
        torch.testing.assert_close(maps, model.frontend_maps(window), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("padding", get_args(Padding))
@pytest.mark.parametrize("blocks", [3, 4])
def test_maps_of_the_first_blocks_are_gone_over_in_blocks_as_well(
    monkeypatch: pytest.MonkeyPatch, padding: Padding, blocks: int
) -> None:
    model, window = network(padding), images(400, 320)
    with torch.inference_mode():
        maps, sizes = model.first_blocks(blocks).frontend_maps(window), list[tuple[int, ...]]()
        monkeypatch.setattr("engine.evaluation.blocks.LARGEST_BLOCK_PX", 240**2)
        frontend = model.frontend_maps

        def watching(maps_BChw: torch.Tensor, after_blocks: int = 0) -> torch.Tensor:
            sizes.append(tuple(maps_BChw.shape[2:]))
            return frontend(maps_BChw, after_blocks)

        monkeypatch.setattr(model, "frontend_maps", watching)
        torch.testing.assert_close(maps_after_blocks(model, maps, blocks), frontend(window), rtol=1e-4, atol=1e-4)
    assert len(sizes) > 1 and max(height * width for height, width in sizes) <= 30**2
