"""Scores from one integer confusion matrix, rows = truth, columns = prediction."""

from dataclasses import dataclass

import torch
from torch import Tensor

from configs.errors import UserError
from configs.schema import VOID


@dataclass(frozen=True)
class Scores:
    """Fractions in 0..1. A class that is neither there nor predicted is None and left out of the mean."""

    confusion_KK: list[list[int]]
    class_iou: list[float | None]
    mean_iou: float
    pixel_accuracy: float
    frequency_weighted_iou: float

    @property
    def num_scored_classes(self) -> int:
        return sum(iou is not None for iou in self.class_iou)


def scores_from_confusion(confusion_KK: Tensor) -> Scores:
    """Mean IoU, per-class IoU, pixel accuracy and frequency-weighted IoU; raises UserError where no pixel counts."""
    counts = confusion_KK.double()
    correct, truth, predicted = counts.diag(), counts.sum(1), counts.sum(0)
    num_pixels = truth.sum()
    if num_pixels == 0:
        raise UserError("not one labelled pixel: the whole set is void; check the labels and their ignore ids")
    union = truth + predicted - correct
    iou = torch.where(union > 0, correct / union, torch.nan)
    return Scores(
        confusion_KK=confusion_KK.long().tolist(),
        class_iou=[None if value != value else value for value in iou.tolist()],
        mean_iou=float(iou.nanmean()),
        pixel_accuracy=float(correct.sum() / num_pixels),
        frequency_weighted_iou=float((truth / num_pixels * iou.nan_to_num()).sum()),
    )


class Confusion:
    """Counts (truth, prediction) pairs of every image of a set; void is left out."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self._of_images: list[Tensor] = []

    def add(self, predicted_BHW: Tensor, truth_BHW: Tensor) -> None:
        """Class ids, the predicted ones below `num_classes`, those of the truth as well or void."""
        size = self.num_classes
        for predicted_HW, truth_HW in zip(predicted_BHW.long(), truth_BHW.long(), strict=True):
            pairs = (truth_HW * size + predicted_HW)[truth_HW != VOID]
            self._of_images.append(torch.bincount(pairs, minlength=size**2).reshape(size, size))

    @property
    def of_images_NKK(self) -> Tensor:
        """In the order in which the images came, int64."""
        empty = torch.zeros(0, self.num_classes, self.num_classes, dtype=torch.int64)
        return torch.stack(self._of_images) if self._of_images else empty

    def scores(self) -> Scores:
        return scores_from_confusion(self.of_images_NKK.sum(0))
