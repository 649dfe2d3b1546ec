"""From an image of any size to what answers it at any size: windows, tiles, mirrored and scaled views.

Order as in the authors' code: softmax at the cells, bilinear interpolation of the probabilities, argmax by the caller;
with the transposed convolution as head: logits to pixels, softmax, argmax.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from configs.schema import ValidationConfig
from engine.contracts import DenseModel
from engine.evaluation.pixels import Average, CellView, Mirrored, Mosaic, Resized, View

Maps = Callable[[Tensor], Tensor]  # images of a window (B, 3, H, W) to maps or logits (B, K, h, w)


def reflected_range(first: int, last: int, length: int) -> Tensor:
    """Indices `first` ... `last - 1` folded into 0 ... length - 1 without repeating the edge ("reflect 101").

    Without a branch on the length and with the period as a tensor, so that a tracer takes it for every length.
    """
    period = torch.full((), torch.sym_max(2 * (length - 1), 1), dtype=torch.long)
    folded = torch.arange(first, last).remainder(period)
    return torch.minimum(folded, period - folded)


def crop_reflected(images_B3HW: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """A window that may reach past the image by any amount; there the image is reflected."""
    rows = reflected_range(top, top + height, images_B3HW.shape[-2]).to(images_B3HW.device)
    columns = reflected_range(left, left + width, images_B3HW.shape[-1]).to(images_B3HW.device)
    return images_B3HW.index_select(-1, columns).index_select(-2, rows)


def round_up(size: int, step: int) -> int:
    return (size + step - 1) // step * step  # of positive numbers: ONNX rounds a negative quotient towards zero


def whole_logits(model: DenseModel, maps: Maps, images_B3HW: Tensor) -> Tensor:
    """Logits of every cell of the image, in one piece: (B, K, ceil(H / stride), ceil(W / stride))."""
    height, width = (round_up(size, model.stride) for size in images_B3HW.shape[-2:])
    margin = model.margin_px
    return maps(crop_reflected(images_B3HW, -margin, -margin, height + 2 * margin, width + 2 * margin))


def tiled_logits(model: DenseModel, maps: Maps, images_B3HW: Tensor, tile_px: list[int]) -> Tensor:
    """The same from tiles that overlap by the margin only, so that their cells abut; the last end with the image."""
    height, width = (round_up(size, model.stride) for size in images_B3HW.shape[-2:])
    step, margin = [round_up(side, model.stride) for side in tile_px], model.margin_px
    rows = []
    for top in range(0, height, step[0]):
        tile_height = min(step[0], height - top) + 2 * margin
        row = []
        for left in range(0, width, step[1]):
            tile_width = min(step[1], width - left) + 2 * margin
            row.append(maps(crop_reflected(images_B3HW, top - margin, left - margin, tile_height, tile_width)))
        rows.append(torch.cat(row, dim=-1))
    return torch.cat(rows, dim=-2)


def authors_view(model: DenseModel, maps: Maps, images_B3HW: Tensor, tile_px: list[int]) -> View:
    """In the order of the authors' predict.py, tiles of the full size always.

    The image is reflected by the margin, and what the last tiles lack is reflected once more, about the padded image's
    edge; the context module sees it. Code: tiles advance by `tile_px` (for KITTI 158.5 cells, so a second one is 4 px
    off), and the zoom reads past the last cell. Here: tiles advance by whole cells, and the last cell is repeated.
    """
    height, width = images_B3HW.shape[-2:]
    margin, step = model.margin_px, [round_up(side, model.stride) for side in tile_px]
    rows = []
    for top in range(0, height, step[0]):
        vertical = _tile_range(top, tile_px[0], height, margin).to(images_B3HW.device)
        row = []
        for left in range(0, width, step[1]):
            horizontal = _tile_range(left, tile_px[1], width, margin).to(images_B3HW.device)
            with torch.autocast(images_B3HW.device.type, enabled=False):
                row.append(maps(images_B3HW[..., vertical, :][..., horizontal]))
        rows.append(row)
    if model.head == "transposed":
        return Mosaic([[CellView.of(model, tile, (step[0], step[1])) for tile in row] for row in rows], (height, width))
    shares_BKhw = torch.cat([torch.cat([tile.softmax(1) for tile in row], dim=-1) for row in rows], dim=-2)
    return CellView.of(model, shares_BKhw, (height, width))


def _tile_range(first: int, tile_px: int, length: int, margin: int) -> Tensor:
    """Where the pixels of the tile that scores `first` ... lie in an image of `length`."""
    tile = reflected_range(-margin, length + margin, length)[first : first + tile_px + 2 * margin]
    return tile[reflected_range(0, tile_px + 2 * margin, len(tile))]


def view_of(
    model: DenseModel,
    config: ValidationConfig,
    images_B3HW: Tensor,
    maps: Maps,
    size_px: tuple[int, int] | None = None,
) -> View:
    """The answer at `size_px` (default: the images' pixels): the mean over the scales and, with `flip`, mirror images.

    `maps` computes the logits of every window; all are computed here, none when rows of pixels are taken.
    """
    size_px = size_px or (images_B3HW.shape[-2], images_B3HW.shape[-1])
    views: list[View] = []
    for scale in config.scales:
        scaled = _resize(images_B3HW, scale)
        for is_mirrored in (False, True) if config.flip else (False,):
            view = _view_by_protocol(model, config, scaled.flip(-1) if is_mirrored else scaled, maps)
            view = Mirrored(view) if is_mirrored else view
            views.append(view if view.size == size_px else Resized(view, size_px))
    return views[0] if len(views) == 1 else Average(views)


def _view_by_protocol(model: DenseModel, config: ValidationConfig, images_B3HW: Tensor, maps: Maps) -> View:
    match config.protocol:
        case "authors":
            return authors_view(model, maps, images_B3HW, config.tile_px)
        case "tiles":
            logits_BKhw = tiled_logits(model, maps, images_B3HW, config.tile_px)
        case "whole":
            logits_BKhw = whole_logits(model, maps, images_B3HW)
    at_cells_BKhw = logits_BKhw if model.head == "transposed" else logits_BKhw.float().softmax(1)
    return CellView.of(model, at_cells_BKhw, (images_B3HW.shape[-2], images_B3HW.shape[-1]))


def _resize(images_B3HW: Tensor, scale: float) -> Tensor:
    if scale == 1.0:
        return images_B3HW
    size = [max(1, round(side * scale)) for side in images_B3HW.shape[-2:]]
    resized = functional.interpolate(images_B3HW.float(), size, mode="bilinear", align_corners=False, antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)
