"""The front end: VGG-16 without its last two poolings, fc6 and fc7 as convolutions, one map a class (section 4)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from configs.schema import FrontendConfig, Padding
from models import geometry
from models.convolution import Conv2d
from models.geometry import Layer

NUM_POOLED_BLOCKS = 3  # pool4 and pool5 are removed: the output stride stays 8
FINAL_STD = 0.001  # of the classes' layer; Paper's code: Gaussian filler


def layer_table(config: FrontendConfig, padding: Padding) -> tuple[Layer, ...]:
    """Every convolution and pooling in order, under the released files' names."""

    def convolution(name: str, kernel: int, dilation: int) -> Layer:
        zeros = dilation * (kernel - 1) // 2 if padding == "zero" else 0
        return Layer(name, kernel, dilation, padding=zeros)

    table: list[Layer] = []
    for block, (depth, dilation) in enumerate(zip(config.depths, config.dilations, strict=True), start=1):
        table += [convolution(f"conv{block}_{number}", 3, dilation) for number in range(1, depth + 1)]
        if block <= NUM_POOLED_BLOCKS:
            table.append(Layer(f"pool{block}", kernel=2, stride=2))
    table.append(convolution("fc6", config.fc6_kernel, config.fc6_dilation))
    return (*table, convolution("fc7", 1, 1), convolution("final", 1, 1))


class Frontend(nn.Module):
    """Normalized images (B, 3, H, W) to class maps (B, K, h, w) at stride 8.

    With `padding=reflect` nothing pads: the input carries `margin_px` more on every side than is scored.
    """

    def __init__(self, config: FrontendConfig, num_classes: int, padding: Padding) -> None:
        super().__init__()
        self.layers = layer_table(config, padding)
        self.stride = geometry.stride(self.layers)
        self.margin_px = geometry.margin(self.layers)
        self.dropout = config.dropout
        channels = [max(1, round(width * config.width)) for width in config.channels]
        fc_channels = max(1, round(config.fc_channels * config.width))
        in_channels = 3
        for layer in self.layers:
            if layer.name.startswith("pool"):
                continue
            if layer.name.startswith("conv"):
                out_channels = channels[int(layer.name[4 : layer.name.index("_")]) - 1]
            else:
                out_channels = num_classes if layer.name == "final" else fc_channels
            convolution = Conv2d(
                in_channels, out_channels, layer.kernel, dilation=layer.dilation, padding=layer.padding
            )
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # these convolutions always have one
            if layer.name == "final":
                nn.init.normal_(convolution.weight, std=FINAL_STD)
            else:
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            self.add_module(layer.name, convolution)
            in_channels = out_channels

    def forward(self, images: Tensor) -> Tensor:
        maps = images
        for layer in self.layers:
            if layer.name.startswith("pool"):
                maps = functional.max_pool2d(maps, layer.kernel, layer.stride, ceil_mode=True)
                continue
            maps = self.get_submodule(layer.name)(maps)
            if layer.name != "final":
                maps = torch.relu_(maps)
            if layer.name in ("fc6", "fc7"):
                maps = functional.dropout(maps, self.dropout, self.training)
        return maps
