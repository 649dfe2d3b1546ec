"""The stream of batches: the same whoever reads it and wherever it starts; nobody is left behind when it ends."""

import multiprocessing
import multiprocessing.resource_sharer
import os
import signal
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.utils.data._utils

from configs.errors import UserError
from configs.schema import AugmentConfig
from data import loaders
from data.labels import CAMVID
from data.loaders import Batch, shuffled_keys, train_batches, validation_batches
from data.transforms import TrainTransform, is_mirrored
from tests.helpers.pictures import Pixels, noise
from tests.helpers.programs import run_code

EVERYTHING = AugmentConfig(mirror=True, scale_min=0.5, scale_max=2, rotation_deg=20, color=0.5)
TRANSFORM = TrainTransform(EVERYTHING, (16, 24), 4)
CELLS = TrainTransform(EVERYTHING, (16, 24), 4, "cells")


class Numbered:
    """Sample i is noise drawn from i."""

    classes = CAMVID

    def __init__(self, sizes_px: list[tuple[int, int]]) -> None:
        self.sizes_px = sizes_px

    def __len__(self) -> int:
        return len(self.sizes_px)

    def name(self, index: int) -> str:
        return f"sample_{index}"

    def read(self, index: int) -> tuple[Pixels, Pixels]:
        height, width = self.sizes_px[index]
        image = noise(height, width, seed=index)
        return image, image[..., 0]

    def describe(self) -> str:
        return "noise"


class DamagedError(UserError):
    """A kind of UserError: entry points choose their exit code by it."""


class Failing(Numbered):
    """Sample 3 is damaged."""

    def read(self, index: int) -> tuple[Pixels, Pixels]:
        if index == 3:
            raise DamagedError("train/images/c.jpg is cut off; restore the file.")
        return super().read(index)


class Buggy(Numbered):
    def read(self, index: int) -> tuple[Pixels, Pixels]:
        raise KeyError("a mistake of ours")


class Dying(Numbered):
    """Reading sample 3 kills the process that does it."""

    def read(self, index: int) -> tuple[Pixels, Pixels]:
        if index == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(index)


class Withdrawing(Numbered):
    """Reading sample 3 takes back the memory that earlier samples lie in, as the death of the process would."""

    def read(self, index: int) -> tuple[Pixels, Pixels]:
        if index == 3:
            time.sleep(0.5)  # long enough for sample 2 to be offered
            multiprocessing.resource_sharer.stop()  # type: ignore[attr-defined]
            time.sleep(60)
        return super().read(index)


class Hanging(Numbered):
    """Reading sample 3 never ends."""

    def read(self, index: int) -> tuple[Pixels, Pixels]:
        while index == 3:
            time.sleep(1)
        return super().read(index)


def train(
    images: Numbered,
    *,
    first: int = 0,
    last: int = 9,
    workers: int = 0,
    seed: int = 0,
    transform: TrainTransform = TRANSFORM,
) -> Iterator[Batch]:
    return train_batches(images, transform, micro_batch=3, first=first, last=last, seed=seed, workers=workers)


