"""Convolution that keeps off kernels of the CPU library that are slow, or wrong, and off products that can be spared.

Where oneDNN's direct kernels refuse a dilated convolution (no AVX-512, or an input lower than the dilated kernel is
high), it computes the weight gradient by matrix products. They book 16 bytes of scratch memory a weight and are refused
above 1 GiB, that is 2^26 weights; what then remains is a reference kernel, hundreds of times slower. Of the paper's
layers only fc6 is so large (512 -> 4096, 7x7: 1.5 * 2^26).

Above that bound both gradients are computed tap by tap: for each of the 49, output gradient^T x input under the tap
(4096 x cells x 512), and output gradient x weights of the tap (cells x 4096 x 512), added up in float32. These products
run at the processor's peak in any precision, need no scratch memory, and leave out the cells whose tap lies on zeros
beyond the map: of 16x16 cells and 49 taps dilated by 4, two thirds of all products.

In bfloat16 the weight gradient of a dilated convolution over more than 16 input channels that are no multiple of 16,
as of 19 or 21 classes, is wrong on channels-last maps, or ends the process (oneDNN 3.12 with avx512_bf16: errors as
large as the gradient, NaN, segmentation faults; forward pass and input gradient are right). It goes tap by tap, too.

Where nothing learns, wide layers take fewer products than they have taps, in float32 (models/minimal_filtering.py).
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from models import minimal_filtering
from models.geometry import Layer

LARGEST_WEIGHT_BY_LIBRARY = 2**26  # elements
BLOCK_CHANNELS = 16  # of input channels, that the library computes with at once


class Conv2d(nn.Conv2d):
    """`nn.Conv2d`, parameters and checkpoints included; on a CPU some layers answer faster, or learn faster, or at all.

    A layer that learns gives the same output, bit for bit; what nothing learns from may differ by float32's rounding.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self._is_plain(input) or isinstance(self.padding, str):
            return super().forward(input)
        if self._spares_products(input, self.padding):
            return minimal_filtering.conv2d(input, self.weight, self.bias, self.padding, self.dilation)
        if self._learns_tap_by_tap(input):
            weight, bias = _autocast(self.weight), None if self.bias is None else _autocast(self.bias)
            return tapwise_conv2d(_autocast(input), weight, bias, self.padding, self.dilation)
        return super().forward(input)

    def _is_plain(self, input: Tensor) -> bool:
        return (
            input.device.type == "cpu"
            and input.dim() == 4
            and self.groups == 1
            and self.stride == (1, 1)
            and self.padding_mode == "zeros"
            # Whoever exports the network wants convolutions in it.
            and not (torch.compiler.is_compiling() or torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]
        )

    def _spares_products(self, input: Tensor, padding: tuple[int, ...]) -> bool:
        learns = torch.is_grad_enabled() and (input.requires_grad or self.weight.requires_grad)
        if learns or not input.dtype == self.weight.dtype == _autocast_dtype(input) == torch.float32:
            return False
        if any(vertical != horizontal for vertical, horizontal in (self.kernel_size, padding, self.dilation)):
            return False
        layer = Layer("", self.kernel_size[0], self.dilation[0], padding=padding[0], out_channels=self.out_channels)
        return minimal_filtering.pays(layer, self.in_channels, len(input), input.shape[2:])

    def _learns_tap_by_tap(self, input: Tensor) -> bool:
        has_16_bits = _autocast_dtype(input).itemsize == 2
        return (
            torch.is_grad_enabled()
            and self.weight.requires_grad
            and goes_tap_by_tap(self.weight.numel(), self.in_channels, max(self.dilation), has_16_bits)
        )


def goes_tap_by_tap(num_weights: int, in_channels: int, dilation: int, has_16_bits: bool) -> bool:
    """Whether a CPU's library computes the gradients of such a layer too slowly, or wrongly."""
    has_rest = in_channels > BLOCK_CHANNELS and in_channels % BLOCK_CHANNELS > 0
    return num_weights > LARGEST_WEIGHT_BY_LIBRARY or (has_16_bits and has_rest and dilation > 1)


def tapwise_conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, ...], dilation: tuple[int, ...]
) -> Tensor:
    """`functional.conv2d` with stride 1; the gradients are computed tap by tap. Differentiable once."""
    output: Tensor = _TapwiseGradients.apply(input, weight, bias, padding, dilation)
    return output


