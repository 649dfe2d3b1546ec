"""Convolution whose weight gradient keeps off the CPU library's reference kernel.

Where oneDNN's direct kernels refuse a dilated convolution (no AVX-512, or an input lower than the dilated kernel is
high), it computes the weight gradient by matrix products. They book 16 bytes of scratch memory a weight and are refused
above 1 GiB, that is 2^26 weights; what then remains is a reference kernel, hundreds of times slower. Of the paper's
layers only fc6 is so large (512 -> 4096, 7x7: 1.5 * 2^26). Output channels do not depend on each other, so the same
gradient is computed in blocks of them, each well below the limit.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_weight

LARGEST_WHOLE_WEIGHT = 2**26  # elements
BLOCK_CHANNELS = 256  # 6.4 million weights a block of fc6: most of the scratch memory is left to the unrolled input


class Conv2d(nn.Conv2d):
    """`nn.Conv2d`, parameters, checkpoints and results included; only huge layers learn faster on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        if not self._needs_blocks(input) or isinstance(self.padding, str):
            return super().forward(input)
        weight, bias = _autocast(self.weight), None if self.bias is None else _autocast(self.bias)
        return blocked_conv2d(_autocast(input), weight, bias, self.stride, self.padding, self.dilation, BLOCK_CHANNELS)

    def _needs_blocks(self, input: Tensor) -> bool:
        return (
            self.weight.numel() > LARGEST_WHOLE_WEIGHT
            and input.device.type == "cpu"
            and torch.is_grad_enabled()
            and self.weight.requires_grad
            and self.groups == 1
            and self.padding_mode == "zeros"
        )


def blocked_conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    block_channels: int,
) -> Tensor:
    """`functional.conv2d`; the weight gradient is computed for `block_channels` output channels at a time."""
    output: Tensor = _BlockedWeightGradient.apply(input, weight, bias, (stride, padding, dilation), block_channels)
    return output


class _BlockedWeightGradient(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        geometry: tuple[tuple[int, ...], ...],
        block_channels: int,
    ) -> Tensor:
        ctx.save_for_backward(input, weight)
        ctx.geometry = geometry
        ctx.block_channels = block_channels
        stride, padding, dilation = geometry
        return functional.conv2d(input, weight, bias, stride, padding, dilation)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (output_gradient,) = gradients
        input, weight = ctx.saved_tensors
        needs_input, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        input_gradient = weight_gradient = bias_gradient = None
        if needs_input:
            input_gradient = torch.ops.aten.convolution_backward(
                output_gradient, input, weight, None, *ctx.geometry, False, (0, 0), 1, (True, False, False)
            )[0]
        if needs_weight:
            input = input.contiguous()  # only in this layout does oneDNN shrink its unrolled input to the memory left
            blocks = []
            for first in range(0, weight.shape[0], ctx.block_channels):
                block = output_gradient[:, first : first + ctx.block_channels].contiguous()
                shape = (block.shape[1], *weight.shape[1:])
                blocks.append(conv2d_weight(input, shape, block, *ctx.geometry))  # type: ignore[no-untyped-call]
            weight_gradient = torch.cat(blocks)
        if needs_bias:
            bias_gradient = output_gradient.sum(dim=(0, 2, 3))
        return input_gradient, weight_gradient, bias_gradient, None, None


def _autocast(tensor: Tensor) -> Tensor:
    """What autocast, if it is on, hands to a convolution: its own casts inside the Function would miss the backward."""
    if not torch.is_autocast_enabled("cpu") or tensor.dtype == torch.float64:
        return tensor
    return tensor.to(torch.get_autocast_dtype("cpu"))
