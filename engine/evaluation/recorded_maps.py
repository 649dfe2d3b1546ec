"""The front end's maps of every window that scoring asks for: recorded in their order, and replayed in its place.

Scoring asks for the same windows in the same order every time (scales, mirror images, tiles), so the place in the order
says which window a map belongs to.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.contracts import DenseModel
from engine.evaluation.blocks import maps_after_blocks
from engine.evaluation.inference import Maps


@dataclass
class RecordedMaps:
    """Maps in order, of a model's front end or, with `after_blocks`, of so many of its blocks; given, or recorded."""

    model: DenseModel
    maps: Iterable[Tensor] = field(default_factory=list)
    after_blocks: int | None = None

    def recording(self, frontend: Maps) -> Maps:
        """`frontend`, with every map that it computes kept; what was kept before is dropped."""
        recorded: list[Tensor] = []
        self.maps = recorded

        def record(window_B3HW: Tensor) -> Tensor:
            recorded.append(frontend(window_B3HW))
            return recorded[-1]

        return record

    def replaying(self, device: torch.device) -> Maps:
        """The maps from the first on, for the same windows in the same order."""
        maps = iter(self.maps)

        def replay(window_B3HW: Tensor) -> Tensor:
            kept = next(maps, None)
            assert kept is not None, "scoring asks for more windows than have recorded maps"
            maps_BKhw = kept.to(device) if self.after_blocks is None else self._after_blocks(kept.to(device))
            self._check(maps_BKhw, window_B3HW)
            return maps_BKhw

        return replay

    def _after_blocks(self, maps_BChw: Tensor) -> Tensor:
        """The rest of the front end, in the type and layout that it has without a file between."""
        if not torch.is_autocast_enabled(maps_BChw.device.type):
            maps_BChw = maps_BChw.float()
        maps_BChw = maps_BChw.contiguous(memory_format=torch.channels_last)
        assert self.after_blocks is not None
        return maps_after_blocks(self.model, maps_BChw, self.after_blocks)

    def _check(self, maps_BKhw: Tensor, window_B3HW: Tensor) -> None:
        """The cells must cover the window without its margin; the last row and column may lack a part of a cell."""
        inner_px = [side - 2 * self.model.margin_px for side in window_B3HW.shape[-2:]]
        cells = maps_BKhw.shape[-2:]
        fits = maps_BKhw.shape[:2] == (len(window_B3HW), self.model.num_classes) and all(
            abs(num_cells * self.model.stride - side) < self.model.stride
            for num_cells, side in zip(cells, inner_px, strict=True)
        )
        assert fits, (
            f"the recorded maps {tuple(maps_BKhw.shape)} are not those of the window {tuple(window_B3HW.shape)}: with "
            f"{self.model.num_classes} classes and a margin of {self.model.margin_px} px, "
            f"{[side / self.model.stride for side in inner_px]} cells are required"
        )
