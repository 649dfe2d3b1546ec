"""From cells to pixels over any size, in one piece or in tiles."""

from typing import get_args

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from configs.schema import Head, ValidationConfig
from engine.evaluation.answers import probabilities
from engine.evaluation.inference import crop_reflected, reflected_range, tiled_logits, whole_logits


class Blur(nn.Module):
    """A dense model whose answer is known: one valid convolution over (2 m + 8) px at stride 8."""

    stride, margin_px, node_offset_px, num_classes, context = 8, 12, 0.0, 3, None
    head = "interpolated"

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.kernel = torch.randn(3, 3, 32, 32, generator=generator, dtype=torch.float64) / 1000

    def forward(self, images_B3HW: Tensor) -> Tensor:
        return functional.conv2d(images_B3HW.double(), self.kernel, stride=8)


def photograph(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (1, 3, height, width), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def test_reflection_folds_as_often_as_needed() -> None:
    assert reflected_range(-4, 6, 3).tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0, 1]
    assert reflected_range(-2, 2, 1).tolist() == [0, 0, 0, 0]


def test_reflection_equals_torchs_where_torch_can() -> None:
    image = photograph(20, 30)
    reference = functional.pad(image.float(), (7, 7, 7, 7), mode="reflect")
    assert torch.equal(crop_reflected(image, -7, -7, 34, 44).float(), reference)


@pytest.mark.parametrize("size", [(64, 96), (61, 83), (40, 17), (5, 3), (1, 30)])
def test_every_size_gives_a_distribution_at_every_pixel(size: tuple[int, int]) -> None:
    shares = probabilities(Blur(), ValidationConfig(), photograph(*size))  # type: ignore[arg-type]
    assert shares.shape == (1, 3, *size)
    torch.testing.assert_close(shares.sum(1), torch.ones(1, *size))


@pytest.mark.parametrize("size", [(64, 96), (61, 83), (130, 40)])
@pytest.mark.parametrize("tile_px", [[32, 32], [24, 64], [512, 512]])
def test_tiles_equal_the_whole_image_when_the_margin_covers_the_field(
    size: tuple[int, int], tile_px: list[int]
) -> None:
    model = Blur()
    whole = whole_logits(model, model, photograph(*size))  # type: ignore[arg-type]
    tiles = tiled_logits(model, model, photograph(*size), tile_px)  # type: ignore[arg-type]
    torch.testing.assert_close(tiles, whole, rtol=1e-12, atol=1e-12)


def test_flip_averages_with_the_mirrored_answer_of_the_mirrored_image() -> None:
    model, image = Blur(), photograph(48, 64)
    plain = probabilities(model, ValidationConfig(), image)  # type: ignore[arg-type]
    mirrored = probabilities(model, ValidationConfig(), image.flip(-1)).flip(-1)  # type: ignore[arg-type]
    both = probabilities(model, ValidationConfig(flip=True), image)  # type: ignore[arg-type]
    torch.testing.assert_close(both, (plain + mirrored) / 2)


def test_scales_keep_the_size_and_tiles_reach_the_protocol() -> None:
    config = ValidationConfig(protocol="tiles", tile_px=[32, 32], scales=[0.5, 1.0, 1.5])
    assert probabilities(Blur(), config, photograph(61, 83)).shape == (1, 3, 61, 83)  # type: ignore[arg-type]


@pytest.mark.parametrize("tile_px", [[32, 48], [32, 44]])
@pytest.mark.parametrize("size", [(64, 96), (61, 83), (33, 40), (7, 5), (1, 1)])
def test_the_authors_tiles_are_what_opencv_s_borders_make(size: tuple[int, int], tile_px: list[int]) -> None:
    """Reflect the image by the margin, cut, reflect what the last tile lacks about its own edge."""
    image, windows = photograph(*size), []

    def maps(tile: Tensor) -> Tensor:
        windows.append(tile[0].permute(1, 2, 0).numpy())
        return Blur()(tile)

    config = ValidationConfig(protocol="authors", tile_px=tile_px)
    probabilities(Blur(), config, image, maps)  # type: ignore[arg-type]
    reflect, (height, width) = cv2.BORDER_REFLECT_101, [side + 24 for side in tile_px]
    padded = cv2.copyMakeBorder(image[0].permute(1, 2, 0).numpy(), 12, 12, 12, 12, reflect)
    expected = []
    for top in range(0, size[0], 32):
        for left in range(0, size[1], 48):  # 44 is no whole number of cells: the next tile starts at the next cell
            tile = padded[top : top + height, left : left + width]
            expected.append(cv2.copyMakeBorder(tile, 0, height - len(tile), 0, width - tile.shape[1], reflect))
    assert len(windows) == len(expected)
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(windows, expected, strict=True))


@pytest.mark.parametrize("head", get_args(Head))
@pytest.mark.parametrize("size", [(64, 96), (61, 83), (20, 130)])
def test_the_authors_protocol_answers_as_whole_images_do_where_nothing_beyond_the_margin_is_seen(
    size: tuple[int, int], head: Head
) -> None:
    """Both agree up to the last cell inside the image: past it theirs has one more, ours repeats the last."""
    model = Blur()
    model.head, model.node_offset_px = head, 3.5 if head == "transposed" else 0.0
    authors = ValidationConfig(protocol="authors", tile_px=[1024, 1024])
    theirs, ours = (probabilities(model, config, photograph(*size)) for config in (authors, ValidationConfig()))  # type: ignore[arg-type]
    inside = slice(None), slice(None), slice(0, size[0] // 8 * 8 - 7), slice(0, size[1] // 8 * 8 - 7)
    torch.testing.assert_close(theirs[inside], ours[inside], rtol=1e-5, atol=1e-6)


def test_the_authors_protocol_is_float32_whatever_the_run_computes_in() -> None:
    model, image = nn.Conv2d(3, 3, 32, stride=8), photograph(40, 40)
    blur = Blur()
    config = ValidationConfig(protocol="authors", tile_px=[40, 40])
    with torch.inference_mode():
        exact = probabilities(blur, config, image, lambda tile: model(tile.float()))  # type: ignore[arg-type]
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(probabilities(blur, config, image, lambda tile: model(tile.float())), exact)  # type: ignore[arg-type]
