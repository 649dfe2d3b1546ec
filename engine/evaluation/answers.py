"""What a network answers to images: class ids, how sure it is, or the probabilities of all classes."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from configs.schema import ValidationConfig
from engine.contracts import DenseModel
from engine.evaluation.blocks import in_blocks
from engine.evaluation.inference import Maps, view_of
from engine.runtime import Runtime

BAND_ELEMENTS = 2**22  # of the probabilities that exist at once: 16 MiB in float32


class Answer(NamedTuple):
    """At (H, W) pixels, on the device that computed it.

    `confidence_BHW` is the probability of the class that won, `entropy_BHW` that of all classes over ln(K): 0 where one
    class is certain, 1 where all are equally likely. Both are float32 in 0..1, and None where they were not requested.
    """

    ids_BHW: Tensor  # uint8
    confidence_BHW: Tensor | None = None
    entropy_BHW: Tensor | None = None


def answer(
    model: DenseModel,
    config: ValidationConfig,
    runtime: Runtime,
    images_B3HW: Tensor,
    maps: Maps | None = None,
    *,
    size_px: tuple[int, int] | None = None,
    certainty: bool = False,
) -> Answer:
    """Label uint8 images of one size, whatever it is. `maps` replaces the network's own logits of a window.

    The answer has `size_px` (height, width), by default the images' own: between their pixels it is interpolated.
    Memory grows with the pixels by a few bytes each: the front end goes over large images in blocks, and pixels are
    answered a band of rows at a time.
    """
    images_B3HW = images_B3HW.to(runtime.device, non_blocking=True)
    view = view_of(model, config, images_B3HW, maps or in_blocks(model), size_px)
    height, width = view.size
    num_rows = max(1, BAND_ELEMENTS // (len(images_B3HW) * model.num_classes * width))
    bands = []
    for first in range(0, height, num_rows):
        shares_BKnW = view.rows(first, min(first + num_rows, height))
        best_BnW, ids_BnW = shares_BKnW.max(1)  # of equal classes the first, as argmax, and five times as fast
        rest = (best_BnW.clamp(0, 1), _entropy(shares_BKnW)) if certainty else ()
        bands.append((ids_BnW.to(torch.uint8), *rest))
    return Answer(*(torch.cat(parts, dim=1) for parts in zip(*bands, strict=True)))


def probabilities(model: DenseModel, config: ValidationConfig, images_B3HW: Tensor, maps: Maps | None = None) -> Tensor:
    """Class probabilities (B, K, H, W), float32; `maps` as in `answer`."""
    view = view_of(model, config, images_B3HW, maps or model)
    return view.rows(0, view.size[0])


def _entropy(shares_BKHW: Tensor) -> Tensor:
    """Over ln(K)."""
    entropy_BHW: Tensor = torch.special.entr(shares_BKHW).sum(1) / math.log(shares_BKHW.shape[1])
    return entropy_BHW.clamp(0, 1)
