"""Fewer products give what the library's convolution gives, and only wide layers of which nothing learns take them."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models import minimal_filtering
from models.convolution import Conv2d
from models.geometry import Layer
from models.minimal_filtering import POINTS, conv2d, filtering, pays


def operands(dtype: torch.dtype, kernel: tuple[int, int], size: tuple[int, int] = (30, 29)) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 5, *size), (7, 5, *kernel), (7,)]
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


@pytest.mark.parametrize("taps", POINTS)
def test_the_products_give_the_sums_of_the_filter(taps: int) -> None:
    steps = filtering(taps)
    generator = torch.Generator().manual_seed(taps)
    inputs = torch.randn(steps.products, generator=generator, dtype=torch.float64)
    weights = torch.randn(taps, generator=generator, dtype=torch.float64)
    of_inputs, of_weights, to_outputs = (inputs.new_tensor(matrix) for matrix in steps[2:])
    expected = inputs.unfold(0, taps, 1) @ weights
    torch.testing.assert_close(to_outputs @ ((of_weights @ weights) * (of_inputs @ inputs)), expected)
    assert len(expected) == steps.outputs


@pytest.mark.parametrize("kernel", [(3, 3), (7, 7), (3, 1), (7, 2)])
@pytest.mark.parametrize(("padding", "dilation"), list(product([(0, 0), (1, 3), (9, 2)], [(1, 1), (2, 2), (4, 3)])))
def test_results_are_the_librarys(
    kernel: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bands of one block of rows, and three output channels at a time."""
    monkeypatch.setattr(minimal_filtering, "BAND_BYTES", 1)
    monkeypatch.setattr(minimal_filtering, "BLOCK_CHANNELS", 3)
    image, weight, bias = operands(torch.float64, kernel)
    for chosen in (bias, None):
        output = conv2d(image, weight, chosen, padding, dilation)
        expected = functional.conv2d(image, weight, chosen, 1, padding, dilation)
        torch.testing.assert_close(output, expected, rtol=1e-11, atol=1e-11)
        assert output.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 1), (16, 16), (17, 3)])
def test_maps_of_any_size(size: tuple[int, int]) -> None:
    image, weight, bias = operands(torch.float64, (3, 3), size)
    output = conv2d(image, weight, bias, (2, 2), (2, 2))
    torch.testing.assert_close(output, functional.conv2d(image, weight, bias, 1, 2, 2), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (3, 2), (7, 4)])
def test_rounding_stays_within_some_millionths(kernel: int, dilation: int, layout: torch.memory_format) -> None:
    """Of the result's standard deviation, with as many channels as the paper's layers have."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 512, 40, 40, generator=generator).relu().contiguous(memory_format=layout)
    weight = torch.randn(32, 512, kernel, kernel, generator=generator).contiguous(memory_format=layout)
    expected = functional.conv2d(image.double(), weight.double(), dilation=dilation)
    error = (conv2d(image, weight, None, (0, 0), 2 * (dilation,)) - expected) / expected.std()
    assert error.square().mean().sqrt() < 3e-6
    assert error.abs().max() < 3e-5


def conv5(out_channels: int = 512, padding: int = 2, dilation: int = 2) -> Layer:
    return Layer("conv5_1", 3, dilation, padding=padding, out_channels=out_channels)


@pytest.mark.parametrize(
    ("layer", "in_channels", "images", "size", "expected"),
    [
        (conv5(), 512, 1, (45, 60), True),
        (conv5(256, 1, 1), 256, 1, (90, 120), True),
        (Layer("fc6", 7, 4, out_channels=4096), 512, 1, (71, 87), True),
        (conv5(), 255, 1, (45, 60), False),
        (conv5(255), 512, 1, (45, 60), False),
        (conv5(), 512, 1, (24, 24), False),
        (conv5(), 512, 4, (24, 24), True),
        (conv5(), 512, 64, (1, 60), False),
        (conv5(padding=8, dilation=8), 512, 8, (9, 60), False),
        (Layer("fc6", 7, 4, padding=12, out_channels=4096), 512, 4, (16, 16), False),
        (Layer("fc7", 1, out_channels=4096), 4096, 1, (45, 60), False),
        (Layer("5x5", 5, padding=2, out_channels=512), 512, 1, (45, 60), False),
        (conv5(padding=0), 512, 99, (2, 2000), False),
    ],
    ids=[
        *("conv5", "conv3", "fc6", "few channels in", "few channels out", "few results", "four images"),
        *("rows that need one tap", "rows that fill half a block", "fc6 mostly on zeros", "1x1", "5x5", "empty"),
    ],
)
def test_where_fewer_products_pay(
    layer: Layer, in_channels: int, images: int, size: tuple[int, int], expected: bool
) -> None:
    assert pays(layer, in_channels, images, size) == expected


@pytest.fixture
def filtered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows with each convolution by fewer products, of which the narrowest layer is worth it."""
    calls: list[str] = []

    def counted(*arguments: Tensor) -> Tensor:
        calls.append("filtered")
        return conv2d(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(minimal_filtering, "FEWEST_CHANNELS", 1)
    monkeypatch.setattr(minimal_filtering, "FEWEST_RESULTS", 1)
    monkeypatch.setattr(minimal_filtering, "conv2d", counted)
    return calls


def test_a_layer_takes_them_where_nothing_learns(filtered: list[str]) -> None:
    layer, image = Conv2d(4, 6, 3, padding=2, dilation=2), torch.randn(1, 4, 16, 16)
    learning = layer(image)
    assert not filtered
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            torch.testing.assert_close(layer(image), learning, rtol=1e-5, atol=1e-5)
    frozen = layer.requires_grad_(False)(image)
    torch.testing.assert_close(frozen, learning, rtol=1e-5, atol=1e-5)
    assert len(filtered) == 3
    layer(image.requires_grad_())
    assert len(filtered) == 3


@pytest.mark.parametrize(
    "layer",
    [
        Conv2d(4, 4, 3, padding=1, stride=2),
        Conv2d(4, 4, 3, padding=1, groups=2),
        Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        Conv2d(4, 4, 3, padding="same"),
        Conv2d(4, 4, 3, padding=(1, 2)),
        Conv2d(4, 4, 3, padding=1).double(),
        Conv2d(4, 4, 3, padding=1).bfloat16(),
        Conv2d(4, 4, 3, padding=1).to("meta"),
    ],
    ids=["stride", "groups", "reflect", "same", "two paddings", "float64", "bfloat16", "another device"],
)
@torch.no_grad()
def test_other_layers_are_the_librarys(layer: Conv2d, filtered: list[str]) -> None:
    image = torch.randn(1, 4, 16, 16).to(layer.weight)
    assert layer(image).shape == nn.Conv2d.forward(layer, image).shape
    assert not filtered


@torch.no_grad()
def test_autocast_and_images_without_a_batch_are_the_librarys(filtered: list[str]) -> None:
    layer, image = Conv2d(4, 4, 3, padding=1), torch.randn(1, 4, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        layer(image)
    assert torch.equal(layer(image[0]), nn.Conv2d.forward(layer, image[0]))
    assert not filtered


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*:FutureWarning")
def test_an_exported_layer_is_a_convolution(filtered: list[str]) -> None:
    layer, image = Conv2d(4, 4, 3, padding=1).requires_grad_(False), torch.randn(1, 4, 16, 16)
    exported = torch.export.export(layer, (image,))
    assert [str(node.target) for node in exported.graph.nodes if node.op == "call_function"] == ["aten.conv2d.default"]
    assert "aten::_convolution" in str(torch.jit.trace(layer, image, check_trace=False).inlined_graph)
    assert not filtered
