"""The front end over images of any size in bounded memory: block by block, every cell as from the whole image."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from engine.contracts import DenseModel, WindowMapper
from engine.evaluation.inference import Maps, round_up

LARGEST_BLOCK_PX = 2**23  # input of a block: with VGG-16 at full width in float32 the process peaks at 2.5 GiB


class Block(NamedTuple):
    """Along one axis: the pixels that go into the front end, and which of the cells that come out are kept."""

    pixels: slice
    cells: slice


def in_blocks(model: DenseModel, largest_px: int = LARGEST_BLOCK_PX) -> Maps:
    """The logits of a window, as the model computes them; the front end in blocks where the window is larger."""

    def logits(window_B3HW: Tensor) -> Tensor:
        maps_BKhw = frontend_maps_in_blocks(model, window_B3HW, largest_px)
        return maps_BKhw if model.context is None else model.context(maps_BKhw)

    return logits


def frontend_maps_in_blocks(model: WindowMapper, window_B3HW: Tensor, largest_px: int = LARGEST_BLOCK_PX) -> Tensor:
    """The maps (B, K, h, w) of a window by a front end or its first part, from blocks that overlap by what a cell sees.

    So the blocks cut nothing off, whether the window carries a margin or every convolution pads: answers are those of
    the window in one piece, up to the rounding of other matrix shapes.
    """
    height, width = window_B3HW.shape[-2:]
    if height * width <= largest_px:
        return model.frontend_maps(window_B3HW)
    side = math.isqrt(largest_px)
    rows = [
        torch.cat(
            [
                model.frontend_maps(window_B3HW[..., down.pixels, across.pixels])[..., down.cells, across.cells]
                for across in _blocks(model, width, max(side, largest_px // max(height, 1)))
            ],
            dim=-1,
        )
        for down in _blocks(model, height, max(side, largest_px // width))
    ]
    return torch.cat(rows, dim=-2)


def maps_after_blocks(model: DenseModel, maps_BChw: Tensor, after_blocks: int) -> Tensor:
    """The class maps (B, K, h, w) of a window from those after its first blocks, as bounded."""
    return frontend_maps_in_blocks(model.after_blocks(after_blocks), maps_BChw, LARGEST_BLOCK_PX // model.stride**2)


def _blocks(model: WindowMapper, length: int, side_px: int) -> Iterator[Block]:
    """Blocks of nearly equal size, about `side_px` with what they overlap; at least half of it is their own."""
    stride, margin = model.stride, model.margin_px
    num_cells = -(-(length - 2 * margin) // stride)
    overlap_px = round_up(model.reach_px, stride)
    most_cells = max(side_px - 2 * overlap_px, side_px // 2, stride) // stride
    step = -(-num_cells // -(-num_cells // most_cells))
    for first in range(0, num_cells, step):
        last = min(first + step, num_cells)
        begin = stride * first if margin else max(0, stride * first - overlap_px)
        end = stride * last + (2 * margin if margin else overlap_px)
        skipped = first - begin // stride
        yield Block(slice(begin, min(end, length)), slice(skipped, skipped + last - first))
