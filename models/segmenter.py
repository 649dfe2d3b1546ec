"""The whole network: bytes in, class maps out."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import torch
from torch import Tensor, nn

from configs.schema import Head
from models import geometry
from models.frontend import Frontend
from models.geometry import Layer
from models.layers import layers_of_blocks


@dataclass(frozen=True)
class _Part:
    """The layers of a front end before or behind the end of a block, and what they see of their input."""

    model: "Segmenter"
    blocks: int

    @property
    def layers(self) -> tuple[Layer, ...]:
        raise NotImplementedError

    @property
    def stride(self) -> int:
        return geometry.stride(self.layers)

    @property
    def margin_px(self) -> int:
        return geometry.margin(self.layers)

    @property
    def reach_px(self) -> int:
        return geometry.reach(self.layers)


class FirstBlocks(_Part):
    """The part of a front end up to the end of a block, and its maps."""

    def frontend_maps(self, images_B3HW: Tensor) -> Tensor:
        """(B, C, h, w); with a margin in the images, more cells on every side than are scored."""
        return self.model.frontend.first_blocks(self.model.normalized(images_B3HW), self.blocks)

    @property
    def layers(self) -> tuple[Layer, ...]:
        return layers_of_blocks(self.model.frontend.layers, self.blocks)

    @property
    def margin_cells(self) -> int:
        """Of its maps, that the rest of the front end takes off on every side."""
        return (self.model.margin_px - self.margin_px) // self.stride


class AfterBlocks(_Part):
    """The part of a front end behind the end of a block: class maps from maps, whose cells are its pixels."""

    def frontend_maps(self, maps_BChw: Tensor) -> Tensor:
        """(B, K, h, w)."""
        return self.model.frontend_maps(maps_BChw, self.blocks)

    @property
    def layers(self) -> tuple[Layer, ...]:
        layers = self.model.frontend.layers
        return layers[len(layers_of_blocks(layers, self.blocks)) :]


class Segmenter(nn.Module):
    """uint8 RGB images (B, 3, H, W), margin included, to logits (B, K, h, w) at stride 8.

    The mean is the model's own and rides in its state, so nobody can score with another. The context module may be
    absent (front-end stage) and is inserted later; a frozen front end runs in evaluation mode and without gradients.
    """

    mean_rgb: Tensor
    scale_rgb: Tensor

    def __init__(
        self,
        frontend: Frontend,
        *,
        num_classes: int,
        mean_rgb: Sequence[float],
        scale_rgb: Sequence[float],
        node_offset_px: float = 0.0,
        head: Head = "interpolated",
    ) -> None:
        super().__init__()
        self.frontend = frontend
        self.context: nn.Module | None = None
        self.num_classes = num_classes
        self.stride = frontend.stride
        self.margin_px = frontend.margin_px
        self.reach_px = frontend.reach_px
        self.node_offset_px = node_offset_px
        self.head = head
        self.frontend_frozen = False
        self.register_buffer("mean_rgb", torch.tensor(mean_rgb, dtype=torch.float32).view(3, 1, 1))
        self.register_buffer("scale_rgb", torch.tensor(scale_rgb, dtype=torch.float32).view(3, 1, 1))

    def insert_context(self, context: nn.Module) -> None:
        self.context = context.to(self.mean_rgb.device)

    def freeze(self, *, frontend: bool, blocks: int) -> None:
        """Let the whole front end, or its first blocks (conv1, conv2, ...), keep their weights; the rest learns."""
        self.frontend_frozen = frontend
        block_of = {layer.name: layer.block for layer in self.frontend.layers}
        for name, parameter in self.frontend.named_parameters():
            is_in_frozen_block = 1 <= block_of[name.partition(".")[0]] <= blocks
            parameter.requires_grad_(not (frontend or is_in_frozen_block))
        self.train(self.training)

    def checkpoint_activations(self, is_on: bool) -> None:
        """Whether a backward pass finds only the inputs of the front end's blocks and of the context module kept.

        The rest is computed again, dropout's masks included: the same gradients, bit for bit.
        """
        self.frontend.checkpoints_activations = is_on
        if self.context is not None:
            self.context.checkpoints_activations = is_on  # type: ignore[assignment]  # nn.Module's own: a plain value

    def train(self, mode: bool = True) -> "Segmenter":
        super().train(mode)
        if self.frontend_frozen:
            self.frontend.eval()  # no dropout in maps that are not trained
        return self

    def frontend_digest(self, blocks: int | None = None) -> str:
        """SHA-256 of all that the maps of an image depend on here: layers, weights, mean and scale.

        Of the front end's class maps, or of those after its first `blocks` blocks. Two stacks that differ in dilations
        or padding alone have tensors of the same shapes.
        """
        layers = self.frontend.layers if blocks is None else layers_of_blocks(self.frontend.layers, blocks)
        names = {"frontend." + layer.name for layer in layers}
        digest = sha256(repr(layers).encode())
        for name, tensor in sorted(self.state_dict().items()):
            if name in ("mean_rgb", "scale_rgb") or name.rpartition(".")[0] in names:
                digest.update(f"{name} {tuple(tensor.shape)}".encode())
                digest.update(tensor.contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()

    def frontend_maps(self, images_B3HW: Tensor, after_blocks: int = 0) -> Tensor:
        """The front end's class maps alone, (B, K, h, w): of images, or of the maps after `after_blocks` blocks."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frontend_frozen):
            if after_blocks:
                return self.frontend.after_blocks(images_B3HW, after_blocks)
            maps: Tensor = self.frontend(self.normalized(images_B3HW))
        return maps

    def first_blocks(self, blocks: int) -> FirstBlocks:
        return FirstBlocks(self, blocks)

    def after_blocks(self, blocks: int) -> AfterBlocks:
        return AfterBlocks(self, blocks)

    def normalized(self, images_B3HW: Tensor) -> Tensor:
        normalized = (images_B3HW.float() - self.mean_rgb) * self.scale_rgb
        return normalized.contiguous(memory_format=torch.channels_last)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        logits_BKhw = self.frontend_maps(images_B3HW)
        if self.context is not None:
            logits_BKhw = self.context(logits_BKhw)
        return logits_BKhw
