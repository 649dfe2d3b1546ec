"""Front-end maps of whole images on disk: computed once, shared by every run that would compute the same.

A store is a folder named after the hash of all that determines it. It holds maps.npy (N, M, K, h, w) in float32,
targets.npy (N, M, h, w) or (N, M, H, W) in uint8, and index.json with the hash's content and the checksums. M is 1, or
2 where the maps of the mirrored image lie beside those of the image. It is written beside its place and renamed when
whole, under a lock: of two runs that want it, one waits. Remove the folder to be rid of it.
"""

import fcntl
import json
import os
import shutil
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from configs.schema import CacheConfig
from data.dataset import FileSet, ImageSet
from data.loaders import shuffled_keys
from data.transforms import is_mirrored

MAPS, TARGETS, INDEX = "maps.npy", "targets.npy", "index.json"
CHUNK_BYTES = 2**24
KEY_LENGTH = 20  # hexadecimal digits of a folder's name


class MapBatch(NamedTuple):
    """What a training step takes from a store: maps (B, K, h, w) and targets, cells or pixels, as uint8."""

    maps_BKhw: Tensor
    targets_BHW: Tensor
    names: list[str]
    mirrored_B: Tensor | None  # samples still to be mirrored, cell by cell

    def frontend_maps(self, frontend: Callable[[Tensor], Tensor], device: torch.device) -> Tensor:
        return self.maps_BKhw.to(device)

    def targets(self, sample: Callable[[Tensor], Tensor], device: torch.device) -> Tensor:
        return self.targets_BHW.to(device).long()


class Computed(NamedTuple):
    """One image's part of a store."""

    maps_MKhw: NDArray[np.float32]
    targets_MHW: NDArray[np.uint8]


@dataclass(frozen=True)
class MapStore:
    """Memory-mapped, read-only."""

    maps_NMKhw: NDArray[np.float32]
    targets_NMHW: NDArray[np.uint8]

    def batches(
        self, names: Sequence[str], *, mirror: bool, micro_batch: int, first: int, last: int, seed: int
    ) -> Generator[MapBatch]:
        """Micro-batches number `first` up to but not including `last`, in the order of `loaders.train_batches`."""
        has_mirrored = self.maps_NMKhw.shape[1] == 2
        for keys in shuffled_keys(len(names), micro_batch=micro_batch, first=first, last=last, seed=seed):
            indices = [index for _, index in keys]
            turned = [mirror and is_mirrored((seed, epoch, index)) for epoch, index in keys]
            versions = [int(turn and has_mirrored) for turn in turned]
            yield MapBatch(
                torch.from_numpy(self.maps_NMKhw[indices, versions]),
                torch.from_numpy(self.targets_NMHW[indices, versions]),
                [names[index] for index in indices],
                torch.tensor(turned) if mirror and not has_mirrored else None,
            )


def open_store(
    config: CacheConfig,
    identity: Mapping[str, Any],
    compute: Callable[[], Iterable[Computed]],
    num_images: int,
    say: Callable[[str], None],
) -> MapStore:
    """The store of this identity (JSON data); `compute` is called, and its images written, where there is none yet.

    Raises ValueError where the store would exceed `config.max_gb` with all others, or cannot be written.
    """
    root, text = Path(config.root), json.dumps(identity, sort_keys=True)
    folder = root / f"maps-{sha256(text.encode()).hexdigest()[:KEY_LENGTH]}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_suffix(".lock")):
            complaint = _complaint(folder, text)
            if complaint is None:
                say(f"front-end maps: read from {folder}")
            else:
                if folder.exists():
                    say(f"warning: {folder}: {complaint}; computing the maps again")
                    shutil.rmtree(folder)
                _build(folder, text, compute(), num_images, config)
                say(f"front-end maps: computed, {_size(folder) / 1e9:.2f} GB in {folder}")
    except OSError as error:
        raise ValueError(
            f"cache.root={root}: the maps cannot be kept there ({error.strerror or error}); set cache.root elsewhere, "
            "or stage.context.maps=computed"
        ) from error
    maps_NMKhw, targets_NMHW = (np.load(folder / name, mmap_mode="r") for name in (MAPS, TARGETS))
    return MapStore(maps_NMKhw, targets_NMHW)


def file_identity(images: ImageSet, settings: Any) -> str:
    """SHA-256 of the names in their order, and of files the place, size and time; of drawn scenes the settings."""
    lines = [repr(settings)]
    for index in range(len(images)):
        lines.append(images.name(index))
        if isinstance(images, FileSet):
            for path in (images.pairs[index].image, images.pairs[index].label):
                lines.append(stamp(path))
    return sha256("\n".join(lines).encode()).hexdigest()


def stamp(path: Path) -> str:
    """Place, size and time of a file; of what is none (weights that are known by name), the word itself."""
    if not path.is_file():
        return str(path)
    status = path.stat()
    return f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Waits until no other process holds the lock; that of a dead process is free by itself."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(folder: Path, identity: str, computed: Iterable[Computed], num_images: int, config: CacheConfig) -> None:
    temporary = folder.with_suffix(".part")
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    temporary.mkdir()
    try:
        with (temporary / MAPS).open("wb") as maps, (temporary / TARGETS).open("wb") as targets:
            for number, (maps_MKhw, targets_MHW) in enumerate(computed):
                if number == 0:
                    _check_room(folder.parent, num_images * (maps_MKhw.nbytes + targets_MHW.nbytes), config)
                    _begin(maps, maps_MKhw, num_images)
                    _begin(targets, targets_MHW, num_images)
                maps.write(maps_MKhw.tobytes())
                targets.write(targets_MHW.tobytes())
            for file in (maps, targets):
                file.flush()
                os.fsync(file.fileno())
        sums = {name: _checksum(temporary / name) for name in (MAPS, TARGETS)}
        (temporary / INDEX).write_text(json.dumps({"identity": identity, "checksums": sums}))
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _begin(file: IO[bytes], first: NDArray[Any], num_images: int) -> None:
    """The header of an .npy file of `num_images` arrays like the first."""
    header = {"descr": first.dtype.str, "fortran_order": False, "shape": (num_images, *first.shape)}
    np.lib.format.write_array_header_1_0(file, header)


def _check_room(root: Path, needed_bytes: int, config: CacheConfig) -> None:
    used_bytes = sum(_size(folder) for folder in root.glob("maps-*") if folder.is_dir())
    if used_bytes + needed_bytes > config.max_gb * 1e9:
        raise ValueError(
            f"cache.max_gb={config.max_gb:g}: the maps need {needed_bytes / 1e9:.2f} GB and {root} holds "
            f"{used_bytes / 1e9:.2f} already; raise it, remove folders there, or set stage.context.maps=computed"
        )


def _complaint(folder: Path, identity: str) -> str | None:
    """Why a store cannot be used; None if it can."""
    if not folder.is_dir():
        return "not there"
    try:
        index = json.loads((folder / INDEX).read_text())
        if index["identity"] != identity:
            return "made of something else"
        for name, checksum in index["checksums"].items():
            if _checksum(folder / name) != checksum:
                return f"{name} is damaged"
    except (OSError, ValueError, LookupError, TypeError) as error:
        return f"damaged ({error})"
    return None


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            value = zlib.crc32(chunk, value)
    return value


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
