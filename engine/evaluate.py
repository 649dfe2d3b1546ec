"""Scoring a model on a set, and certifying that a fresh context module changes nothing."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from configs.schema import VOID, Protocol, ValidationConfig
from engine.contracts import DenseModel, Picture, ValidationBatches
from engine.inference import Maps, probabilities
from engine.metrics import Confusion, Scores
from engine.runtime import Runtime

Check = Callable[[], None]  # called between batches; may raise to stop


@dataclass(frozen=True)
class Evaluation:
    scores: Scores
    confusions_NKK: Tensor  # of every image
    pictures: list[Picture]

    @property
    def num_images(self) -> int:
        return len(self.confusions_NKK)


def evaluate(
    model: DenseModel,
    batches: ValidationBatches,
    config: ValidationConfig,
    runtime: Runtime,
    *,
    num_pictures: int = 0,
    check: Check = lambda: None,
) -> Evaluation:
    """Score every image at its label's own size; the model is left in evaluation mode."""
    model.eval()
    confusion = Confusion(model.num_classes)
    pictures: list[Picture] = []
    with torch.inference_mode(), runtime.autocast():
        for batch in batches():
            check()
            predicted_BHW = predict(model, config, runtime, batch.images_B3HW).cpu()
            confusion.add(predicted_BHW, batch.labels_BHW)
            for image, truth, predicted, name in zip(
                batch.images_B3HW, batch.labels_BHW, predicted_BHW, batch.names, strict=True
            ):
                if len(pictures) < num_pictures:
                    pixels = image.permute(1, 2, 0).numpy()
                    pictures.append(Picture(name, pixels, truth.numpy(), predicted.to(torch.uint8).numpy()))
    return Evaluation(confusion.scores(), confusion.of_images_NKK, pictures)


def predict(
    model: DenseModel, config: ValidationConfig, runtime: Runtime, images_B3HW: Tensor, maps: Maps | None = None
) -> Tensor:
    """Class ids (B, H, W), int64, on the runtime's device."""
    return probabilities(model, config, images_B3HW.to(runtime.device), maps).argmax(1)


@dataclass(frozen=True)
class Identity:
    """Fractions 0..1: mean IoU without and with the fresh context module; pixels whose answer stayed the same."""

    before: float
    after: float
    agreement: float


def certify_identity(model: DenseModel, batches: ValidationBatches, runtime: Runtime, check: Check) -> Identity:
    """Score the set with and without the context module, on whole images at scale 1, in one pass of the front end.

    The fresh module computes relu(x), so an answer changes only where no logit is positive (or noise is large).
    """
    assert model.context is not None, "there is no context module to certify"
    context = model.context
    model.eval()
    before, after = Confusion(model.num_classes), Confusion(model.num_classes)
    same = valid = 0
    plain = ValidationConfig(protocol=Protocol.whole)
    with torch.inference_mode(), runtime.autocast():
        for batch in batches():
            check()
            kept: list[Tensor] = []

            def frontend(images_B3HW: Tensor, kept: list[Tensor] = kept) -> Tensor:
                kept.append(model.frontend_maps(images_B3HW))
                return kept[0]

            def inserted(_: Tensor, kept: list[Tensor] = kept) -> Tensor:
                maps: Tensor = context(kept[0])
                return maps

            without = predict(model, plain, runtime, batch.images_B3HW, frontend).cpu()
            fresh = predict(model, plain, runtime, batch.images_B3HW, inserted).cpu()
            before.add(without, batch.labels_BHW)
            after.add(fresh, batch.labels_BHW)
            is_valid = batch.labels_BHW != VOID
            same += int(((without == fresh) & is_valid).sum())
            valid += int(is_valid.sum())
    return Identity(before.scores().mean_iou, after.scores().mean_iou, same / max(1, valid))
