"""What the machine can do at most: multiply-adds and reading memory, measured in the same run."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch

from configs.schema import Precision
from models import minimal_filtering
from models.geometry import Layer, out_size, taps_on_the_map

DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# Rows, inner length and columns: taps of fc6 over a small and a large map, and a square product.
SHAPES = ((4096, 576, 512), (4096, 3600, 512), (2048, 2048, 2048))
CHANNELS, SIDE_CELLS = 512, 64  # of a 3x3 convolution, whose library may be faster than that of products
GPU_SHAPES = (*SHAPES, (8192, 8192, 8192))  # what fills a CPU is too small for a GPU
FIRST_REPEATS, LATER_REPEATS = 5, 1
MEMORY_BYTES = 2**28  # far above every cache


@dataclass
class Peaks:
    """The fastest matrix products, or convolutions, and readings of memory of a device so far.

    On a CPU with the threads that torch has.

    `multiply_adds_per_s` holds each precision's; `bytes_per_s` are read.
    """

    multiply_adds_per_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(DTYPES, 0.0))
    bytes_per_s: float = 0.0
    device: str = "cpu"

    def measure(self, repeats: int = LATER_REPEATS) -> None:
        """Another look: a limit must not depend on the one moment at which it was measured."""
        for precision, dtype in DTYPES.items():
            for rows, inner, columns in SHAPES if self.device == "cpu" else GPU_SHAPES:
                left, right = (torch.randn(*shape, device=self.device).to(dtype)
                               for shape in ((rows, inner), (inner, columns)))  # fmt: skip
                rate = rows * inner * columns / self._least_s(partial(torch.mm, left, right), repeats)
                self.multiply_adds_per_s[precision] = max(self.multiply_adds_per_s[precision], rate)
            self.multiply_adds_per_s[precision] = max(
                self.multiply_adds_per_s[precision], self._convolution_rate(dtype, repeats)
            )
        values = torch.zeros(MEMORY_BYTES, dtype=torch.uint8, device=self.device).view(torch.int64)
        self.bytes_per_s = max(self.bytes_per_s, MEMORY_BYTES / self._least_s(values.sum, repeats))

    def seconds(self, multiply_adds: float, precision: Precision) -> float:
        """That so many multiply-adds take at least. Mixed precision may use the faster of both products."""
        rates = self.multiply_adds_per_s
        return multiply_adds / (rates["float32"] if precision == "float32" else max(rates.values()))

    def _convolution_rate(self, dtype: torch.dtype, repeats: int) -> float:
        """Multiply-adds a second of the forward pass, none of them on padding."""
        last = torch.channels_last
        maps = torch.randn(1, CHANNELS, SIDE_CELLS, SIDE_CELLS, device=self.device).to(dtype, memory_format=last)
        weight = torch.randn(CHANNELS, CHANNELS, 3, 3, device=self.device).to(dtype, memory_format=last)
        multiply_adds = 9 * CHANNELS**2 * (SIDE_CELLS - 2) ** 2
        return multiply_adds / self._least_s(partial(torch.conv2d, maps, weight), repeats)

    def _least_s(self, work: Callable[[], object], repeats: int) -> float:
        least_s = float("inf")
        for number in range(repeats + 1):  # the first is the warm-up
            wait_for(self.device)
            start_s = time.perf_counter()
            work()
            wait_for(self.device)
            if number:
                least_s = min(least_s, time.perf_counter() - start_s)
        return least_s

    def line(self) -> str:
        rates = ", ".join(f"{name} {2 * rate / 1e9:.0f}" for name, rate in self.multiply_adds_per_s.items())
        memory = f"memory is read at {self.bytes_per_s / 1e9:.1f} GB/s"
        return f"fastest products or convolutions, 10^9 operations a second: {rates}; {memory}"


def wait_for(device: str) -> None:
    """A GPU is asked and answers later: for all that it was asked to be done. A CPU has done it."""
    if device != "cpu":
        torch.cuda.synchronize(device)


def multiply_adds_on_the_map(
    layers: Sequence[Layer], in_channels: int, size: Sequence[int], spares_products: bool = False
) -> list[int]:
    """Of each convolution in order, for one input of `size` (height, width): those on padding zeros are left out.

    `models/cost.py` counts them. A limit may not, for our gradients of fc6 leave some of them out. With
    `spares_products` wide layers are counted as our answers in float32 compute them.
    """
    counts = []
    for layer in layers:
        if not layer.is_pooling:
            pairs = [taps_on_the_map(layer, length) for length in size]
            if spares_products and minimal_filtering.pays(layer, in_channels, 1, size):
                pairs[0] = minimal_filtering.rows_of_products(layer, size[0])
            counts.append(in_channels * layer.out_channels * pairs[0] * pairs[1])
        size = [out_size([layer], length) for length in size]
        in_channels = layer.out_channels
    return counts


def training_multiply_adds(layers: Sequence[Layer], in_channels: int, size: Sequence[int]) -> int:
    """Of a forward and a backward pass: of each layer, its weights' gradient, and its input's but for the first."""
    first, *others = multiply_adds_on_the_map(layers, in_channels, size)
    return 2 * first + 3 * sum(others)
