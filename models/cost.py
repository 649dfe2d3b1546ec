"""What a network costs for one image: parameters, multiply-adds, activation memory. Arithmetic on the layer tables."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from configs.schema import ContextConfig, FrontendConfig, ModelConfig
from models import context, frontend, geometry
from models.geometry import Layer

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
    layers = frontend.layer_table(config.frontend, config.padding)
    size = [pixels + 2 * geometry.margin(layers) for pixels in crop_px]
    total = _cost(layers, _frontend_channels(config.frontend, num_classes), size)
    if config.frontend.dropout == 0:
        return total
    num_cells = math.prod(map_cells(config, crop_px))
    copies = 2 * _scaled(config.frontend.fc_channels, config.frontend) * num_cells * FLOAT_BYTES  # of fc6 and fc7
    return total + Cost(0, 0, copies)


def context_cost(config: ModelConfig, num_classes: int, crop_px: Sequence[int]) -> Cost:
    """For the map of a crop of (height, width) px."""
    layers = context.layer_table(config.context)
    return _cost(layers, _context_channels(config.context, num_classes), map_cells(config, crop_px))


def map_cells(config: ModelConfig, crop_px: Sequence[int]) -> tuple[int, int]:
    """Height and width of the map that the front end makes of a crop and its margin."""
    layers = frontend.layer_table(config.frontend, config.padding)
    margin = geometry.margin(layers)
    height, width = (geometry.out_size(layers, pixels + 2 * margin) for pixels in crop_px)
    return height, width


def _cost(layers: Sequence[Layer], channels: Sequence[int], size: Sequence[int]) -> Cost:
    """`channels` before the first and after every layer; `size` in pixels or cells of the first layer's input."""
    parameters = multiply_adds = activation_bytes = 0
    for layer, in_channels, out_channels in zip(layers, channels, channels[1:], strict=False):
        activation_bytes += in_channels * math.prod(size) * FLOAT_BYTES
        size = [geometry.out_size([layer], length) for length in size]
        if layer.stride > 1:  # only poolings have one
            activation_bytes += out_channels * math.prod(size) * INDEX_BYTES
        else:
            weights = layer.kernel**2 * in_channels * out_channels
            parameters += weights + out_channels
            multiply_adds += weights * math.prod(size)
    return Cost(parameters, multiply_adds, activation_bytes)


def _frontend_channels(config: FrontendConfig, num_classes: int) -> list[int]:
    channels = [3]
    for block, (depth, width) in enumerate(zip(config.depths, config.channels, strict=True), start=1):
        num_layers = depth + (block <= frontend.NUM_POOLED_BLOCKS)
        channels += [_scaled(width, config)] * num_layers
    fc_channels = _scaled(config.fc_channels, config)
    return [*channels, fc_channels, fc_channels, num_classes]


def _context_channels(config: ContextConfig, num_classes: int) -> list[int]:
    widths = config.widths or [1] * len(config.dilations)
    return [num_classes * width for width in (1, *widths, 1)]


def _scaled(num_channels: int, config: FrontendConfig) -> int:
    return max(1, round(num_channels * config.width))
