"""Batches of bytes, in an order that is a pure function of the seed, read by processes that never outlive their use."""

import atexit
import multiprocessing
import multiprocessing.util
import signal
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from configs.errors import STOP_SIGNALS, UserError
from configs.schema import ResizeConfig
from data.balance import ClassBalance, chosen
from data.dataset import ImageSet
from data.parent import end_with_parent
from data.resize import resized_image, resized_label
from data.transforms import SampleTransform, TrainTransform, is_mirrored

T = TypeVar("T")

TIMEOUT_S = 300  # longest wait for a batch before its worker counts as hung
ORPHANS_S = 12  # for torch's own workers to notice, which look every 5 seconds, and to end in good order
NOTHING = -1
AS_IT_IS = ResizeConfig()
BROKEN_CONNECTION = (ConnectionError, FileNotFoundError, EOFError)  # to the worker whose memory holds a batch
FROM_A_WORKER = " in DataLoader worker process "  # in the first line of what a worker raised itself

Key = tuple[int, int]  # epoch, index


class Share(NamedTuple):
    """One of several equal parts, neighbours kept together; the last of them end where the whole ends."""

    number: int
    of_all: int

    def of(self, whole: Sequence[T]) -> Sequence[T]:
        first, last = (len(whole) * number // self.of_all for number in (self.number, self.number + 1))
        return whole[first:last]


WHOLE = Share(0, 1)


class Batch(NamedTuple):
    """Images and labels as uint8; an image is its label's region with the margin around it.

    To score, it is the whole image, and its size may be another than the label's (`validation_batches`).
    `mirrored_B` (bool) says which samples are still to be mirrored, cell by cell; None: none is.
    """

    images_B3HW: Tensor
    labels_BHW: Tensor
    names: list[str]
    mirrored_B: Tensor | None = None

    def frontend_maps(self, frontend: Callable[[Tensor], Tensor], device: torch.device) -> Tensor:
        return frontend(self.images_B3HW.to(device, non_blocking=True))

    def targets(self, sample: Callable[[Tensor], Tensor], device: torch.device) -> Tensor:
        return sample(self.labels_BHW.to(device, non_blocking=True))


def train_batches(
    images: ImageSet,
    transform: TrainTransform,
    balance: ClassBalance | None = None,
    *,
    micro_batch: int,
    first: int,
    last: int,
    seed: int,
    workers: int,
    share: Share = WHOLE,
    resize: ResizeConfig = AS_IT_IS,
    pin_memory: bool = False,
) -> Generator[Batch]:
    """Micro-batches number `first` up to but not including `last` of the endless shuffled stream.

    With a `share`, that part of every micro-batch. Images and labels are resized before they are transformed.
    `pin_memory`, for a GPU: in memory that it reads by itself. Close the iterator to stop early. Raises UserError if a
    sample cannot be read and RuntimeError if a worker process dies or hangs.
    """
    keys = shuffled_keys(len(images), micro_batch=micro_batch, first=first, last=last, seed=seed, share=share)
    yield from _read(_Reader(images, transform, seed, workers, resize, balance), keys, workers, pin_memory)


def whole_batches(
    images: ImageSet,
    transform: SampleTransform,
    *,
    batch: int,
    workers: int,
    epochs: int = 1,
    resize: ResizeConfig = AS_IT_IS,
    pin_memory: bool = False,
) -> Iterator[Batch]:
    """`batch` samples after the other, in order, as the transform makes them in each of the first `epochs`.

    Those of a batch have one size, and the epochs of a sample follow each other. Otherwise as `train_batches`.
    """
    firsts = range(0, len(images), batch)
    groups = (range(first, min(first + batch, len(images))) for first in firsts)
    keys = ([(epoch, index) for index in group for epoch in range(epochs)] for group in groups)
    yield from _read(_Reader(images, transform, 0, workers, resize), keys, workers, pin_memory)


def validation_batches(
    images: ImageSet,
    *,
    batch: int,
    workers: int,
    share: Share = WHOLE,
    resize: ResizeConfig = AS_IT_IS,
    pin_memory: bool = False,
) -> Iterator[Batch]:
    """Every sample once, in order and whole, without margin; neighbours of one size share a batch of up to `batch`.

    With a `share`, that part of the samples; the parts one after the other are the set. Images are resized, labels are
    not. Raises as `train_batches` does.
    """
    keys = ([(0, index)] for index in share.of(range(len(images))))
    group: list[Batch] = []
    for sample in _read(_Reader(images, None, 0, workers, resize), keys, workers, pin_memory):
        if group and (len(group) == batch or _sizes(sample) != _sizes(group[0])):
            yield _join(group)
            group = []
        group.append(sample)
    if group:
        yield _join(group)


def shuffled_keys(
    length: int, *, micro_batch: int, first: int, last: int, seed: int, share: Share = WHOLE
) -> Iterator[list[Key]]:
    """Keys of the micro-batches `first` to `last` - 1. Sample p is number p % length of epoch p // length.

    Every epoch is a permutation of its own, and a micro-batch may lie across the border of two. The shares of a
    micro-batch are its parts: together they hold the same samples, however many there are.
    """
    assert length > 0, "an empty set has no batches"
    epoch, order = -1, np.empty(0, np.int64)
    for number in range(first, last):
        keys: list[Key] = []
        for position in range(number * micro_batch, (number + 1) * micro_batch):
            if position // length != epoch:
                epoch = position // length
                order = np.random.default_rng(np.random.SeedSequence((seed, epoch))).permutation(length)
            keys.append((epoch, int(order[position % length])))
        yield list(share.of(keys))


class _Reader(Dataset[Batch | UserError]):
    """Reads a batch at a time. Each worker notes the sample that it reads in memory shared with the parent."""

    def __init__(
        self,
        images: ImageSet,
        transform: SampleTransform | None,
        seed: int,
        workers: int,
        resize: ResizeConfig,
        balance: ClassBalance | None = None,
    ) -> None:
        self.images = images
        self.transform = transform
        self.seed = seed
        self.resize = resize
        self.balance = balance
        self._reading = multiprocessing.RawArray("q", [NOTHING] * max(workers, 1))

    def __getitem__(self, keys: list[Key]) -> Batch | UserError:
        """The error is a value because torch would re-raise it with the worker's traceback as its message."""
        worker = get_worker_info()
        slot = worker.id if worker else 0
        choices = [chosen(self.balance, (self.seed, *key)) for key in keys]
        pairs = []
        for (epoch, number), (index, anchor_class) in zip(keys, choices, strict=True):
            self._reading[slot] = index
            try:
                image_HW3, label_HW = self.images.read(index)
                image_HW3 = resized_image(image_HW3, self.resize)
                if self.transform:
                    label_HW = resized_label(label_HW, self.resize)
                    key = (self.seed, epoch, number)
                    image_HW3, label_HW = self.transform(image_HW3, label_HW, key, anchor_class)
            except UserError as error:
                return error
            except Exception as error:
                error.add_note(f"while reading sample {self.images.name(index)}")
                raise
            pairs.append((image_HW3, label_HW))
        self._reading[slot] = NOTHING
        height, width = pairs[0][0].shape[:2]
        images_B3HW = np.empty((len(pairs), 3, height, width), np.uint8)
        for slice_3HW, (image_HW3, _) in zip(images_B3HW, pairs, strict=True):
            slice_3HW[:] = image_HW3.transpose(2, 0, 1)
        labels_BHW = np.stack([label_HW for _, label_HW in pairs])
        mirrored_B = None
        if self.transform and self.transform.leaves_mirror:
            mirrored_B = torch.tensor([is_mirrored((self.seed, epoch, index)) for epoch, index in keys])
        names = [self.images.name(index) for index, _ in choices]
        return Batch(torch.from_numpy(images_B3HW), torch.from_numpy(labels_BHW), names, mirrored_B)

    def names_in_work(self) -> list[str]:
        return [self.images.name(index) for index in self._reading if index != NOTHING]


def _read(reader: _Reader, keys: Iterable[list[Key]], workers: int, pin_memory: bool) -> Iterator[Batch]:
    loader = DataLoader(
        reader,
        batch_size=None,  # a "sample" is a batch: the reader does the collation
        sampler=keys,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=pin_memory,
        worker_init_fn=_start_worker,
        timeout=TIMEOUT_S if workers else 0,
        generator=torch.Generator(),  # otherwise each loader would draw from the global one and change the training
        # Fork starts in milliseconds where the others import torch anew; a worker uses no thread pool of the parent.
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
    )
    with _running(loader) as batches:
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except (RuntimeError, *BROKEN_CONNECTION) as error:
                if not workers or (
                    isinstance(error, BROKEN_CONNECTION) and FROM_A_WORKER in str(error).partition("\n")[0]
                ):
                    raise
                is_broken = isinstance(error, BROKEN_CONNECTION)
                reason = f"a worker was killed before it had handed over its batch ({error})" if is_broken else error
                names = ", ".join(reader.names_in_work()) or "nothing"
                raise RuntimeError(
                    f"{reason}. The workers were reading: {names}. runtime.workers=0 reads without worker processes."
                ) from error
            if isinstance(batch, UserError):
                raise batch
            yield batch


@contextmanager
def _running(loader: DataLoader[Batch | UserError]) -> Iterator[Iterator[Batch | UserError]]:
    """The loader's iterator. Its workers are gone at the end of the block, or of the program where that comes first.

    A signal to the whole group is the parent's to answer, which saves before it stops: the workers inherit a mask that
    blocks it. Neither torch nor multiprocessing would then get rid of a worker that hangs, so `stop` does.
    """
    others = set(multiprocessing.active_children())
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        batches = iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    workers = set(multiprocessing.active_children()) - others

    def stop() -> None:
        if workers:
            batches._shutdown_workers()  # type: ignore[attr-defined]
        for worker in workers:
            if worker.is_alive():
                worker.kill()
            worker.join()

    atexit.register(stop)
    try:
        yield batches
    finally:
        atexit.unregister(stop)
        stop()


def _start_worker(worker_id: int) -> None:
    """One thread: the cores are taken, and the parent's thread pools did not survive the fork.

    torch's workers notice that their parent is gone, but take whoever inherits them for their parent where it was
    killed before they have begun.
    """
    cv2.setNumThreads(0)  # 1 would wait for ever for threads that only the parent has
    torch.set_num_threads(1)
    multiprocessing.util.get_temp_dir()  # made with the first batch, it would stay where that is the last
    end_with_parent(ORPHANS_S)


def _as_it_is(batch: Any) -> Any:
    return batch


def _sizes(batch: Batch) -> tuple[torch.Size, torch.Size]:
    return batch.images_B3HW.shape, batch.labels_BHW.shape


def _join(group: list[Batch]) -> Batch:
    if len(group) == 1:
        return group[0]
    return Batch(
        torch.cat([sample.images_B3HW for sample in group]),
        torch.cat([sample.labels_BHW for sample in group]),
        [name for sample in group for name in sample.names],
    )