def assert_equal(ours: list[Batch], theirs: list[Batch]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert one.names == other.names
        assert torch.equal(one.images_B3HW, other.images_B3HW) and torch.equal(one.labels_BHW, other.labels_BHW)


SEVEN = [(30, 40)] * 7


def test_batches_are_contiguous_bytes() -> None:
    batch = next(train(Numbered(SEVEN)))
    assert batch.images_B3HW.shape == (3, 3, 24, 32) and batch.labels_BHW.shape == (3, 16, 24)
    assert batch.images_B3HW.dtype == batch.labels_BHW.dtype == torch.uint8
    assert batch.images_B3HW.is_contiguous() and batch.labels_BHW.is_contiguous()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_says_which_cells_are_to_be_mirrored_as_their_keys_do(workers: int) -> None:
    batches = list(train(Numbered(SEVEN), first=4, seed=5, workers=workers, transform=CELLS))
    keys = shuffled_keys(7, micro_batch=3, first=4, last=9, seed=5)
    for batch, expected in zip(batches, keys, strict=True):
        assert batch.mirrored_B is not None and batch.mirrored_B.dtype == torch.bool
        assert batch.mirrored_B.tolist() == [is_mirrored((5, epoch, index)) for epoch, index in expected]
        assert batch.names == [f"sample_{index}" for _, index in expected]


def test_a_batch_of_which_the_pixels_are_mirrored_asks_for_no_more() -> None:
    unmirrored = TrainTransform(AugmentConfig(mirror=False), (16, 24), 4, "cells")
    for transform in (TRANSFORM, unmirrored):
        assert next(train(Numbered(SEVEN), transform=transform)).mirrored_B is None
    assert next(validation_batches(Numbered(SEVEN), batch=2, workers=0)).mirrored_B is None


def test_any_number_of_workers_gives_the_same_bits() -> None:
    images = Numbered([(30, 40), (300, 500), (9, 9), (1, 64), (64, 64)])
    alone = list(train(images))
    assert_equal(alone, list(train(images, workers=1)))
    assert_equal(alone, list(train(images, workers=2)))


def test_workers_and_epochs_draw_differently() -> None:
    batches = list(train(Numbered([(64, 64)]), workers=2))  # 27 epochs of one image
    assert len({image.numpy().tobytes() for batch in batches for image in batch.images_B3HW}) == 27


@pytest.mark.parametrize("workers", [0, 2])
def test_a_later_start_is_the_tail_of_the_stream(workers: int) -> None:
    images = Numbered(SEVEN)
    assert_equal(list(train(images))[4:], list(train(images, first=4, workers=workers)))


def test_every_epoch_visits_every_sample_once_in_an_order_of_its_own() -> None:
    keys = [key for batch in shuffled_keys(7, micro_batch=3, first=0, last=7, seed=5) for key in batch]
    assert [epoch for epoch, _ in keys] == [0] * 7 + [1] * 7 + [2] * 7
    orders = [tuple(index for epoch, index in keys if epoch == number) for number in range(3)]
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len(set(orders)) == 3
    assert keys != [key for batch in shuffled_keys(7, micro_batch=3, first=0, last=7, seed=6) for key in batch]


def test_the_order_does_not_depend_on_how_the_stream_is_cut() -> None:
    for size in (1, 2, 6):
        cut = [key for batch in shuffled_keys(4, micro_batch=size, first=0, last=12 // size, seed=0) for key in batch]
        assert cut == [key for batch in shuffled_keys(4, micro_batch=12, first=0, last=1, seed=0) for key in batch]


@pytest.mark.parametrize("workers", [0, 2])
def test_validation_gives_every_sample_once_in_order_and_whole(workers: int) -> None:
    sizes = [(8, 8), (8, 8), (8, 8), (8, 9), (8, 8), (1, 1), (1, 1)]
    images = Numbered(sizes)
    batches = list(validation_batches(images, batch=2, workers=workers))
    assert [len(batch.names) for batch in batches] == [2, 1, 1, 1, 2]
    assert [name for batch in batches for name in batch.names] == [images.name(index) for index in range(7)]
    whole = [pair for batch in batches for pair in zip(batch.images_B3HW, batch.labels_BHW, strict=True)]
    for index, (image_3HW, label_HW) in enumerate(whole):
        image, label = images.read(index)
        assert np.array_equal(image_3HW.permute(1, 2, 0).numpy(), image) and np.array_equal(label_HW.numpy(), label)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_global_random_states_are_left_alone(workers: int) -> None:
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    list(train(Numbered(SEVEN), workers=workers))
    list(validation_batches(Numbered(SEVEN), batch=2, workers=workers))
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # type: ignore[index]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_sample_is_one_clean_message_of_its_own_type(workers: int) -> None:
    with pytest.raises(DamagedError) as caught:
        list(train(Failing(SEVEN), workers=workers))
    assert str(caught.value) == "train/images/c.jpg is cut off; restore the file."
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mistake_of_ours_keeps_its_type_and_tells_the_sample(workers: int) -> None:
    with pytest.raises(KeyError) as caught:
        list(validation_batches(Buggy(SEVEN), batch=1, workers=workers))
    assert "while reading sample sample_0" in str(caught.value) + str(getattr(caught.value, "__notes__", ""))


def test_an_early_stop_leaves_no_process() -> None:
    batches = train(Numbered(SEVEN), last=10**6, workers=2)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()  # type: ignore[attr-defined]
    assert multiprocessing.active_children() == []
    assert len(list(islice(train(Numbered(SEVEN), last=10**6, workers=2), 2))) == 2  # the iterator is only dropped
    assert multiprocessing.active_children() == []


def test_no_workers_means_no_process() -> None:
    batches = validation_batches(Numbered(SEVEN), batch=1, workers=0)
    next(batches)
    assert multiprocessing.active_children() == []


def test_workers_leave_signals_to_the_parent() -> None:
    batches = train(Numbered(SEVEN), last=40, workers=2)
    next(batches)
    for worker in multiprocessing.active_children():
        assert worker.pid
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            os.kill(worker.pid, number)
    assert len(list(batches)) == 39


def test_workers_start_after_many_threads_have_run() -> None:
    layer = torch.nn.Conv2d(3, 32, 3)
    layer(torch.rand(2, 3, 96, 96)).sum().backward()
    assert len(list(train(Numbered(SEVEN), workers=2))) == 9


def test_a_killed_worker_is_reported_with_what_it_read() -> None:
    with pytest.raises(RuntimeError, match=r"worker.*(exited|killed).*reading: .*sample_3.*runtime\.workers=0"):
        list(validation_batches(Dying(SEVEN), batch=1, workers=2))
    assert multiprocessing.active_children() == []


@pytest.mark.usefixtures("impatient")
def test_a_batch_that_its_worker_can_no_longer_hand_over_is_reported_with_what_it_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in the moment between a worker's death and its notice: the connection breaks while the worker seems alive."""
    monkeypatch.setattr(loaders, "TIMEOUT_S", 30)
    batches = validation_batches(Withdrawing(SEVEN), batch=1, workers=1)
    next(batches)
    time.sleep(1.5)
    with pytest.raises(RuntimeError, match=r"killed before it had handed over.*reading: sample_3\..*workers=0"):
        list(batches)
    assert multiprocessing.active_children() == []


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.2)  # of its wait for workers to end


@pytest.mark.usefixtures("impatient")
def test_a_hanging_worker_is_reported_with_what_it_reads_and_removed() -> None:
    with pytest.raises(RuntimeError, match=r"timed out.*reading: sample_3\."):
        list(validation_batches(Hanging(SEVEN), batch=1, workers=2))
    assert multiprocessing.active_children() == []


def test_a_program_that_ends_in_an_error_takes_its_workers_along() -> None:
    """Multiprocessing would wait for ever for a worker that ignores SIGTERM while an iterator is still referred to."""
    script = """
import multiprocessing, torch.utils.data._utils as utils
from tests.data.test_loaders import Hanging, SEVEN, validation_batches
utils.MP_STATUS_CHECK_INTERVAL = 0.2
batches = validation_batches(Hanging(SEVEN), batch=1, workers=2)
next(batches)
print(*(worker.pid for worker in multiprocessing.active_children()), flush=True)
raise SystemExit(7)
"""
    ended = run_code(script)
    assert ended.returncode == 7, ended.stderr
    assert not any(Path(f"/proc/{pid}").exists() for pid in ended.stdout.split())


def test_workers_whose_parent_is_killed_before_they_begin_end_too() -> None:
    """torch's workers would take for their parent whoever inherits them, and wait for ever."""
    script = """
import multiprocessing, os, signal, threading, time
from data import loaders
from tests.data.test_loaders import SEVEN, validation_batches
start_worker = loaders._start_worker
def start_late(number):
    while os.getppid() == multiprocessing.parent_process().pid:
        time.sleep(0.01)
    start_worker(number)
def end():
    print(*(worker.pid for worker in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
loaders._start_worker, loaders.ORPHANS_S = start_late, 0.1
threading.Timer(0.5, end).start()
next(validation_batches(SEVEN, batch=1, workers=2))
"""
    ended = run_code(script)
    workers = ended.stdout.split()
    assert ended.returncode == -signal.SIGKILL and len(workers) == 2, ended.stderr
    until_s = time.monotonic() + 30
    while any(is_alive(pid) for pid in workers):
        assert time.monotonic() < until_s, "a worker has outlived its parent"
        time.sleep(0.05)


def is_alive(pid: str) -> bool:
    """Neither gone nor waiting to be taken notice of."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU, memory is pinned instead (tests/test_gpu.py)")
def test_memory_is_pinned_where_that_is_requested_alone() -> None:
    """torch says so where it cannot; batches are the same."""
    settings = {"batch": 2, "workers": 0}
    with pytest.warns(UserWarning, match="no accelerator is found"):
        pinned = list(validation_batches(Numbered(SEVEN), **settings, pin_memory=True))  # type: ignore[arg-type]
    assert_equal(pinned, list(validation_batches(Numbered(SEVEN), **settings)))  # type: ignore[arg-type]
