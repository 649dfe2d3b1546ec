"""What a network costs for one image: parameters, multiply-adds, activation memory. Arithmetic on the layer tables."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from configs.schema import ModelConfig
from models import geometry
from models.geometry import Layer
from models.layers import DROPOUT_LAYERS, NUM_COLOURS, context_layers, frontend_layers

FLOAT_BYTES = 4  # float32
INDEX_BYTES = 8  # a pooling keeps where each maximum was


@dataclass(frozen=True)
class Cost:
    """A multiply-add is two floating-point operations; those on padding zeros count, additions of biases do not.

    `activation_bytes` is what the backward pass keeps of one image in float32: every layer's input, the indices of the
    poolings, and once more what dropout lets through (its masks, 1 or 4 bytes a value, depend on the device).
    """

    parameters: int
    multiply_adds: int
    activation_bytes: int

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.parameters + other.parameters,
            self.multiply_adds + other.multiply_adds,
            self.activation_bytes + other.activation_bytes,
        )


def frontend_cost(config: ModelConfig, num_classes: int, crop_px: Sequence[int]) -> Cost:
    """For a crop of (height, width) px, with the margin that it needs around it."""
    layers = frontend_layers(config.frontend, config.padding, num_classes)
    total = _cost(layers, NUM_COLOURS, [pixels + 2 * geometry.margin(layers) for pixels in crop_px])
    if config.frontend.dropout == 0:
        return total
    num_channels = sum(layer.out_channels for layer in layers if layer.name in DROPOUT_LAYERS)
    return total + Cost(0, 0, num_channels * math.prod(map_cells(config, crop_px)) * FLOAT_BYTES)


def context_cost(config: ModelConfig, num_classes: int, crop_px: Sequence[int]) -> Cost:
    """For the map of a crop of (height, width) px."""
    return _cost(context_layers(config.context, num_classes), num_classes, map_cells(config, crop_px))


def network_parameters(config: ModelConfig, num_classes: int) -> int:
    """Weights and biases of the front end and the context module."""
    one_cell = (8, 8)
    parts = (frontend_cost(config, num_classes, one_cell), context_cost(config, num_classes, one_cell))
    return sum(part.parameters for part in parts)


def map_cells(config: ModelConfig, crop_px: Sequence[int]) -> tuple[int, int]:
    """Height and width of the map that the front end makes of a crop and its margin."""
    layers = frontend_layers(config.frontend, config.padding)
    margin = geometry.margin(layers)
    height, width = (geometry.out_size(layers, pixels + 2 * margin) for pixels in crop_px)
    return height, width


def _cost(layers: Sequence[Layer], in_channels: int, size: Sequence[int]) -> Cost:
    """`in_channels` of the first layer's input, `size` in its pixels or cells."""
    parameters = multiply_adds = activation_bytes = 0
    for layer in layers:
        activation_bytes += in_channels * math.prod(size) * FLOAT_BYTES
        size = [geometry.out_size([layer], length) for length in size]
        if layer.is_pooling:
            activation_bytes += layer.out_channels * math.prod(size) * INDEX_BYTES
        else:
            weights = layer.kernel**2 * in_channels * layer.out_channels
            parameters += weights + layer.out_channels
            multiply_adds += weights * math.prod(size)
        in_channels = layer.out_channels
    return Cost(parameters, multiply_adds, activation_bytes)
