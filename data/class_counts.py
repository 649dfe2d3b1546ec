"""How many pixels of each class every label of a set has: one pass over the labels, kept on disk for all runs."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import UserError
from configs.schema import VOID, CacheConfig
from data.dataset import FileSet, ImageSet
from data.labels import Labels
from data.store import Claim, Locked, Log, kept_folder

COUNTS = "counts.npy"
WAITING = 256  # labels that threads are asked for at once: a request, or an answer that waits, takes 4 kB
NOISE = 8  # pixels of a run, on average, below which runs are slower to count than pixels

Counts = NDArray[np.int64]


def open_counts(
    config: CacheConfig,
    identity: Mapping[str, Any],
    images: ImageSet,
    threads: int,
    log: Log,
    locked: Locked,
    check: Callable[[], None],
) -> Counts:
    """(N, C), from disk where the labels of this identity were counted before. See `kept_folder`, `count_classes`."""

    def build(folder: Path, claim: Claim) -> None:
        log(f"class counts: reading the {len(images)} labels of {images.describe()}, once")
        began_s = perf_counter()
        np.save(folder / COUNTS, count_classes(images, threads, check))
        log(f"class counts: {len(images)} labels in {perf_counter() - began_s:.1f} s")

    folder = kept_folder(config, identity, build, log, locked, "class counts", kind="counts")
    counts_NC: Counts = np.load(folder / COUNTS)
    if not counts_NC.any():
        raise UserError(f"{images.describe()}: every pixel of every label is void; correct the labels, or the ids")
    return counts_NC


def count_classes(images: ImageSet, threads: int, check: Callable[[], None]) -> Counts:
    """(N, C), void left out. Raises UserError where a label cannot be read, and what `check` raises between labels."""

    def counted(index: int) -> Counts:
        try:
            return pixels_of_values(_label(images, index))[: images.classes.num_classes]
        except Exception as error:
            error.add_note(f"while reading the label of sample {images.name(index)}")
            raise

    counts_NC = np.empty((len(images), images.classes.num_classes), np.int64)
    with ThreadPoolExecutor(max(threads, 1)) as pool:  # decoding a file leaves Python to the others
        try:
            for first in range(0, len(images), WAITING):
                block = range(first, min(first + WAITING, len(images)))
                for index, counts_C in zip(block, pool.map(counted, block), strict=True):
                    check()
                    counts_NC[index] = counts_C
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return counts_NC


def pixels_of_values(label: Labels) -> Counts:
    """How many pixels have each of the 256 values. Labels are areas: counting runs is five times as fast."""
    values = label.ravel()
    ends = values[1:] != values[:-1]
    if np.count_nonzero(ends) > values.size // NOISE:
        return np.bincount(values, minlength=VOID + 1)
    starts = np.concatenate(([0], np.flatnonzero(ends) + 1))
    lengths = np.diff(starts, append=values.size)
    return np.bincount(values[starts], weights=lengths, minlength=VOID + 1).astype(np.int64)


def _label(images: ImageSet, index: int) -> Labels:
    """Without its image, where both are files."""
    if isinstance(images, FileSet) and images.read_label is not None:
        return images.read_label(images.pairs[index].label)
    return images.read(index)[1]
