"""The front end: VGG-16 without its last two poolings, fc6 and fc7 as convolutions, one map a class (section 4)."""

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from configs.schema import FrontendConfig, Padding
from models import geometry
from models.convolution import Conv2d
from models.geometry import Layer
from models.layers import DROPOUT_LAYERS, NUM_COLOURS, frontend_layers, layers_of_blocks

FINAL_STD = 0.001  # of the classes' layer; Paper's code: Gaussian filler


class Frontend(nn.Module):
    """Normalized images (B, 3, H, W) to class maps (B, K, h, w) at stride 8.

    With `padding=reflect` nothing pads: the input carries `margin_px` more on every side than is scored.
    """

    def __init__(self, config: FrontendConfig, num_classes: int, padding: Padding) -> None:
        super().__init__()
        self.layers = frontend_layers(config, padding, num_classes)
        self.stride = geometry.stride(self.layers)
        self.margin_px = geometry.margin(self.layers)
        self.reach_px = geometry.reach(self.layers)
        self.dropout = config.dropout
        self.checkpoints_activations = False  # keep only the input of every block for the backward pass
        in_channels = NUM_COLOURS
        for layer in self.layers:
            if layer.is_pooling:
                continue
            convolution = Conv2d(
                in_channels, layer.out_channels, layer.kernel, dilation=layer.dilation, padding=layer.padding
            )
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # these convolutions always have one
            if layer.name == "final":
                nn.init.normal_(convolution.weight, std=FINAL_STD)
            else:
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            self.add_module(layer.name, convolution)
            in_channels = layer.out_channels

    def forward(self, images: Tensor) -> Tensor:
        return self._through(self.layers, images)

    def first_blocks(self, images: Tensor, blocks: int) -> Tensor:
        """The maps after the first `blocks` blocks, pooling included."""
        return self._through(layers_of_blocks(self.layers, blocks), images)

    def after_blocks(self, maps: Tensor, blocks: int) -> Tensor:
        """Class maps from what `first_blocks` gives."""
        return self._through(self.layers[len(layers_of_blocks(self.layers, blocks)) :], maps)

    def _through(self, layers: Sequence[Layer], maps: Tensor) -> Tensor:
        for _, block in groupby(layers, attrgetter("block")):
            if self.checkpoints_activations and torch.is_grad_enabled():
                maps = checkpoint(self._block, maps, tuple(block), use_reentrant=False)
            else:
                maps = self._block(maps, tuple(block))
        return maps

    def _block(self, maps: Tensor, layers: Sequence[Layer]) -> Tensor:
        for layer in layers:
            if layer.is_pooling:
                maps = functional.max_pool2d(maps, layer.kernel, layer.stride, ceil_mode=True)
                continue
            maps = self.get_submodule(layer.name)(maps)
            if layer.name != "final":
                maps = torch.relu_(maps)
            if layer.name in DROPOUT_LAYERS:
                maps = functional.dropout(maps, self.dropout, self.training)
        return maps
