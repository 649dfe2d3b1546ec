"""Where a cell sits: the classic silent error of ports is a shift by 3.5 px."""

import pytest
import torch
from torch.nn import functional

from engine.grid import sample_labels, upsample


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


@pytest.mark.parametrize("offset", [0, 3])
def test_labels_are_taken_where_upsampling_puts_the_cell(offset: int) -> None:
    labels = torch.randint(0, 9, (1, 40, 48))
    cells = sample_labels(labels, 8, offset)
    pixels = upsample(cells[:, None].float(), (40, 48), 8, offset)[:, 0]
    assert torch.equal(pixels[:, offset::8, offset::8], cells.float())


def test_half_pixel_nodes_have_no_label() -> None:
    with pytest.raises(AssertionError, match=r"3\.5"):
        sample_labels(torch.zeros(1, 8, 8), 8, 3.5)
