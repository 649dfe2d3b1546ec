"""From maps at cells to probabilities at pixels, a band of rows at a time.

So no array of all classes at all pixels need exist: of a photograph of 12 megapixels and 19 classes it has 0.9 GB.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from configs.schema import Head
from engine.contracts import DenseModel
from engine.evaluation.grid import interpolated, interpolated_columns, interpolated_rows, interpolation_matrix


class View(Protocol):
    """One look at an image of `size` (height, width) in pixels."""

    @property
    def size(self) -> tuple[int, int]: ...

    def rows(self, first: int, last: int) -> Tensor:
        """Class probabilities (B, K, last - first, W) of the rows `first` ... `last - 1`, float32."""
        ...


@dataclass(frozen=True)
class CellView:
    """Maps (B, K, h, w) at the cells: probabilities, or with a transposed convolution as head logits."""

    maps_BKhw: Tensor
    size: tuple[int, int]
    stride: int
    node_offset_px: float
    head: Head

    @staticmethod
    def of(model: DenseModel, maps_BKhw: Tensor, size: tuple[int, int]) -> "CellView":
        return CellView(maps_BKhw, size, model.stride, model.node_offset_px, model.head)

    @cached_property
    def _matrices(self) -> tuple[Tensor, Tensor]:
        """Vertical and horizontal; the same for every band of rows."""
        vertical_Hh, horizontal_Ww = (
            interpolation_matrix(pixels, cells, self.stride, self.node_offset_px, self.head)
            for pixels, cells in zip(self.size, self.maps_BKhw.shape[-2:], strict=True)
        )
        return vertical_Hh, horizontal_Ww

    def _cells_under(self, first: int, last: int) -> tuple[int, int]:
        """The rows of cells that the pixels' rows `first` ... `last - 1` are made of."""
        num_cells = self.maps_BKhw.shape[-2]
        highest, lowest = ((row - self.node_offset_px) / self.stride for row in (first, last - 1))
        begin = min(max(0, math.floor(highest)), num_cells - 1)
        return begin, max(begin + 1, min(num_cells, math.floor(lowest) + 2))

    def rows(self, first: int, last: int) -> Tensor:
        vertical_Hh, horizontal_Ww = self._matrices
        if (first, last) == (0, self.size[0]):  # nothing to leave out, and nothing for a tracer to decide
            pixels = interpolated(self.maps_BKhw, vertical_Hh, horizontal_Ww)
        else:
            begin, end = self._cells_under(first, last)
            columns_BKcW = interpolated_columns(self.maps_BKhw[:, :, begin:end], horizontal_Ww)
            pixels = interpolated_rows(columns_BKcW, vertical_Hh[first:last, begin:end])
        return pixels.softmax(1) if self.head == "transposed" else pixels


@dataclass(frozen=True)
class Mosaic:
    """Views of one size that abut, rows of them; together they reach at least as far as the image does."""

    views: Sequence[Sequence[View]]
    size: tuple[int, int]

    def rows(self, first: int, last: int) -> Tensor:
        bands, top = [], 0
        for row in self.views:
            height = row[0].size[0]
            begin, end = max(first, top), min(last, top + height)
            if begin < end:
                bands.append(torch.cat([view.rows(begin - top, end - top) for view in row], dim=-1))
            top += height
        return torch.cat(bands, dim=-2)[..., : self.size[1]]


@dataclass(frozen=True)
class Mirrored:
    """A view of the mirrored image, turned around."""

    view: View

    @property
    def size(self) -> tuple[int, int]:
        return self.view.size

    def rows(self, first: int, last: int) -> Tensor:
        return self.view.rows(first, last).flip(-1)


@dataclass(frozen=True)
class Resized:
    """A view of the image at another size, as bilinear interpolation with `align_corners=False` makes it."""

    view: View
    size: tuple[int, int]

    @cached_property
    def _matrices(self) -> tuple[Tensor, Tensor]:
        vertical_Hh, horizontal_Ww = (
            interpolation_matrix(num, num_before, num / num_before, (num / num_before - 1) / 2)
            for num, num_before in zip(self.size, self.view.size, strict=True)
        )
        return vertical_Hh, horizontal_Ww

    def _rows_under(self, first: int, last: int) -> tuple[int, int]:
        """The view's rows that `first` ... `last - 1` are made of, and one more at each end: positions are rounded."""
        num, num_before = self.size[0], self.view.size[0]
        highest, lowest = ((row + 0.5) * num_before / num - 0.5 for row in (first, last - 1))
        return max(0, math.floor(highest) - 1), min(num_before, math.floor(lowest) + 3)

    def rows(self, first: int, last: int) -> Tensor:
        vertical_Hh, horizontal_Ww = self._matrices
        begin, end = self._rows_under(first, last)
        return interpolated(self.view.rows(begin, end), vertical_Hh[first:last, begin:end], horizontal_Ww)


@dataclass(frozen=True)
class Average:
    """The mean of views of one size."""

    views: Sequence[View]

    @property
    def size(self) -> tuple[int, int]:
        return self.views[0].size

    def rows(self, first: int, last: int) -> Tensor:
        total = self.views[0].rows(first, last)
        for view in self.views[1:]:
            total = total + view.rows(first, last)
        return total / len(self.views)
