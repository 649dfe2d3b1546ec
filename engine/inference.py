"""From an image of any size to class probabilities at its own pixels.

Order as in the authors' code: softmax at the cells, bilinear interpolation of the probabilities, argmax by the caller.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from configs.schema import Protocol, ValidationConfig
from engine.contracts import DenseModel
from engine.grid import upsample

Maps = Callable[[Tensor], Tensor]


def reflected_range(first: int, last: int, length: int) -> Tensor:
    """Indices `first` ... `last - 1` folded into 0 ... length - 1 without repeating the edge ("reflect 101")."""
    if length == 1:
        return torch.zeros(last - first, dtype=torch.long)
    period = 2 * (length - 1)
    folded = torch.arange(first, last).remainder(period)
    return torch.minimum(folded, period - folded)


def crop_reflected(images_B3HW: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """A window that may reach past the image by any amount; there the image is reflected."""
    rows = reflected_range(top, top + height, images_B3HW.shape[-2]).to(images_B3HW.device)
    columns = reflected_range(left, left + width, images_B3HW.shape[-1]).to(images_B3HW.device)
    return images_B3HW[..., rows, :][..., columns]


def round_up(size: int, step: int) -> int:
    return -(-size // step) * step


def whole_logits(model: DenseModel, maps: Maps, images_B3HW: Tensor) -> Tensor:
    """Logits of every cell of the image, seen in one piece: (B, K, ceil(H / stride), ceil(W / stride))."""
    height, width = (round_up(size, model.stride) for size in images_B3HW.shape[-2:])
    margin = model.margin_px
    return maps(crop_reflected(images_B3HW, -margin, -margin, height + 2 * margin, width + 2 * margin))


def tiled_logits(model: DenseModel, maps: Maps, images_B3HW: Tensor, tile_px: list[int]) -> Tensor:
    """The same from tiles that overlap by the margin only, so that their cells abut; tile sides are whole cells."""
    height, width = (round_up(size, model.stride) for size in images_B3HW.shape[-2:])
    tile_height, tile_width = min(tile_px[0], height), min(tile_px[1], width)
    margin = model.margin_px
    rows = []
    for top in range(0, height, tile_height):
        row = []
        for left in range(0, width, tile_width):
            window = (top - margin, left - margin, tile_height + 2 * margin, tile_width + 2 * margin)
            row.append(maps(crop_reflected(images_B3HW, *window)))
        rows.append(torch.cat(row, dim=-1))
    cells = torch.cat(rows, dim=-2)
    return cells[..., : height // model.stride, : width // model.stride]


def probabilities(model: DenseModel, config: ValidationConfig, images_B3HW: Tensor, maps: Maps | None = None) -> Tensor:
    """Class probabilities (B, K, H, W), float32, averaged over the scales and the mirrored image if asked for.

    `maps` replaces the network's own forward pass (default: the whole model).
    """
    maps = maps or model
    size = (images_B3HW.shape[-2], images_B3HW.shape[-1])
    total: Tensor | None = None
    for scale in config.scales:
        scaled = _resize(images_B3HW, scale)
        for mirrored in (False, True) if config.flip else (False,):
            view = scaled.flip(-1) if mirrored else scaled
            if config.protocol is Protocol.tiles:
                logits_BKhw = tiled_logits(model, maps, view, config.tile_px)
            else:
                logits_BKhw = whole_logits(model, maps, view)
            shape = (view.shape[-2], view.shape[-1])
            pixels = upsample(logits_BKhw.float().softmax(1), shape, model.stride, model.node_offset_px)
            pixels = pixels.flip(-1) if mirrored else pixels
            if shape != size:
                pixels = functional.interpolate(pixels, size, mode="bilinear", align_corners=False)
            total = pixels if total is None else total + pixels
    assert total is not None, "validation.scales is empty"
    return total / (len(config.scales) * (2 if config.flip else 1))


def _resize(images_B3HW: Tensor, scale: float) -> Tensor:
    if scale == 1.0:
        return images_B3HW
    size = [max(1, round(side * scale)) for side in images_B3HW.shape[-2:]]
    resized = functional.interpolate(images_B3HW.float(), size, mode="bilinear", align_corners=False, antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)
