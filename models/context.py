"""The context module: 3x3 convolutions with growing dilations, then a 1x1 (paper, section 3)."""

import torch
from torch import Generator, Tensor, nn
from torch.utils.checkpoint import checkpoint

from configs.schema import ContextConfig
from models.convolution import Conv2d
from models.initializers import identity_
from models.layers import context_layers


class Context(nn.Module):
    """Class maps (B, K, h, w) to class maps of the same shape. Fresh, it computes relu(x): see `identity_`."""

    def __init__(self, config: ContextConfig, num_classes: int, generator: Generator) -> None:
        super().__init__()
        self.layers = context_layers(config, num_classes)
        self.checkpoints_activations = False  # keep only the module's input for the backward pass
        in_channels = num_classes
        for layer in self.layers:
            convolution = Conv2d(
                in_channels, layer.out_channels, layer.kernel, dilation=layer.dilation, padding=layer.padding
            )
            # Paper: sigma << C / c_out. Here: noise_std * C / c_out, because an unscaled 0.01 drowns Large's signal.
            noise_std = config.noise_std / (layer.out_channels // num_classes)
            identity_(convolution.weight, num_classes, noise_std, generator)
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # these convolutions always have one
            self.add_module(layer.name, convolution)
            in_channels = layer.out_channels

    def forward(self, maps: Tensor) -> Tensor:
        if self.checkpoints_activations and torch.is_grad_enabled():
            recomputed: Tensor = checkpoint(self._layers, maps, use_reentrant=False)
            return recomputed
        return self._layers(maps)

    def _layers(self, maps: Tensor) -> Tensor:
        for layer in self.layers:
            maps = self.get_submodule(layer.name)(maps)
            if layer.name != "ctx_final":
                maps = torch.relu_(maps)
        return maps
