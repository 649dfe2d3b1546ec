"""The gradients tap by tap are the convolution's own, and only huge layers on a CPU take them."""

import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from models import convolution
from models.convolution import Conv2d, tapwise_conv2d

GEOMETRY = ((4, 2), (2, 1))  # padding, dilation


def operands(
    dtype: torch.dtype, in_channels: int = 2, out_channels: int = 5, size: tuple[int, int] = (3, 4)
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, in_channels, *size), (out_channels, in_channels, 3, 3), (out_channels,)]
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("size", [(3, 4), (1, 1), (9, 5)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 3), (4, 2), (9, 9)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1), (4, 3)])
def test_output_and_gradients_are_those_of_the_stock_convolution(
    size: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]
) -> None:
    if any(side + 2 * zeros < 2 * step + 1 for side, zeros, step in zip(size, padding, dilation, strict=True)):
        pytest.skip("the kernel is larger than the map")
    ours, stock = operands(torch.float64, size=size), operands(torch.float64, size=size)
    output = tapwise_conv2d(*ours, padding, dilation)
    expected = functional.conv2d(*stock, 1, padding, dilation)
    torch.testing.assert_close(output, expected, rtol=0, atol=0)
    output.square().sum().backward()
    expected.square().sum().backward()
    for one, other in zip(ours, stock, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-12, atol=1e-12)


def test_gradients_are_those_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(lambda *tensors: tapwise_conv2d(*tensors, *GEOMETRY), operands(torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_training_precisions_and_layouts_agree_with_stock(dtype: torch.dtype, layout: torch.memory_format) -> None:
    ours, stock = operands(dtype, 16, 48), operands(dtype, 16, 48)
    for group in (ours, stock):
        group[0].data = group[0].data.contiguous(memory_format=layout)
        group[1].data = group[1].data.contiguous(memory_format=layout)
    tapwise_conv2d(*ours, *GEOMETRY).square().mean().backward()
    functional.conv2d(*stock, 1, *GEOMETRY).square().mean().backward()
    relative = 1e-2 if dtype is torch.bfloat16 else 1e-5
    for one, other in zip(ours, stock, strict=True):
        assert one.grad is not None and other.grad is not None
        assert one.grad.dtype == dtype
        assert (one.grad - other.grad).norm() < relative * other.grad.norm()


def test_gradients_that_are_not_needed_are_not_computed() -> None:
    image, weight, bias = operands(torch.float32)
    output = tapwise_conv2d(image.detach(), weight, bias.detach(), *GEOMETRY)
    output.sum().backward()
    assert weight.grad is not None and image.grad is None and bias.grad is None
    assert not tapwise_conv2d(*(tensor.detach() for tensor in operands(torch.float32)), *GEOMETRY).requires_grad


def test_an_inplace_activation_may_follow() -> None:
    ours, stock = operands(torch.float64), operands(torch.float64)
    torch.relu_(tapwise_conv2d(*ours, *GEOMETRY)).sum().backward()
    torch.relu(functional.conv2d(*stock, 1, *GEOMETRY)).sum().backward()
    torch.testing.assert_close(ours[1].grad, stock[1].grad)


def test_the_layer_is_invisible_in_checkpoints() -> None:
    stock, ours = nn.Conv2d(3, 5, 3, padding=2, dilation=2), Conv2d(3, 5, 3, padding=2, dilation=2)
    ours.load_state_dict(stock.state_dict())
    image = torch.randn(1, 3, 8, 8)
    assert list(ours.state_dict()) == ["weight", "bias"]
    assert torch.equal(ours(image), stock(image))


def test_of_the_papers_layers_only_fc6_goes_tap_by_tap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake tensors have a size and a device and no memory: fc6 would take 400 MB."""
    calls: list[str] = []

    def counted(*arguments: Any) -> Tensor:
        calls.append("tap by tap")
        return tapwise_conv2d(*arguments)

    def goes_tap_by_tap(layer: Conv2d) -> bool:
        calls.clear()
        layer(torch.empty(1, layer.in_channels, 25, 25, device=layer.weight.device))
        return bool(calls)

    monkeypatch.setattr(convolution, "tapwise_conv2d", counted)
    with FakeTensorMode():
        conv5_1, fc6, fc7 = Conv2d(512, 512, 3, dilation=2), Conv2d(512, 4096, 7, dilation=4), Conv2d(4096, 4096, 1)
        assert [goes_tap_by_tap(layer) for layer in (conv5_1, fc6, fc7)] == [False, True, False]
        with torch.no_grad():
            assert not goes_tap_by_tap(fc6)
        assert not goes_tap_by_tap(fc6.requires_grad_(False))
    with torch.device("meta"):  # any other device keeps the stock convolution
        assert not goes_tap_by_tap(Conv2d(512, 4096, 7, dilation=4))


@pytest.mark.parametrize("dilation", [2, 8])
@pytest.mark.parametrize("channels", [(19, 19), (21, 21), (40, 24), (72, 144), (300, 16)])
def test_gradients_in_bfloat16_are_right_for_any_number_of_channels(channels: tuple[int, int], dilation: int) -> None:
    """The library's own are wrong, or end the process, on processors that multiply bfloat16."""
    torch.manual_seed(0)
    layer = Conv2d(*channels, 3, dilation=dilation, padding=dilation).to(memory_format=torch.channels_last)
    exact = nn.Conv2d(*channels, 3, dilation=dilation, padding=dilation)
    exact.load_state_dict(layer.state_dict())
    maps = torch.randn(2, channels[0], 48, 40).to(memory_format=torch.channels_last)
    inputs = [maps.clone().requires_grad_() for _ in range(2)]
    weights_of_outputs = torch.randn(2, channels[1], 48, 40)
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(inputs[0])
    assert output.dtype == torch.bfloat16
    (output * weights_of_outputs).sum().backward()
    (exact(inputs[1]) * weights_of_outputs).sum().backward()
    for one, other in zip((inputs[0], *layer.parameters()), (inputs[1], *exact.parameters()), strict=True):
        assert one.grad is not None and other.grad is not None
        assert float((one.grad - other.grad).norm() / other.grad.norm()) < 1e-2


@pytest.mark.parametrize("autocast", [False, True])
def test_a_layer_tap_by_tap_trains_as_the_stock_one_does(autocast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "LARGEST_WEIGHT_BY_LIBRARY", 100)
    stock = nn.Conv2d(16, 40, 3, padding=2, dilation=2)
    ours = Conv2d(16, 40, 3, padding=2, dilation=2)
    ours.load_state_dict(stock.state_dict())
    image = torch.randn(1, 16, 4, 4)
    outputs = []
    for layer in (stock, ours):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            outputs.append(layer(image))
        outputs[-1].float().square().mean().backward()
    assert torch.equal(outputs[0], outputs[1])
    assert "TapwiseGradients" in type(outputs[1].grad_fn).__name__
    for one, other in zip(ours.parameters(), stock.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None and one.grad.dtype == torch.float32
        assert (one.grad - other.grad).norm() < (1e-2 if autocast else 1e-5) * other.grad.norm()


@pytest.mark.slow
def test_fc6_gradients_take_a_few_times_its_forward_time() -> None:
    """The reference kernel takes 300 times the forward pass, whatever the processor; taps about 2 times."""
    fc6 = Conv2d(512, 4096, 7, dilation=4, padding=12)
    image = torch.randn(1, 512, 24, 24)
    fc6(image).sum().backward()
    start_s = time.perf_counter()
    output = fc6(image)
    forward_s = time.perf_counter() - start_s
    output.sum().backward()
    assert time.perf_counter() - start_s < 15 * forward_s
