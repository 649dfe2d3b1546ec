"""Scoring a model on a set, and certifying that a fresh context module changes nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from configs.schema import VOID, ValidationConfig
from engine.contracts import Batch, DenseModel, KeptMaps, Picture, ValidationBatches
from engine.evaluation.answers import answer
from engine.evaluation.blocks import frontend_maps_in_blocks
from engine.evaluation.inference import Maps
from engine.evaluation.metrics import Confusion, Scores, scores_from_confusion
from engine.evaluation.recorded_maps import RecordedMaps
from engine.runtime import Runtime

Check = Callable[[], None]  # called between batches; may raise to stop
Write = Callable[[Sequence[str], Tensor], None]  # gets the names of a batch and its class ids (B, H, W), on the CPU
Observe = Callable[[Tensor, Tensor], None]  # sees the front end's maps (B, K, h, w) of every window, and its logits


@dataclass(frozen=True)
class Evaluation:
    """The confusion matrix of each image of a set (rows: truth), and the first images as pictures."""

    confusions_NKK: Tensor  # of every image, int64
    pictures: list[Picture]

    @cached_property
    def scores(self) -> Scores:
        """Raises UserError where not one pixel is labelled."""
        return scores_from_confusion(self.confusions_NKK.sum(0))

    @property
    def is_labelled(self) -> bool:
        return bool(self.confusions_NKK.any())

    @property
    def num_images(self) -> int:
        return len(self.confusions_NKK)


def evaluate(
    model: DenseModel,
    batches: ValidationBatches,
    config: ValidationConfig,
    runtime: Runtime,
    *,
    kept: KeptMaps | None = None,
    observe: Observe | None = None,
    write: Write | None = None,
    num_pictures: int = 0,
    check: Check = lambda: None,
) -> Evaluation:
    """Score every image at its label's own size; the model is left in evaluation mode.

    Each rank answers its share of the images; the matrices of all of them stand in the set's order. `write` gets every
    answer of this rank, `observe` every window. `kept` are the front end's maps of every window that these settings ask
    for, in order (default: computed).
    """
    model.eval()
    frontend = _frontend(model, kept, runtime)

    def maps(window_B3HW: Tensor) -> Tensor:
        maps_BKhw = frontend(window_B3HW)
        logits_BKhw: Tensor = maps_BKhw if model.context is None else model.context(maps_BKhw)
        if observe is not None:
            observe(maps_BKhw, logits_BKhw)
        return logits_BKhw

    def share() -> Evaluation:
        confusion = Confusion(model.num_classes)
        pictures: list[Picture] = []
        with torch.inference_mode(), runtime.autocast():
            for batch in batches():
                check()
                answered = answer(model, config, runtime, batch.images_B3HW, maps, size_px=_label_size(batch))
                predicted_BHW = answered.ids_BHW.cpu()
                confusion.add(predicted_BHW, batch.labels_BHW)
                if write is not None:
                    write(batch.names, predicted_BHW)
                for image, truth, predicted, name in zip(
                    batch.images_B3HW, batch.labels_BHW, predicted_BHW, batch.names, strict=True
                ):
                    if len(pictures) < num_pictures:
                        pictures.append(_picture(name, image, truth, predicted))
        return Evaluation(confusion.of_images_NKK, pictures)

    parts = runtime.ranks.gather(runtime.ranks.agree(share))
    confusions_NKK = torch.cat([part.confusions_NKK for part in parts])
    return Evaluation(confusions_NKK, [picture for part in parts for picture in part.pictures][:num_pictures])


@dataclass(frozen=True)
class Identity:
    """Fractions 0..1: mean IoU without and with the fresh context module; pixels whose answer stayed the same."""

    before: float
    after: float
    agreement: float
    class_iou_before: list[float | None]


def certify_identity(
    model: DenseModel,
    batches: ValidationBatches,
    config: ValidationConfig,
    runtime: Runtime,
    *,
    kept: KeptMaps | None = None,
    check: Check = lambda: None,
) -> Identity:
    """Score the set with and without the context module, in one pass of the front end; `kept` as in `evaluate`.

    The fresh module computes relu(x), so an answer changes only where no logit is positive (or noise is large).
    """
    assert model.context is not None, "there is no context module to certify"
    model.eval()
    context = model.context
    frontend, recorded = _frontend(model, kept, runtime), RecordedMaps(model)

    def share() -> tuple[Tensor, Tensor, int]:
        """Confusion matrices (K, K) without and with the module, and the number of pixels with the same answer."""
        before, after, same = Confusion(model.num_classes), Confusion(model.num_classes), 0
        with torch.inference_mode(), runtime.autocast():
            for batch in batches():
                check()
                answered = partial(answer, model, config, runtime, batch.images_B3HW, size_px=_label_size(batch))
                without = answered(recorded.recording(frontend)).ids_BHW.cpu()
                fresh = answered(_followed_by(context, recorded.replaying(runtime.device))).ids_BHW.cpu()
                before.add(without, batch.labels_BHW)
                after.add(fresh, batch.labels_BHW)
                same += int(((without == fresh) & (batch.labels_BHW != VOID)).sum())
        return before.of_images_NKK.sum(0), after.of_images_NKK.sum(0), same

    befores, afters, sames = zip(*runtime.ranks.gather(runtime.ranks.agree(share)), strict=True)
    before_KK, after_KK = sum(befores, torch.tensor(0)), sum(afters, torch.tensor(0))
    before, after = scores_from_confusion(before_KK), scores_from_confusion(after_KK)
    return Identity(before.mean_iou, after.mean_iou, sum(sames) / int(before_KK.sum()), before.class_iou)


def _frontend(model: DenseModel, kept: KeptMaps | None, runtime: Runtime) -> Maps:
    if kept is None:
        return partial(frontend_maps_in_blocks, model)
    return RecordedMaps(model, kept.maps, kept.after_blocks).replaying(runtime.device)


def _label_size(batch: Batch) -> tuple[int, int]:
    height, width = batch.labels_BHW.shape[-2:]
    return height, width


def _picture(name: str, image_3HW: Tensor, truth_HW: Tensor, predicted_HW: Tensor) -> Picture:
    """At the image's size, which may be another than the label's."""
    size_px = image_3HW.shape[-2:]
    truth, predicted = (
        functional.interpolate(ids_HW[None, None], size_px, mode="nearest-exact")[0, 0].numpy()
        for ids_HW in (truth_HW, predicted_HW)
    )
    return Picture(name, image_3HW.permute(1, 2, 0).numpy(), truth, predicted)


def _followed_by(context: nn.Module, frontend: Maps) -> Maps:
    def logits(window_B3HW: Tensor) -> Tensor:
        logits_BKhw: Tensor = context(frontend(window_B3HW))
        return logits_BKhw

    return logits
