"""Between pixels and cells: cell i of a map stands for pixel `stride * i + node_offset_px`.

The authors train cell i on the label at pixel 8i and zoom with cells at 8i; the centre of its receptive field is
8i+3.5. Mixing the two shifts the answer by 3.5 px, so both directions read the same number.
"""

import torch
from torch import Tensor

from configs.schema import Head


def interpolation_matrix(
    num_pixels: int, num_cells: int, stride: float, node_offset_px: float, head: Head = "interpolated"
) -> Tensor:
    """Linear interpolation of cells at pixels as a matrix (num_pixels, num_cells).

    Before the first cell and past the last one the nearest cell is repeated (paper's code reads past the end there).
    With `head=transposed` zeros lie there: this then is Caffe's bilinear transposed convolution, its kernel
    1 - |p - node| / stride written out (kernel 2 * stride, padding stride / 2, nodes at (stride - 1) / 2).
    """
    position = (torch.arange(num_pixels) - node_offset_px) / stride
    if head == "interpolated":
        position = position.clamp(0, num_cells - 1)
    distance = (position[:, None] - torch.arange(num_cells)).abs()
    return (1 - distance).clamp(min=0)


def upsample(
    maps_BKhw: Tensor, size: tuple[int, int], stride: int, node_offset_px: float, head: Head = "interpolated"
) -> Tensor:
    """Maps at cells to maps at the pixels of an image of `size` (height, width), bilinear, in float32."""
    cells = maps_BKhw.shape[-2:]
    vertical_Hh, horizontal_Ww = (
        interpolation_matrix(pixels, num_cells, stride, node_offset_px, head)
        for pixels, num_cells in zip(size, cells, strict=True)
    )
    return interpolated(maps_BKhw, vertical_Hh, horizontal_Ww)


def interpolated(maps_BKhw: Tensor, vertical_Hh: Tensor, horizontal_Ww: Tensor) -> Tensor:
    """Maps (B, K, H, W), float32, by a matrix for each axis; some rows of the vertical one give those rows alone."""
    return interpolated_columns(interpolated_rows(maps_BKhw, vertical_Hh), horizontal_Ww)


def interpolated_rows(maps_BKhw: Tensor, vertical_Hh: Tensor) -> Tensor:
    """(B, K, H, w), float32."""
    with torch.autocast(maps_BKhw.device.type, enabled=False):
        return torch.matmul(vertical_Hh.to(maps_BKhw.device), maps_BKhw.float())


def interpolated_columns(maps_BKhw: Tensor, horizontal_Ww: Tensor) -> Tensor:
    """(B, K, h, W), float32."""
    with torch.autocast(maps_BKhw.device.type, enabled=False):
        return torch.matmul(maps_BKhw.float(), horizontal_Ww.to(maps_BKhw.device).T)


def sample_labels(labels_BHW: Tensor, stride: int, node_offset_px: float) -> Tensor:
    """The label under every cell, (B, h, w). The node must lie on a pixel."""
    offset = int(node_offset_px)
    assert offset == node_offset_px, f"no label lies at pixel {node_offset_px}: take the loss at the pixels"
    return labels_BHW[:, offset::stride, offset::stride]
