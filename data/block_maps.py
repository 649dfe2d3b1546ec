"""Maps of the front end's frozen blocks on disk, of whole training images; crops are cut from them cell by cell."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from configs.schema import CacheConfig
from data.balance import Choice, ClassBalance, chosen
from data.labels import VOID
from data.loaders import WHOLE, Share, shuffled_keys
from data.store import Claim, Locked, Log, kept_folder
from data.stored_types import STORED, from_stored, to_stored
from data.streams import SampleKey, generator
from data.versions import Versions

MAPS, LABELS = "maps.bin", "labels.bin"


class BlockBatch(NamedTuple):
    """What a training step takes: maps (B, C, h, w) after the first `after_blocks` blocks, labels of their pixels.

    Without padding the maps reach beyond the labels, as images do with their margin.
    """

    maps_BChw: Tensor
    labels_BHW: Tensor
    names: list[str]
    after_blocks: int
    mirrored_B: Tensor | None = None  # mirrored images have maps of their own

    def frontend_maps(self, frontend: Callable[..., Tensor], device: torch.device) -> Tensor:
        maps_BChw = self.maps_BChw.to(device, non_blocking=True)
        if not torch.is_autocast_enabled(device.type):
            maps_BChw = maps_BChw.float()
        return frontend(maps_BChw, after_blocks=self.after_blocks)

    def targets(self, sample: Callable[[Tensor], Tensor], device: torch.device) -> Tensor:
        return sample(self.labels_BHW.to(device, non_blocking=True))


class ImageBlockMaps(NamedTuple):
    """Maps, channels last, and labels of one image in its M `Versions`."""

    maps_MhwC: Tensor
    labels_MHW: Tensor


@dataclass(frozen=True)
class Layout:
    """How the maps lie: `size_N2` are rows and columns of the cells that stand for pixels of each image.

    Around them lie `margin_cells` more on every side. `versions` are kept of every image.
    """

    size_N2: NDArray[np.int64]
    margin_cells: int
    num_channels: int
    stride: int
    blocks: int
    versions: int
    dtype: torch.dtype

    @cached_property
    def cell_bounds(self) -> NDArray[np.int64]:
        """Where the cells of every version of every image begin, margins included, and where the last ones end."""
        return self._bounds((self.size_N2 + 2 * self.margin_cells).prod(1))

    @cached_property
    def pixel_bounds(self) -> NDArray[np.int64]:
        return self._bounds((self.size_N2 * self.stride).prod(1))

    def _bounds(self, lengths_N: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(np.repeat(lengths_N, self.versions))])

    @property
    def num_bytes(self) -> int:
        return int(self.cell_bounds[-1]) * self.num_channels * self.dtype.itemsize + int(self.pixel_bounds[-1])


@dataclass(frozen=True)
class BlockMaps:
    """The maps and labels of all images in one file each, memory-mapped, read-only."""

    layout: Layout
    maps: NDArray[Any]  # cells of all versions of all images, one after the other, by channels
    labels: NDArray[np.uint8]

    def batches(
        self,
        names: Sequence[str],
        *,
        crop_px: Sequence[int],
        versions: Versions,
        balance: ClassBalance | None = None,
        micro_batch: int,
        first: int,
        last: int,
        seed: int,
        share: Share = WHOLE,
    ) -> Generator[BlockBatch]:
        """As `loaders.train_batches`, in its order. Crops lie at whole cells; all that do are equally likely, or all
        that hold a pixel that is drawn evenly from those of a class that is to be in it.
        """
        length = len(names)
        for keys in shuffled_keys(length, micro_batch=micro_batch, first=first, last=last, seed=seed, share=share):
            samples = [(seed, *key) for key in keys]
            choices = [chosen(balance, sample) for sample in samples]
            crops = [
                self._crop(sample, choice, crop_px, versions) for sample, choice in zip(samples, choices, strict=True)
            ]
            maps_BhwC, labels_BHW = (np.stack(parts) for parts in zip(*crops, strict=True))
            yield BlockBatch(
                from_stored(maps_BhwC).permute(0, 3, 1, 2),
                torch.from_numpy(labels_BHW),
                [names[choice.image] for choice in choices],
                self.layout.blocks,
            )

    def _crop(
        self, key: SampleKey, choice: Choice, crop_px: Sequence[int], versions: Versions
    ) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Where the image is smaller than the crop, cells of zeros and void follow at the bottom and the right."""
        layout = self.layout
        maps_hwC, label_HW = self.of_image(choice.image, versions.of(key))
        crop_cells = [-(-side // layout.stride) for side in crop_px]
        spare = [max(0, size - cells) for size, cells in zip(layout.size_N2[choice.image], crop_cells, strict=True)]
        places = generator(key, "crop of maps")
        top, left = self._place(label_HW, choice.anchor_class, crop_px, spare, places)
        with_margin = [cells + 2 * layout.margin_cells for cells in crop_cells]
        maps_hwC = maps_hwC[top : top + with_margin[0], left : left + with_margin[1]]
        top_px, left_px = top * layout.stride, left * layout.stride
        label_HW = label_HW[top_px : top_px + crop_px[0], left_px : left_px + crop_px[1]]
        return _completed(maps_hwC, with_margin, 0), _completed(label_HW, crop_px, VOID)

    def _place(
        self,
        label_HW: NDArray[np.uint8],
        anchor_class: int | None,
        crop_px: Sequence[int],
        spare: Sequence[int],
        places: np.random.Generator,
    ) -> tuple[int, int]:
        """Row and column of the crop's first cell, from 0 to `spare`."""
        bounds = [(0, last) for last in spare]
        positions = () if anchor_class is None else np.flatnonzero(label_HW == anchor_class)
        if len(positions):
            anchor, stride = np.unravel_index(places.choice(positions), label_HW.shape), self.layout.stride
            bounds = [
                (min(last, max(0, -(-(int(pixel) - side + 1) // stride))), min(last, int(pixel) // stride))
                for pixel, side, last in zip(anchor, crop_px, spare, strict=True)
            ]
        top, left = (int(places.integers(earliest, latest + 1)) for earliest, latest in bounds)
        return top, left

    def whole(self, index: int, version: int) -> BlockBatch:
        """A version of an image, whole, as a batch."""
        maps_hwC, label_HW = self.of_image(index, version)
        maps_BChw = from_stored(np.array(maps_hwC[None])).permute(0, 3, 1, 2)
        return BlockBatch(maps_BChw, torch.from_numpy(np.array(label_HW[None])), [], self.layout.blocks)

    def of_image(self, index: int, version: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Maps (h, w, C), margin included, and label (H, W) of a version of an image."""
        layout = self.layout
        (rows, columns), margin = layout.size_N2[index], 2 * layout.margin_cells
        place = layout.versions * index + version
        cells = self.maps[slice(*layout.cell_bounds[place : place + 2])]
        pixels = self.labels[slice(*layout.pixel_bounds[place : place + 2])]
        maps_hwC = cells.reshape(rows + margin, columns + margin, layout.num_channels)
        return maps_hwC, pixels.reshape(rows * layout.stride, columns * layout.stride)


def open_block_maps(
    config: CacheConfig,
    identity: Mapping[str, Any],
    compute: Callable[[], Iterable[ImageBlockMaps]],
    layout: Layout,
    log: Log,
    locked: Locked,
) -> BlockMaps:
    """Maps of all images; `compute` is called where there are none yet. See `kept_folder`.

    Raises UserError where values are too large for the type that they are to be kept in.
    """

    def build(folder: Path, claim: Claim) -> None:
        claim(layout.num_bytes)
        with (folder / MAPS).open("wb") as maps, (folder / LABELS).open("wb") as labels:
            for maps_MhwC, labels_MHW in compute():
                maps.write(to_stored(maps_MhwC, layout.dtype).tobytes())
                labels.write(labels_MHW.contiguous().numpy().tobytes())

    folder = kept_folder(config, identity, build, log, locked, block_maps_of(layout.blocks))
    maps = np.memmap(folder / MAPS, STORED[layout.dtype], "r").reshape(-1, layout.num_channels)
    return BlockMaps(layout, maps, np.memmap(folder / LABELS, np.uint8, "r"))


def block_maps_of(blocks: int) -> str:
    """What the log calls them."""
    return f"maps of the first {blocks} blocks"


def _completed(array: NDArray[Any], size: Sequence[int], value: int) -> NDArray[Any]:
    rows, columns = (side - have for side, have in zip(size, array.shape, strict=False))
    if rows == columns == 0:
        return array
    return np.pad(array, [(0, rows), (0, columns), *[(0, 0)] * (array.ndim - 2)], constant_values=value)
