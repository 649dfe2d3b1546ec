"""What the engine needs to know of a network and of a batch, and no more."""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from configs.schema import Head


@runtime_checkable
class Batch(Protocol):
    """Bytes: uint8 images (B, 3, H, W) and uint8 labels (B, H, W), whose size may be another; 255 is void."""

    @property
    def images_B3HW(self) -> Tensor: ...
    @property
    def labels_BHW(self) -> Tensor: ...
    @property
    def names(self) -> list[str]: ...


class TrainBatch(Protocol):
    """Front-end maps (B, K, h, w) and targets: computed by the functions that are passed in, or read from disk.

    What is passed is `DenseModel.frontend_maps`.

    `mirrored_B` marks the samples whose maps, and labels under their cells, are still to be mirrored; None: no sample.
    """

    @property
    def mirrored_B(self) -> Tensor | None: ...
    def frontend_maps(self, frontend: Callable[..., Tensor], device: torch.device, /) -> Tensor: ...
    def targets(self, sample: Callable[[Tensor], Tensor], device: torch.device, /) -> Tensor: ...


class WindowMapper(Protocol):
    """A front end, or a part of one: maps of images with a margin, or of the maps of the part before.

    `reach_px` is how far it sees beyond the pixels of a cell, to every side; it is the margin, or with zero padding
    what the margin would be. Of a later part, pixels are the cells of its input.
    """

    @property
    def stride(self) -> int: ...
    @property
    def margin_px(self) -> int: ...
    @property
    def reach_px(self) -> int: ...
    def frontend_maps(self, images_B3HW: Tensor, /) -> Tensor: ...


class DenseModel(Protocol):
    """A module from images with a margin to class maps at a stride; its context module may still be missing.

    `reach_px` is how far the front end sees beyond the pixels of a cell, to every side; it is the margin, or with zero
    padding what the margin would be.
    """

    stride: int
    margin_px: int
    reach_px: int
    node_offset_px: float
    head: Head
    num_classes: int
    context: nn.Module | None

    def insert_context(self, context: Any) -> None: ...
    def freeze(self, *, frontend: bool, blocks: int) -> None: ...
    def checkpoint_activations(self, is_on: bool) -> None: ...
    def frontend_maps(self, images_B3HW: Tensor, /, after_blocks: int = 0) -> Tensor: ...
    def after_blocks(self, blocks: int) -> WindowMapper: ...
    def __call__(self, images_B3HW: Tensor, /) -> Tensor: ...
    def train(self, mode: bool = True) -> Any: ...
    def eval(self) -> Any: ...
    def named_parameters(self) -> Any: ...
    def parameters(self) -> Any: ...
    def state_dict(self) -> dict[str, Tensor]: ...
    def load_state_dict(self, state_dict: dict[str, Tensor]) -> Any: ...


class Picture(NamedTuple):
    """One validation image as people look at it: uint8 arrays, RGB (H, W, 3) and ids (H, W)."""

    name: str
    image_HW3: NDArray[np.uint8]
    truth_HW: NDArray[np.uint8]
    predicted_HW: NDArray[np.uint8]


ValidationBatches = Callable[[], Iterable[Batch]]


@dataclass(frozen=True)
class KeptMaps:
    """Maps of every window that scoring asks for, in order: what frozen layers would compute again every time.

    The front end's (B, K, h, w), or (B, C, h, w) after its first `after_blocks` blocks; each pass begins anew.
    """

    maps: Iterable[Tensor]
    after_blocks: int | None = None


TrainBatches = Callable[[int, int], Generator[TrainBatch]]  # micro-batches from the first number up to the last
