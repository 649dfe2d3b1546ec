"""What a stack of layers sees and how large its output is: integers only, no torch.

Sizes are pixels of the image or cells of the map (one cell is `stride` pixels).
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """One convolution or pooling, the same along both axes. `padding` counts zeros added at each side."""

    name: str
    kernel: int
    dilation: int = 1
    stride: int = 1
    padding: int = 0
    out_channels: int = 1
    block: int = 0  # of the front end's 3x3 convolutions and their pooling, from 1; 0 outside of them

    @property
    def is_pooling(self) -> bool:
        """No convolution has a stride."""
        return self.stride > 1

    @property
    def extent(self) -> int:
        """Pixels of its input from the first to the last tap."""
        return self.dilation * (self.kernel - 1) + 1


def stride(layers: Sequence[Layer]) -> int:
    product = 1
    for layer in layers:
        product *= layer.stride
    return product


def receptive_field(layers: Sequence[Layer]) -> int:
    """Side of the input square that one output value depends on, borders aside."""
    field = 1
    for layer in reversed(layers):
        field = layer.stride * field + (layer.extent - layer.stride)
    return field


def out_size(layers: Sequence[Layer], size: int) -> int:
    """Output length for an input of `size`. Strided layers round up, as Caffe pools; 0 if the input is too short."""
    for layer in layers:
        size += 2 * layer.padding
        if size < layer.extent:
            return 0
        size = -(-(size - layer.extent) // layer.stride) + 1
    return size


def taps_on_the_map(layer: Layer, size: int) -> int:
    """Pairs of an output position and a tap along one axis of length `size` whose input is no padding zero."""
    shifts = (tap * layer.dilation - layer.padding for tap in range(layer.kernel))
    num_outputs = out_size([layer], size)
    return sum(max(0, min(num_outputs, size - shift) - max(0, -shift)) for shift in shifts)


def reach(layers: Sequence[Layer]) -> int:
    """Pixels that an output value sees beyond its own `stride` pixels, to each side."""
    beyond = receptive_field(layers) - stride(layers)
    assert beyond % 2 == 0, f"asymmetric stack: it sees {beyond} px more than its stride"
    return beyond // 2


def margin(layers: Sequence[Layer]) -> int:
    """Pixels that the unpadded stack eats at each side, so that crop + 2 * margin gives ceil(crop / stride) cells."""
    return reach(layers) if all(layer.padding == 0 for layer in layers) else 0
