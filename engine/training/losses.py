"""Softmax cross-entropy over valid pixels: sum, count, divide once.

A mean of means is wrong wherever void is uneven (between images, accumulated passes or processes), so the sum and its
weight are kept apart until the whole global batch is known.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from configs.schema import VOID, Head, LossConfig, WeightRule
from engine.evaluation.grid import sample_labels, upsample

MAX_CLASS_WEIGHT = 10.0  # times the mean over the pixels: a class of a few pixels must not decide a step
EXPONENTS: dict[WeightRule, float] = {"none": 0.0, "sqrt_inverse": -0.5, "inverse": -1.0}


def class_weights(rule: WeightRule, pixels_C: NDArray[np.int64]) -> list[float]:
    """One for each class, of the number of its pixels: their shares to the rule's exponent, times a factor.

    The factor makes the mean over all these pixels 1, with MAX_CLASS_WEIGHT for what would lie above it. A class that
    has no pixel gets 1; no target of these pixels has it.
    """
    shares_C = pixels_C / pixels_C.sum()
    occurs_C = pixels_C > 0
    raw_C = np.where(occurs_C, shares_C, 1.0) ** EXPONENTS[rule]
    at_most_C = np.zeros_like(occurs_C)
    while True:
        factor = (1 - MAX_CLASS_WEIGHT * shares_C[at_most_C].sum()) / (shares_C * raw_C)[~at_most_C].sum()
        weights_C = np.where(at_most_C, MAX_CLASS_WEIGHT, factor * raw_C)
        above_C = occurs_C & ~at_most_C & (weights_C > MAX_CLASS_WEIGHT)
        if not above_C.any():
            return [float(weight) for weight in np.where(occurs_C, weights_C, 1.0)]
        at_most_C |= above_C


@dataclass(frozen=True)
class CrossEntropy:
    """The loss of one network, at its cells or at the label's pixels."""

    config: LossConfig
    stride: int
    node_offset_px: float
    head: Head = "interpolated"

    def _class_weights(self, device: torch.device) -> Tensor | None:
        weights = self.config.class_weights
        assert not isinstance(weights, str), "a rule becomes numbers before a stage begins"
        return torch.tensor(weights, dtype=torch.float32, device=device) if weights else None

    def targets(self, labels_BHW: Tensor) -> Tensor:
        """What the logits are compared with, int64: labels under the cells or all of them."""
        if self.config.grid == "cells":
            labels_BHW = sample_labels(labels_BHW, self.stride, self.node_offset_px)
        return labels_BHW.long()

    def weight(self, targets: Tensor) -> float:
        """What the sum is divided by: the number of valid pixels, or the sum of their classes' weights."""
        valid = targets[targets != VOID]
        class_weights = self._class_weights(targets.device)
        return float(valid.numel() if class_weights is None else class_weights[valid].double().sum())

    def total(self, logits_BKhw: Tensor, targets: Tensor) -> Tensor:
        """The undivided loss; 0, with a gradient, where everything is void.

        torch's own sum over pixels is one of atomicAdd on GPUs, in any order; there the losses are added up afterwards.
        """
        if self.config.grid == "pixels":
            size = (targets.shape[-2], targets.shape[-1])
            logits_BKhw = upsample(logits_BKhw, size, self.stride, self.node_offset_px, self.head)
        class_weights = self._class_weights(targets.device)
        reduction = "none" if logits_BKhw.device.type == "cuda" else "sum"
        return functional.cross_entropy(
            logits_BKhw.float(), targets, weight=class_weights, ignore_index=VOID, reduction=reduction
        ).sum()
