"""Softmax cross-entropy over valid pixels: sum, count, divide once.

A mean of means is wrong wherever void is uneven (between images, accumulated passes or processes), so the sum and its
weight are kept apart until the whole global batch is known.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from configs.schema import VOID, Head, LossConfig
from engine.evaluation.grid import sample_labels, upsample


@dataclass(frozen=True)
class CrossEntropy:
    """The loss of one network, at its cells or at the label's pixels."""

    config: LossConfig
    stride: int
    node_offset_px: float
    head: Head = "interpolated"

    def _class_weights(self, device: torch.device) -> Tensor | None:
        weights = self.config.class_weights
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
        """The undivided loss; 0, with a gradient, where everything is void."""
        if self.config.grid == "pixels":
            size = (targets.shape[-2], targets.shape[-1])
            logits_BKhw = upsample(logits_BKhw, size, self.stride, self.node_offset_px, self.head)
        class_weights = self._class_weights(targets.device)
        return functional.cross_entropy(
            logits_BKhw.float(), targets, weight=class_weights, ignore_index=VOID, reduction="sum"
        )
