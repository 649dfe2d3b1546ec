"""Scores from one integer confusion matrix, rows = truth, columns = prediction."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from configs.errors import UserError
from configs.schema import VOID

IDS = 256  # that a byte can be
PART = 2**18  # pixels


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
        """Class ids, the predicted ones below `num_classes`, those of the truth as well or void; both on the CPU."""
        for predicted_HW, truth_HW in zip(predicted_BHW, truth_BHW, strict=True):
            self._of_images.append(torch.from_numpy(self._counted(predicted_HW.numpy(), truth_HW.numpy())))

    def _counted(self, predicted_HW: NDArray[Any], truth_HW: NDArray[Any]) -> NDArray[np.int64]:
        """Part by part: a cache holds the pairs of one and the counts. Void has a row of its own, which is left out."""
        counts, size = np.zeros(IDS**2, np.int64), self.num_classes
        predicted, truth = predicted_HW.reshape(-1), truth_HW.reshape(-1)
        for first in range(0, truth.size, PART):
            pairs = truth[first : first + PART].astype(np.int64) * IDS + predicted[first : first + PART]
            counts += np.bincount(pairs, minlength=IDS**2)
        table = counts.reshape(IDS, IDS)
        of_classes = table[:size, :size]
        assert of_classes.sum() == table[:VOID].sum(), "an id beyond the classes"
        return of_classes.copy()

    @property
    def of_images_NKK(self) -> Tensor:
        """In the order in which the images came, int64."""
        empty = torch.zeros(0, self.num_classes, self.num_classes, dtype=torch.int64)
        return torch.stack(self._of_images) if self._of_images else empty
