"""The layers of the front end and of the context module: sizes and channels, integers only, no torch."""

from collections.abc import Sequence

from configs.schema import NUM_POOLED_BLOCKS, ContextConfig, FrontendConfig, Padding
from models.geometry import Layer

NUM_COLOURS = 3
DROPOUT_LAYERS = ("fc6", "fc7")  # dropout follows them


def frontend_layers(config: FrontendConfig, padding: Padding, num_classes: int = 1) -> tuple[Layer, ...]:
    """Every convolution and pooling in order, under the released files' names.

    `num_classes` counts for the channels of the last layer alone; sizes do not depend on it.
    """

    def convolution(name: str, kernel: int, dilation: int, out_channels: int, block: int = 0) -> Layer:
        zeros = dilation * (kernel - 1) // 2 if padding == "zero" else 0
        return Layer(name, kernel, dilation, padding=zeros, out_channels=out_channels, block=block)

    table: list[Layer] = []
    blocks = zip(convolution_names(config.depths), config.dilations, config.channels, strict=True)
    for block, (names, dilation, channels) in enumerate(blocks, start=1):
        channels = _scaled(channels, config)
        table += [convolution(name, 3, dilation, channels, block) for name in names]
        if block <= NUM_POOLED_BLOCKS:
            table.append(Layer(f"pool{block}", kernel=2, stride=2, out_channels=channels, block=block))
    fc_channels = _scaled(config.fc_channels, config)
    return (
        *table,
        convolution("fc6", config.fc6_kernel, config.fc6_dilation, fc_channels),
        convolution("fc7", 1, 1, fc_channels),
        convolution("final", 1, 1, num_classes),
    )


def context_layers(config: ContextConfig, num_classes: int = 1) -> tuple[Layer, ...]:
    """Every convolution in order, with multiples of `num_classes` as channels; to them a cell of the map is a pixel."""
    total = sum(config.dilations)
    widths = config.widths or [1] * len(config.dilations)
    layers = []
    for number, (dilation, width) in enumerate(zip(config.dilations, widths, strict=True), start=1):
        once = total if number == 1 else 0
        padding = dilation if config.padding == "each" else once
        layers.append(Layer(f"ctx_conv{number}", 3, dilation, padding=padding, out_channels=width * num_classes))
    return (*layers, Layer("ctx_final", 1, out_channels=num_classes))


def layers_of_blocks(layers: Sequence[Layer], blocks: int) -> tuple[Layer, ...]:
    """The first layers of a front end, up to the end of block number `blocks`, its pooling included."""
    return tuple(layer for layer in layers if 1 <= layer.block <= blocks)


def convolution_names(depths: Sequence[int]) -> list[list[str]]:
    """Of the front end's 3x3 layers, block by block: conv1_1, conv1_2; conv2_1, ..."""
    return [[f"conv{block}_{number}" for number in range(1, depth + 1)] for block, depth in enumerate(depths, start=1)]


def _scaled(num_channels: int, config: FrontendConfig) -> int:
    return max(1, round(num_channels * config.width))
