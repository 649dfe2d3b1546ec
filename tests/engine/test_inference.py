"""From cells to pixels over any size, in one piece or in tiles."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from configs.schema import Protocol, ValidationConfig
from engine.inference import crop_reflected, probabilities, reflected_range, tiled_logits, whole_logits


class Blur(nn.Module):
    """A dense model whose answer is known: one valid convolution over (2 m + 8) px at stride 8."""

    stride, margin_px, node_offset_px, num_classes, context = 8, 12, 0.0, 3, None

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
    config = ValidationConfig(protocol=Protocol.tiles, tile_px=[32, 32], scales=[0.5, 1.0, 1.5])
    assert probabilities(Blur(), config, photograph(61, 83)).shape == (1, 3, 61, 83)  # type: ignore[arg-type]
