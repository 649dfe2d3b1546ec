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
    # All that lasts gets its memory first: between bands that come and go it would leave gaps, each as large as a band.
    size, device = (len(images_B3HW), height, width), images_B3HW.device
    ids_BHW = torch.empty(size, dtype=torch.uint8, device=device)
    sureness = [torch.empty(size, device=device) for _ in range(2)] if certainty else []
    for first in range(0, height, num_rows):
        rows = slice(first, min(first + num_rows, height))
        _answer_band(
            view.rows(rows.start, rows.stop), ids_BHW[:, rows], *(values_BHW[:, rows] for values_BHW in sureness)
        )
    return Answer(ids_BHW, *sureness)


def _answer_band(shares_BKnW: Tensor, ids_BnW: Tensor, *sureness: Tensor) -> None:
    """Fills in the rest. A function: its values are gone before those of the next band come."""
    best_BnW, ids_BnW[:] = shares_BKnW.max(1)  # of equal classes the first, as argmax, and five times as fast
    if sureness:
        confidence_BnW, entropy_BnW = sureness
        confidence_BnW[:], entropy_BnW[:] = best_BnW.clamp(0, 1), _entropy(shares_BKnW)


def probabilities(model: DenseModel, config: ValidationConfig, images_B3HW: Tensor, maps: Maps | None = None) -> Tensor:
    """Class probabilities (B, K, H, W), float32; `maps` as in `answer`."""
    view = view_of(model, config, images_B3HW, maps or model)
    return view.rows(0, view.size[0])


def _entropy(shares_BKHW: Tensor) -> Tensor:
    """Over ln(K)."""
    entropy_BHW: Tensor = torch.special.entr(shares_BKHW).sum(1) / math.log(shares_BKHW.shape[1])
    return entropy_BHW.clamp(0, 1)
