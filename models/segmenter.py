"""The whole network: bytes in, class maps out."""

from collections.abc import Sequence
from hashlib import sha256

import torch
from torch import Tensor, nn

from configs.schema import Head
from models.frontend import Frontend


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

    def train(self, mode: bool = True) -> "Segmenter":
        super().train(mode)
        if self.frontend_frozen:
            self.frontend.eval()  # no dropout in maps that are not trained
        return self

    def frontend_digest(self) -> str:
        """SHA-256 of all that the front end's maps of an image depend on here: layers, weights, mean and scale.

        Two stacks that differ in dilations or padding alone have tensors of the same shapes.
        """
        digest = sha256(repr(self.frontend.layers).encode())
        for name, tensor in sorted(self.state_dict().items()):
            if not name.startswith("context."):
                digest.update(f"{name} {tuple(tensor.shape)}".encode())
                digest.update(tensor.contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()

    def frontend_maps(self, images_B3HW: Tensor) -> Tensor:
        """The front end's class maps alone, (B, K, h, w)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frontend_frozen):
            normalized = (images_B3HW.float() - self.mean_rgb) * self.scale_rgb
            maps: Tensor = self.frontend(normalized.contiguous(memory_format=torch.channels_last))
        return maps

    def forward(self, images_B3HW: Tensor) -> Tensor:
        logits_BKhw = self.frontend_maps(images_B3HW)
        if self.context is not None:
            logits_BKhw = self.context(logits_BKhw)
        return logits_BKhw
