"""Convolution in float32 with fewer products: one axis of the kernel by minimal filtering, the other by the library.

Along the vertical axis `outputs` neighbouring results of a filter of r taps need outputs + r - 1 products of sums of
inputs with sums of weights, not outputs * r (Winograd 1980; Lavin & Gray 2016, arXiv:1509.09308): of three taps half as
many, of seven 4 in 7. A dilated kernel joins every d-th row, and the d interleaved sets of rows are filtered side by
side. The horizontal taps and the channels are left to a convolution of one row each, which the library computes at the
processor's peak.

The result is the same up to rounding, of 1e-6 of its standard deviation where the direct sum has 2e-7 to 8e-7
(docs/experiments.md). In 16 bits the sums would lose digits that the direct sum keeps.
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from models.geometry import Layer, out_size, taps_on_the_map

BAND_BYTES = 2**22  # of the sums of inputs for one product, at least a line of them, that are held at a time
BLOCK_CHANNELS = 512  # of output channels whose sums of weights are held at a time
# Below, and with hardly fewer products, the sums of inputs or of weights cost what they save (docs/experiments.md).
FEWEST_CHANNELS = 256
FEWEST_RESULTS = 2048  # of a channel
LARGEST_SHARE = 0.75


class Filtering(NamedTuple):
    """How neighbouring results of a filter come of its taps and of the inputs under it.

    They are to_outputs @ ((of_weights @ taps) * (of_inputs @ inputs)).
    """

    outputs: int  # neighbours
    taps: int
    of_inputs: tuple[tuple[float, ...], ...]  # (products, products)
    of_weights: tuple[tuple[float, ...], ...]  # (products, taps)
    to_outputs: tuple[tuple[float, ...], ...]  # (outputs, products)

    @property
    def products(self) -> int:
        return self.outputs + self.taps - 1


# The points at which polynomials are evaluated, infinity besides; simple fractions keep rounding small (Barabasz et al.
# 2020, arXiv:1803.10986).
POINTS = {
    3: (4, ("0", "1", "-1", "1/2", "-2")),
    7: (2, ("0", "1", "-1", "2", "-2", "1/2", "-1/2")),
}


@cache
def filtering(taps: int) -> Filtering:
    """For a filter of 3 or 7 taps, by the construction of Toom and Cook, transposed."""
    outputs, texts = POINTS[taps]
    points = [Fraction(text) for text in texts]
    scales = [prod(point - other for other in points if other != point) for point in points]
    at_infinity = [Fraction(0)] * (taps - 1) + [Fraction(1)]
    of_weights = [[point**tap / scale for tap in range(taps)] for point, scale in zip(points, scales, strict=True)]
    of_inputs = [[*_with_roots([other for other in points if other != point]), Fraction(0)] for point in points]
    to_outputs = [[*(point**output for point in points), Fraction(output == outputs - 1)] for output in range(outputs)]
    return Filtering(
        outputs,
        taps,
        _floats([*of_inputs, _with_roots(points)]),
        _floats([*of_weights, at_infinity]),
        _floats(to_outputs),
    )


def _with_roots(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of the polynomial with these roots, constant first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [above - root * here for above, here in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
    return coefficients


def _floats(matrix: Sequence[Sequence[Fraction]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in matrix)


def pays(layer: Layer, in_channels: int, images: int, in_size: Sequence[int]) -> bool:
    """Whether `conv2d` is faster than the library's, for maps of `in_size` (height, width).

    Where the library's taps lie on zeros beyond the map, and where the blocks of rows reach beyond it, less is saved.
    """
    num_results = images * prod(out_size([layer], length) for length in in_size)
    return (
        layer.kernel in POINTS
        and min(in_channels, layer.out_channels) >= FEWEST_CHANNELS
        and num_results >= FEWEST_RESULTS
        and rows_of_products(layer, in_size[0]) <= LARGEST_SHARE * taps_on_the_map(layer, in_size[0])
    )


def rows_of_products(layer: Layer, in_height: int) -> int:
    """That give all rows of results; the direct sum takes as many as it has taps on the map."""
    steps = filtering(layer.kernel)
    return -(-out_size([layer], in_height) // (steps.outputs * layer.dilation)) * layer.dilation * steps.products


def working_bytes(layer: Layer, in_channels: int, images: int, in_width: int) -> int:
    """What `conv2d` takes in float32 at most beside input, weight and output."""
    steps, out_channels = filtering(layer.kernel), min(layer.out_channels, BLOCK_CHANNELS)
    weights = (steps.products + 1) * out_channels * in_channels * layer.kernel * torch.float32.itemsize
    line_bytes = images * layer.dilation * in_width * in_channels * torch.float32.itemsize
    num_blocks = _blocks_of_a_band(line_bytes)
    lines = (num_blocks * steps.outputs + steps.taps - 1) * line_bytes
    sums = num_blocks * line_bytes
    products = sums * out_channels // in_channels
    return weights + lines + sums + products + steps.outputs * products


def conv2d(
    input_BIHW: Tensor, weight_OIkl: Tensor, bias_O: Tensor | None, padding: tuple[int, ...], dilation: tuple[int, ...]
) -> Tensor:
    """`functional.conv2d` with stride 1, (B, O, h, w) channels last, for kernels 3 or 7 high. Not differentiable.

    Fastest on channels-last maps and weights.
    """
    input_BHWI = input_BIHW.permute(0, 2, 3, 1)
    batch, *in_size, in_channels = input_BHWI.shape
    out_channels, _, *kernel = weight_OIkl.shape
    height, width = (
        side + 2 * zeros - step * (taps - 1)
        for side, taps, zeros, step in zip(in_size, kernel, padding, dilation, strict=True)
    )
    steps = filtering(kernel[0])
    output_BhwO = input_BHWI.new_empty(batch, height, width, out_channels)
    line_bytes = batch * dilation[0] * in_size[1] * in_channels * input_BHWI.itemsize
    band_rows = steps.outputs * dilation[0] * _blocks_of_a_band(line_bytes)
    for channel in range(0, out_channels, BLOCK_CHANNELS):
        channels = slice(channel, channel + BLOCK_CHANNELS)
        weights = _sums_of_weights(steps, weight_OIkl[channels])
        for row in range(0, height, band_rows):
            rows = slice(row, min(row + band_rows, height))
            output_BhwO[:, rows, :, channels] = _band(
                steps, input_BHWI, rows, weights, None if bias_O is None else bias_O[channels], padding, dilation
            )
        del weights  # before the next ones are made
    return output_BhwO.permute(0, 3, 1, 2)


def _blocks_of_a_band(line_bytes: int) -> int:
    """Each takes one line, of interleaved rows, of sums of inputs."""
    return max(1, BAND_BYTES // line_bytes)


def _sums_of_weights(steps: Filtering, weight_OIkl: Tensor) -> Tensor:
    """(products, O, I, 1, l), channels last."""
    weight_OklI = weight_OIkl.permute(0, 2, 3, 1)
    matrix = weight_OIkl.new_tensor(steps.of_weights)
    sums_OpN = torch.matmul(matrix, weight_OklI.flatten(2))
    sums_OplI = sums_OpN.view(*sums_OpN.shape[:2], *weight_OklI.shape[2:])
    return sums_OplI.permute(1, 0, 3, 2).unsqueeze(3)


def _band(
    steps: Filtering,
    input_BHWI: Tensor,
    rows: slice,
    weights_pOI1l: Tensor,
    bias_O: Tensor | None,
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Tensor:
    """The output's rows, (B, rows, w, O). Of n blocks of `outputs` times d rows, where d is the vertical dilation."""
    step = dilation[0]
    num_blocks = -(-(rows.stop - rows.start) // (steps.outputs * step))
    lines_BrdWI = _lines(input_BHWI, rows.start - padding[0], num_blocks * steps.outputs + steps.taps - 1, step)
    starts = [lines_BrdWI[:, first :: steps.outputs][:, :num_blocks] for first in range(steps.products)]
    width = input_BHWI.shape[2] + 2 * padding[1] - dilation[1] * (weights_pOI1l.shape[-1] - 1)
    output = input_BHWI.new_zeros(len(input_BHWI), num_blocks, steps.outputs, step, width, weights_pOI1l.shape[1])
    if bias_O is not None:
        output += bias_O
    for number, (factors, weight_OI1l) in enumerate(zip(steps.of_inputs, weights_pOI1l, strict=True)):
        sums_BnWI = _weighted_sum(factors, starts).flatten(1, 2)
        products_BOnw = functional.conv2d(
            sums_BnWI.permute(0, 3, 1, 2), weight_OI1l, None, 1, (0, padding[1]), (1, dilation[1])
        )
        products_BndwO = products_BOnw.permute(0, 2, 3, 1).view(output[:, :, 0].shape)
        for place, to_output in enumerate(steps.to_outputs):
            if to_output[number]:
                output[:, :, place].add_(products_BndwO, alpha=to_output[number])
    return output.flatten(1, 3)[:, : rows.stop - rows.start]


def _lines(input_BHWI: Tensor, first: int, number: int, step: int) -> Tensor:
    """(B, number, step, W, I): the rows from `first` on, every `step` of them together; zeros beyond the map."""
    last, height = first + number * step, input_BHWI.shape[1]
    begin, end = (min(max(row, 0), height) for row in (first, last))
    rows_BHWI = input_BHWI[:, begin:end]
    if end - begin < last - first:
        above = min(max(-first, 0), last - first)
        rows_BHWI = functional.pad(rows_BHWI, (0, 0, 0, 0, above, last - first - above - (end - begin)))
    return rows_BHWI.view(len(rows_BHWI), number, step, *rows_BHWI.shape[2:])


def _weighted_sum(factors: Sequence[float], tensors: Sequence[Tensor]) -> Tensor:
    (first, tensor), *rest = [pair for pair in zip(factors, tensors, strict=True) if pair[0]]
    total = tensor * first
    for factor, tensor in rest:
        total.add_(tensor, alpha=factor)
    return total
