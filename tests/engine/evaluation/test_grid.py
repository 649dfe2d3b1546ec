"""Where a cell sits: the classic silent error of ports is a shift by 3.5 px."""

import pytest
import torch
from torch.nn import functional

from engine.evaluation.grid import sample_labels, upsample


def test_offset_0_equals_align_corners_and_repeats_the_last_cell() -> None:
    maps = torch.randn(2, 3, 5, 7)
    ours = upsample(maps, (40, 56), 8, 0.0)
    reference = functional.interpolate(maps, (8 * 4 + 1, 8 * 6 + 1), mode="bilinear", align_corners=True)
    torch.testing.assert_close(ours[..., :33, :49], reference)
    torch.testing.assert_close(ours[..., 33:, :49], reference[..., -1:, :].expand(-1, -1, 7, -1))


def test_offset_3_5_equals_bilinear_without_align_corners() -> None:
    maps = torch.randn(2, 3, 5, 7)
    reference = functional.interpolate(maps, scale_factor=8, mode="bilinear", align_corners=False)
    torch.testing.assert_close(upsample(maps, (40, 56), 8, 3.5), reference)


@pytest.mark.parametrize("size", [(40, 56), (37, 50)])
def test_the_transposed_head_is_the_bilinear_transposed_convolution(size: tuple[int, int]) -> None:
    """Kernel 16, stride 8, padding 4, a group for each class; taps by the formula of Caffe's bilinear filler."""
    maps = torch.randn(2, 3, 5, 7)
    taps = torch.tensor([1 - abs(k / 8 - (2 * 8 - 1 - 8 % 2) / (2 * 8)) for k in range(16)])
    kernel = torch.outer(taps, taps).expand(3, 1, 16, 16)
    reference = functional.conv_transpose2d(maps, kernel, stride=8, padding=4, groups=3)
    ours = upsample(maps, size, 8, 3.5, "transposed")
    torch.testing.assert_close(ours, reference[..., : size[0], : size[1]])


@pytest.mark.parametrize("offset", [0, 3])
def test_labels_are_taken_where_upsampling_puts_the_cell(offset: int) -> None:
    labels = torch.randint(0, 9, (1, 40, 48))
    cells = sample_labels(labels, 8, offset)
    pixels = upsample(cells[:, None].float(), (40, 48), 8, offset)[:, 0]
    assert torch.equal(pixels[:, offset::8, offset::8], cells.float())


def test_half_pixel_nodes_have_no_label() -> None:
    with pytest.raises(AssertionError, match=r"3\.5"):
        sample_labels(torch.zeros(1, 8, 8), 8, 3.5)
