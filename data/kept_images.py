"""Training images and labels on disk as decoding and resizing leave them: what a file holds is decoded once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.schema import CacheConfig, ResizeConfig
from data.build import image_sizes
from data.dataset import ImageSet
from data.labels import ClassSet, Labels
from data.loaders import whole_batches
from data.resize import resized_size
from data.store import Claim, Locked, Log, kept_folder, to_keep
from data.transforms import NoTransform

IMAGES, LABELS, SIZES = "images.bin", "labels.bin", "sizes.npy"
CHANNELS = 3
BYTES_A_PIXEL = CHANNELS + 1  # and its label


@dataclass(frozen=True)
class KeptImages:
    """The `ImageSet` of `images`, resized; bytes of colours and train ids are memory-mapped, read-only."""

    images: ImageSet
    size_N2: NDArray[np.int64]  # height and width of each
    colors: NDArray[np.uint8]  # of all images, one after the other
    ids: NDArray[np.uint8]

    @property
    def classes(self) -> ClassSet:
        return self.images.classes

    @property
    def has_labels(self) -> bool:
        return self.images.has_labels

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        return self.images.name(index)

    def read(self, index: int) -> tuple[NDArray[np.uint8], Labels]:
        first, end = (int(bound) for bound in self._pixel_bounds[index : index + 2])
        height, width = (int(side) for side in self.size_N2[index])
        image_HW3 = self.colors[CHANNELS * first : CHANNELS * end].reshape(height, width, CHANNELS)
        return np.asarray(image_HW3), np.asarray(self.ids[first:end].reshape(height, width))

    def describe(self) -> str:
        return self.images.describe()

    @cached_property
    def _pixel_bounds(self) -> NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(self.size_N2.prod(1))])


def open_kept_images(
    config: CacheConfig,
    identity: Mapping[str, Any],
    images: ImageSet,
    resize: ResizeConfig,
    workers: int,
    log: Log,
    locked: Locked,
    check: Callable[[], None],
) -> KeptImages:
    """`images` from disk; they are read, with `check` called in between, where they are not there yet.

    `identity` says what their files are; how they are resized is added. See `kept_folder`. Raises UserError where one
    cannot be read.
    """

    def build(folder: Path, claim: Claim) -> None:
        log(f"decoded images: reading the {len(images)} of {images.describe()}, once")
        began_s, sizes, num_pixels = perf_counter(), [], 0
        with (folder / IMAGES).open("wb") as colors, (folder / LABELS).open("wb") as ids:
            for batch in whole_batches(images, NoTransform(), batch=1, workers=workers, resize=resize):
                check()
                image_HW3, label_HW = batch.images_B3HW[0].permute(1, 2, 0).contiguous(), batch.labels_BHW[0]
                sizes.append(tuple(label_HW.shape))
                num_pixels += label_HW.numel()
                claim(BYTES_A_PIXEL * num_pixels)
                colors.write(image_HW3.numpy().tobytes())
                ids.write(label_HW.contiguous().numpy().tobytes())
        np.save(folder / SIZES, np.array(sizes, np.int64))
        log(f"decoded images: {len(images)} in {perf_counter() - began_s:.1f} s")

    folder = kept_folder(config, _with_resize(identity, resize), build, log, locked, "decoded images", kind="images")
    colors, ids = (np.memmap(folder / name, np.uint8, "r") for name in (IMAGES, LABELS))
    return KeptImages(images, np.load(folder / SIZES), colors, ids)


def images_to_keep(
    config: CacheConfig, identity: Mapping[str, Any], images: ImageSet, resize: ResizeConfig
) -> dict[str, int]:
    """The bytes that `open_kept_images` would write. See `store.to_keep`."""
    sizes_px = (resized_size(resize, size_px) for size_px in image_sizes(images))
    num_bytes = BYTES_A_PIXEL * sum(height * width for height, width in sizes_px)
    return to_keep(config, _with_resize(identity, resize), num_bytes, "images")


def _with_resize(identity: Mapping[str, Any], resize: ResizeConfig) -> dict[str, Any]:
    return {**identity, "resize": resize.model_dump()}
