"""A trained network as one module, for other programs: bytes in, class ids out, everything between them inside."""

import torch
from torch import Tensor, nn

from configs.schema import ValidationConfig
from data.labels import ClassSet
from engine.evaluation.answers import probabilities
from models.segmenter import Segmenter

WHOLE = ValidationConfig(protocol="whole")


class Labeller(nn.Module):
    """uint8 RGB images (B, 3, H, W) of any size to class ids (B, H, W), uint8.

    With `with_probabilities` the answer is a pair: ids, and class probabilities (B, K, H, W), float32, 0..1. Mean,
    margin, padding, softmax and upsampling are inside; in float32 the answers are those of predict.py and eval.py with
    protocol=whole, bit for bit. A run's `data.resize` is not inside: images are answered at the size that they are
    given. No gradients; `torch.export` traces it with any number, height and width of images.
    """

    def __init__(self, model: Segmenter, classes: ClassSet, *, with_probabilities: bool = False) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        self.class_names = classes.names
        self.palette = classes.palette  # RGB, 0..255, for every class
        self.with_probabilities = with_probabilities
        self.eval()

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(
                f"images {tuple(images.shape)}, {images.dtype}: RGB images (B, 3, H, W) of torch.uint8, 0 to 255, are "
                "required; add the first axis by images[None], and normalize nothing: the network does it"
            )
        shares_BKHW = probabilities(self.model, WHOLE, images)
        ids_BHW = shares_BKHW.argmax(1).to(torch.uint8)
        return (ids_BHW, shares_BKHW) if self.with_probabilities else ids_BHW
