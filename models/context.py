"""The context module: 3x3 convolutions with growing dilations, then a 1x1 (paper, section 3)."""

import torch
from torch import Generator, Tensor, nn

from configs.schema import ContextConfig
from models.convolution import Conv2d
from models.geometry import Layer
from models.initializers import identity_


def layer_table(config: ContextConfig) -> tuple[Layer, ...]:
    """Every convolution in order; one input cell is one pixel to these layers."""
    total = sum(config.dilations)
    layers = []
    for number, dilation in enumerate(config.dilations, start=1):
        once = total if number == 1 else 0
        padding = dilation if config.padding == "each" else once
        layers.append(Layer(f"ctx_conv{number}", 3, dilation, padding=padding))
    return (*layers, Layer("ctx_final", 1))


class Context(nn.Module):
    """Class maps (B, K, h, w) to class maps of the same shape. Fresh, it computes relu(x): see `identity_`."""

    def __init__(self, config: ContextConfig, num_classes: int, generator: Generator) -> None:
        super().__init__()
        self.layers = layer_table(config)
        widths = config.widths or [1] * len(config.dilations)
        in_channels = num_classes
        for layer, width in zip(self.layers, [*widths, 1], strict=True):
            out_channels = width * num_classes
            convolution = Conv2d(
                in_channels, out_channels, layer.kernel, dilation=layer.dilation, padding=layer.padding
            )
            # Paper: sigma << C / c_out. Here: noise_std * C / c_out, because an unscaled 0.01 drowns Large's signal.
            identity_(convolution.weight, num_classes, config.noise_std / width, generator)
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # these convolutions always have one
            self.add_module(layer.name, convolution)
            in_channels = out_channels

    def forward(self, maps: Tensor) -> Tensor:
        for layer in self.layers:
            maps = self.get_submodule(layer.name)(maps)
            if layer.name != "ctx_final":
                maps = torch.relu_(maps)
        return maps
