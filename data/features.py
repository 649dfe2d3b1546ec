"""The frozen front end's maps on disk: of whole training images, and of every window that scoring asks for."""

import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from configs.schema import CacheConfig
from data.balance import ClassBalance, chosen
from data.dataset import FileSet, ImageSet
from data.loaders import WHOLE, Share, shuffled_keys
from data.store import Claim, Locked, Log, kept_folder
from data.stored_types import from_stored
from data.versions import Versions

MAPS, TARGETS, WINDOWS = "maps.npy", "targets.npy", "windows.npy"


class MapBatch(NamedTuple):
    """What a training step takes from a store: maps (B, K, h, w) and targets, cells or pixels, as uint8."""

    maps_BKhw: Tensor
    targets_BHW: Tensor
    names: list[str]
    mirrored_B: Tensor | None  # samples still to be mirrored, cell by cell

    def frontend_maps(self, frontend: Callable[[Tensor], Tensor], device: torch.device) -> Tensor:
        """In mixed precision as a front end hands them on, in type and layout: the same kernels give the same bits.

        In float32 they keep the layout that they have on disk, and gradients may differ in their last bits.
        """
        maps_BKhw = self.maps_BKhw.to(device)
        if torch.is_autocast_enabled(device.type):
            dtype = torch.get_autocast_dtype(device.type)
            maps_BKhw = maps_BKhw.to(dtype, memory_format=torch.channels_last)
        return maps_BKhw

    def targets(self, sample: Callable[[Tensor], Tensor], device: torch.device) -> Tensor:
        return self.targets_BHW.to(device).long()


class ImageMaps(NamedTuple):
    """The maps and targets of one image in its M `Versions`."""

    maps_MKhw: NDArray[np.float32]
    targets_MHW: NDArray[np.uint8]


@dataclass(frozen=True)
class MapStore:
    """Maps (N, M, K, h, w) and targets (N, M, h, w) or (N, M, H, W) of M `Versions`, memory-mapped, read-only."""

    maps_NMKhw: NDArray[np.float32]
    targets_NMHW: NDArray[np.uint8]

    def batches(
        self,
        names: Sequence[str],
        *,
        versions: Versions,
        balance: ClassBalance | None = None,
        micro_batch: int,
        first: int,
        last: int,
        seed: int,
        share: Share = WHOLE,
    ) -> Generator[MapBatch]:
        """As `loaders.train_batches`, in its order."""
        length = len(names)
        for keys in shuffled_keys(length, micro_batch=micro_batch, first=first, last=last, seed=seed, share=share):
            samples = [(seed, *key) for key in keys]
            indices = [chosen(balance, sample).image for sample in samples]
            kept = [versions.of(sample) for sample in samples]
            mirrored = [versions.mirrors_cells(sample) for sample in samples]
            yield MapBatch(
                torch.from_numpy(self.maps_NMKhw[indices, kept]),
                torch.from_numpy(self.targets_NMHW[indices, kept]),
                [names[index] for index in indices],
                torch.tensor(mirrored) if any(mirrored) else None,
            )


class WindowMaps:
    """Maps (B, C, h, w) of one window after the other, of any size; each pass over them begins with the first.

    One pass at a time. The file is held open, so that a cache that is removed meanwhile takes nothing from a run that
    uses it.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        weakref.finalize(self, self._file.close)

    def __iter__(self) -> Iterator[Tensor]:
        self._file.seek(0)
        while self._file.peek(1):
            yield from_stored(np.load(self._file))


def open_store(
    config: CacheConfig,
    identity: Mapping[str, Any],
    compute: Callable[[], Iterable[ImageMaps]],
    num_images: int,
    log: Log,
    locked: Locked,
) -> MapStore:
    """Maps of `num_images` images of one size; `compute` is called where there are none yet. See `kept_folder`."""

    def build(folder: Path, claim: Claim) -> None:
        with (folder / MAPS).open("wb") as maps, (folder / TARGETS).open("wb") as targets:
            for number, (maps_MKhw, targets_MHW) in enumerate(compute()):
                if number == 0:
                    claim(num_images * (maps_MKhw.nbytes + targets_MHW.nbytes))
                    _begin(maps, maps_MKhw, num_images)
                    _begin(targets, targets_MHW, num_images)
                maps.write(maps_MKhw.tobytes())
                targets.write(targets_MHW.tobytes())

    folder = kept_folder(config, identity, build, log, locked, "front-end maps")
    maps_NMKhw, targets_NMHW = (np.load(folder / name, mmap_mode="r") for name in (MAPS, TARGETS))
    return MapStore(maps_NMKhw, targets_NMHW)


def open_windows(
    config: CacheConfig,
    identity: Mapping[str, Any],
    compute: Callable[[], Iterable[NDArray[Any]]],
    log: Log,
    locked: Locked,
    what: str = "front-end maps",
) -> WindowMaps:
    """Maps of the windows that `compute` runs through where there are none yet. See `kept_folder`."""

    def build(folder: Path, claim: Claim) -> None:
        needed_bytes = 0
        with (folder / WINDOWS).open("wb") as file:
            for maps_BKhw in compute():
                needed_bytes += maps_BKhw.nbytes
                claim(needed_bytes)
                np.save(file, maps_BKhw)

    return WindowMaps(kept_folder(config, identity, build, log, locked, f"{what} for scoring") / WINDOWS)


def file_identity(images: ImageSet, meaning: Any) -> str:
    """SHA-256 of the names in their order, and of files the place, size and time.

    `meaning` are the settings that determine how labels are decoded, or scenes drawn; the classes' names count as well.
    """
    lines = [repr(meaning), repr(images.classes.names)]
    if isinstance(images, FileSet):
        lines += map(stamp, images.sources)
    for index in range(len(images)):
        lines.append(images.name(index))
        if isinstance(images, FileSet):
            for path in (images.pairs[index].image, images.pairs[index].label):
                lines.append(stamp(path))
    return sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def stamp(path: Path) -> str:
    """Place, size and time of a file; of what is none (weights that are known by name), the word itself."""
    if not path.is_file():
        return str(path)
    status = path.stat()
    return f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"


def _begin(file: IO[bytes], first: NDArray[Any], num_images: int) -> None:
    """The header of an .npy file of `num_images` arrays like the first."""
    header = {"descr": first.dtype.str, "fortran_order": False, "shape": (num_images, *first.shape)}
    np.lib.format.write_array_header_1_0(file, header)
