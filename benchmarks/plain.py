"""The same networks written the obvious way: `nn.Conv2d`, a plain loop, and what torch offers for everything else."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from configs.schema import VOID
from models.geometry import Layer
from models.layers import DROPOUT_LAYERS, NUM_COLOURS

LINEAR_LAYERS = ("final", "ctx_final")  # no ReLU follows them


class PlainNetwork(nn.Module):
    """Normalized images (B, 3, H, W) to logits (B, K, h, w): the layers of a front end, then those of a context module.

    Its parameters have the order and the shapes of ours.
    """

    def __init__(self, layers: Sequence[Layer], dropout: float = 0.0) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        in_channels = NUM_COLOURS
        for layer in layers:
            if layer.is_pooling:
                modules.append(nn.MaxPool2d(layer.kernel, layer.stride, ceil_mode=True))
                continue
            modules.append(
                nn.Conv2d(in_channels, layer.out_channels, layer.kernel, dilation=layer.dilation, padding=layer.padding)
            )
            if layer.name not in LINEAR_LAYERS:
                modules.append(nn.ReLU(inplace=True))
            if layer.name in DROPOUT_LAYERS:
                modules.append(nn.Dropout(dropout))
            in_channels = layer.out_channels
        self.layers = nn.ModuleList(modules)

    def forward(self, maps: Tensor) -> Tensor:
        for layer in self.layers:
            maps = layer(maps)
        return maps


def normalized(images_B3HW: Tensor, mean_rgb: Sequence[float], scale: float) -> Tensor:
    """Bytes to what a network is given."""
    return (images_B3HW.float() - torch.tensor(mean_rgb, device=images_B3HW.device).view(3, 1, 1)) * scale


def training_step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs_B3HW: Tensor,
    labels_Bhw: Tensor,
    precision: torch.dtype,
) -> float:
    """One step on labels (B, h, w), int64, under the cells; the loss, a mean over those that are not void."""
    optimizer.zero_grad()
    with torch.autocast(inputs_B3HW.device.type, torch.bfloat16, enabled=precision is torch.bfloat16):
        logits_BKhw = network(inputs_B3HW)
    loss = functional.cross_entropy(logits_BKhw.float(), labels_Bhw, ignore_index=VOID)
    loss.backward()  # type: ignore[no-untyped-call]  # torch has no annotation here
    optimizer.step()
    return float(loss.detach())


def label(network: nn.Module, inputs_B3HW: Tensor, size: tuple[int, int]) -> Tensor:
    """Class ids (B, H, W) at `size` of images with their margin: the largest of the classes' shares, enlarged."""
    return largest_share(network(inputs_B3HW).float().softmax(1), size)


def largest_share(shares_BKhw: Tensor, size: tuple[int, int]) -> Tensor:
    """Class ids (B, H, W) of shares at the cells; all classes exist at all pixels meanwhile."""
    return functional.interpolate(shares_BKhw, size, mode="bilinear", align_corners=False).argmax(1).to(torch.uint8)