def weight_gradient(
    input_BIHW: Tensor,
    gradient_BOhw: Tensor,
    kernel: tuple[int, int],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Tensor:
    """Gradient (O, I, *kernel), channels last, of a convolution with stride 1. Fastest on channels-last maps."""
    input_BHWI, gradient_BhwO = input_BIHW.permute(0, 2, 3, 1), gradient_BOhw.permute(0, 2, 3, 1)
    (in_height, in_width, num_inputs), (height, width, num_outputs) = input_BHWI.shape[1:], gradient_BhwO.shape[1:]
    result_OklI = input_BIHW.new_zeros(num_outputs, *kernel, num_inputs)
    for column, columns, in_columns in _on_the_map(kernel[1], padding[1], dilation[1], in_width, width):
        gradient_BhnO = gradient_BhwO[:, :, columns].contiguous()
        input_BHnI = input_BHWI[:, :, in_columns].contiguous()
        for row, rows, in_rows in _on_the_map(kernel[0], padding[0], dilation[0], in_height, height):
            gradients_NO = gradient_BhnO[:, rows].reshape(-1, num_outputs)
            inputs_NI = input_BHnI[:, in_rows].reshape(-1, num_inputs)
            torch.mm(gradients_NO.T, inputs_NI, out=result_OklI[:, row, column])
    return result_OklI.permute(0, 3, 1, 2)


def input_gradient(
    gradient_BOhw: Tensor,
    weight_OIkl: Tensor,
    in_size: tuple[int, int],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Tensor:
    """Gradient (B, I, *in_size), channels last, of a convolution with stride 1. Fastest on channels-last weights."""
    gradient_BhwO, weight_klOI = gradient_BOhw.permute(0, 2, 3, 1), weight_OIkl.permute(2, 3, 0, 1)
    (height, width, num_outputs), (*kernel, _, num_inputs) = gradient_BhwO.shape[1:], weight_klOI.shape
    exact = torch.promote_types(weight_OIkl.dtype, torch.float32)  # a sum of 49 bfloat16 products is kept exact
    sum_BHWI = weight_OIkl.new_zeros(len(gradient_BhwO), *in_size, num_inputs, dtype=exact)
    for column, columns, in_columns in _on_the_map(kernel[1], padding[1], dilation[1], in_size[1], width):
        gradient_BhnO = gradient_BhwO[:, :, columns].contiguous()
        for row, rows, in_rows in _on_the_map(kernel[0], padding[0], dilation[0], in_size[0], height):
            products_NI = gradient_BhnO[:, rows].reshape(-1, num_outputs) @ weight_klOI[row, column]
            under_tap_BmnI = sum_BHWI[:, in_rows, in_columns]
            under_tap_BmnI += products_NI.view(under_tap_BmnI.shape)
    return sum_BHWI.to(weight_OIkl.dtype).permute(0, 3, 1, 2)


def _on_the_map(
    kernel: int, padding: int, dilation: int, in_length: int, length: int
) -> Iterator[tuple[int, slice, slice]]:
    """Along one axis, of each tap: its number, the output's cells whose tap lies on the map, and the cells under it."""
    for tap in range(kernel):
        shift = tap * dilation - padding
        first, last = max(0, -shift), min(length, in_length - shift)
        if first < last:
            yield tap, slice(first, last), slice(first + shift, last + shift)


class _TapwiseGradients(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        padding: tuple[int, ...],
        dilation: tuple[int, ...],
    ) -> Tensor:
        ctx.save_for_backward(input, weight)
        ctx.padding, ctx.dilation = padding, dilation
        return functional.conv2d(input, weight, bias, 1, padding, dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (output_gradient,) = gradients
        input, weight = ctx.saved_tensors
        needs_input, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        to_input = to_weight = to_bias = None
        if needs_input:
            in_size = (input.shape[2], input.shape[3])
            to_input = input_gradient(output_gradient, weight, in_size, ctx.padding, ctx.dilation)
        if needs_weight:
            kernel = (weight.shape[2], weight.shape[3])
            to_weight = weight_gradient(input, output_gradient, kernel, ctx.padding, ctx.dilation)
        if needs_bias:
            to_bias = output_gradient.sum(dim=(0, 2, 3))
        return to_input, to_weight, to_bias, None, None


def _autocast(tensor: Tensor) -> Tensor:
    """What autocast, if it is on, hands to a convolution: its own casts inside the Function would miss the backward."""
    return tensor.to(_autocast_dtype(tensor))


def _autocast_dtype(tensor: Tensor) -> torch.dtype:
    if not torch.is_autocast_enabled("cpu") or tensor.dtype == torch.float64:
        return tensor.dtype
    return torch.get_autocast_dtype("cpu")
