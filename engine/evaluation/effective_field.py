"""What a context module in fact sees, and whether its answers fall into grids: measured on the scored images.

The computed field says which cells can move an answer at all; how much each of them does is trained (Luo et al., arXiv
1701.04128). Dilated layers without smaller ones around them answer every grid of cells on its own (Yu et al., arXiv
1705.09914).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.runtime import Runtime

NUM_MAPS = 8  # whose gradients are averaged
FIELD_THRESHOLD = 1 - 0.9545  # of the largest gradient: cells from it on are the effective field (Luo et al.)
CELLS_OF_A_PHASE = 2  # at least, along each axis, or a period is left out


class FieldMeasurement(NamedTuple):
    """The effective field and the gridding of a context module, at the weights of one validation."""

    effective_cells: float  # side of the square with as many cells as reach `FIELD_THRESHOLD`
    sigma_cells: float  # standard deviation of the gradient's place, one axis
    gridding: dict[int, float]  # by period; 1 where a cell's logits do not depend on its place in the grid
    gradient_hw: NDArray[np.float64]  # mean over maps of the summed absolute gradient


@dataclass
class Probe:
    """Called with every window of a validation: keeps some maps and scores the gridding; `measure` sums up.

    Of windows of several sizes the first of the largest are kept: with the parts of a set the largest is that of the
    whole, the first is not. Where several ranks score, each calls its own, and `gather` makes one of them all.
    """

    context: nn.Module
    dilations: Sequence[int]
    _maps: list[Tensor] = field(default_factory=list)  # (K, h, w), all of one size
    _gridding: dict[int, list[float]] = field(default_factory=dict)

    def __call__(self, maps_BKhw: Tensor, logits_BKhw: Tensor) -> None:
        self._keep(maps_BKhw)
        for period in sorted({dilation for dilation in self.dilations if dilation > 1}):
            score = gridding(logits_BKhw.float(), period)
            if score is not None:
                self._gridding.setdefault(period, []).append(score)

    def _keep(self, maps: Iterable[Tensor]) -> None:
        for maps_Khw in maps:
            if self._maps and _extent(maps_Khw) > _extent(self._maps[0]):
                self._maps.clear()
            if len(self._maps) < NUM_MAPS and (not self._maps or maps_Khw.shape == self._maps[0].shape):
                self._maps.append(maps_Khw.float().clone())  # measured without autocast

    def gather(self, runtime: Runtime) -> None:
        """Go on as if this rank had been called with the windows of all of them, in the set's order."""
        if runtime.ranks.size == 1:
            return
        parts = runtime.ranks.gather(([maps_Khw.cpu() for maps_Khw in self._maps], self._gridding))
        self._maps, self._gridding = [], {}
        for maps, scores_of_period in parts:
            self._keep(maps_Khw.to(runtime.device) for maps_Khw in maps)
            for period, scores in scores_of_period.items():
                self._gridding.setdefault(period, []).extend(scores)

    def measure(self) -> FieldMeasurement:
        gradient_hw = central_gradient(self.context, torch.stack(self._maps))
        scores = {period: float(np.mean(values)) for period, values in self._gridding.items()}
        return FieldMeasurement(effective_cells(gradient_hw), sigma_cells(gradient_hw), scores, gradient_hw)


def _extent(maps_Khw: Tensor) -> tuple[int, int]:
    """Cells, and rows, which tell a tall map from a wide one of as many."""
    height, width = maps_Khw.shape[-2:]
    return height * width, height


def central_gradient(context: nn.Module, maps_BKhw: Tensor) -> NDArray[np.float64]:
    """How much each cell moves the winning logit of the centre: absolute gradient summed over K, mean over B, (h, w).

    What lies beyond the maps has no part in it. The module's own gradients are left alone.
    """
    maps_BKhw = maps_BKhw.clone().requires_grad_()  # a clone made here may be differentiated
    with torch.enable_grad():
        height, width = maps_BKhw.shape[-2:]
        winners = context(maps_BKhw)[:, :, height // 2, width // 2].amax(1)
        (gradient_BKhw,) = torch.autograd.grad(winners.sum(), maps_BKhw)
    gradient_hw: NDArray[np.float64] = gradient_BKhw.double().abs().sum(1).mean(0).cpu().numpy()
    return gradient_hw


def effective_cells(gradient_hw: NDArray[np.float64]) -> float:
    """Side of the square with as many cells as reach `FIELD_THRESHOLD`; 1 for an identity, 0 where no gradient is."""
    largest = gradient_hw.max()
    return float(np.sqrt((gradient_hw >= FIELD_THRESHOLD * largest).sum())) if largest > 0 else 0.0


def sigma_cells(gradient_hw: NDArray[np.float64]) -> float:
    """Standard deviation along one axis, the mean of both; compares with the uniform weights' sigma."""
    total = gradient_hw.sum()
    if total == 0:
        return 0.0
    height, width = gradient_hw.shape
    rows, columns = np.arange(height) - height // 2, np.arange(width) - width // 2
    square = (gradient_hw * (rows[:, None] ** 2 + columns[None, :] ** 2)).sum() / total
    return float(np.sqrt(square / 2))


def gridding(logits_BKhw: Tensor, period: int) -> float | None:
    """How far the means of the period^2 phases lie apart, over what equal phases would show: mean over B and K.

    The one-way analysis of variance: variance of the phase means times cells in a phase, over the variance within
    phases. Near 1 for cells drawn at random, below 1 on smooth maps, large where phases differ. None on maps too small.
    """
    rows, columns = (side // period for side in logits_BKhw.shape[-2:])
    if min(rows, columns) < CELLS_OF_A_PHASE:
        return None
    whole = logits_BKhw[..., : rows * period, : columns * period]
    cells_BKypxq = whole.reshape(*logits_BKhw.shape[:2], rows, period, columns, period).double()
    means_BKpq = cells_BKypxq.mean((2, 4))
    between_BK = rows * columns * means_BKpq.flatten(2).var(2)
    within_BK = cells_BKypxq.var((2, 4)).mean((2, 3))
    has_spread = within_BK > 0
    return float((between_BK[has_spread] / within_BK[has_spread]).mean()) if has_spread.any() else None
