"""The one pass over the labels of a set: counted by hand, read once, and never a number of other labels."""

import tracemalloc
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.errors import DamagedFileError, UserError
from configs.schema import CacheConfig, DataConfig, FolderConfig
from data.build import meaning, open_images
from data.class_counts import Counts, count_classes, open_counts
from data.dataset import FileSet, ImageSet
from data.features import file_identity
from tests.helpers.data_sets import write_image, write_label

LABELS = {"a": [[0] * 6, [1] * 6, [1, 1, 255, 255, 0, 0], [1] * 6], "b": [[0] * 6, [0] * 6, [0] * 6, [0] * 6]}
COUNTS = [[8, 14, 0], [24, 0, 0]]


@pytest.fixture
def settings(tmp_path: Path) -> DataConfig:
    """Two labels of 4x6 px; the third class occurs nowhere."""
    for name, ids in LABELS.items():
        write_image(tmp_path / "set/train/images" / f"{name}.png")
        write_label(tmp_path / "set/train/labels" / f"{name}.png", ids)
    folder = FolderConfig(class_names=["road", "tree", "car"])
    return DataConfig(name="folder", root=str(tmp_path / "set"), folder=folder)


def opened(settings: DataConfig, cache: Path, log: list[str]) -> Counts:
    images = open_images(settings, "train")
    identity: dict[str, Any] = {"images": file_identity(images, meaning(settings))}
    config = CacheConfig(root=str(cache))
    return open_counts(config, identity, images, 2, log.append, lambda path, on_wait: nullcontext(), lambda: None)


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_every_pixel_is_counted_but_void(settings: DataConfig, threads: int) -> None:
    assert count_classes(open_images(settings, "train"), threads, lambda: None).tolist() == COUNTS


def test_memory_does_not_grow_with_the_labels_that_wait(settings: DataConfig) -> None:
    images = open_images(settings, "train")
    assert isinstance(images, FileSet)
    label = images.read(0)[1]
    many = replace(images, pairs=[images.pairs[0]] * 4_000, read_label=lambda path: label)
    tracemalloc.start()
    try:
        counts_NC = count_classes(many, 2, lambda: None)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (counts_NC == COUNTS[0]).all()
    assert peak_bytes - counts_NC.nbytes < 2**21, "a request for every label takes 4 kB of each"


def test_scenes_that_are_drawn_are_counted_as_their_labels_are() -> None:
    images: ImageSet = open_images(DataConfig(limit=3), "train")
    labels = [images.read(index)[1] for index in range(3)]
    expected = [[np.count_nonzero(label == k) for k in range(images.classes.num_classes)] for label in labels]
    assert count_classes(images, 2, lambda: None).tolist() == expected


def test_labels_are_read_once_until_one_of_them_changes(settings: DataConfig, tmp_path: Path) -> None:
    log: list[str] = []
    assert opened(settings, tmp_path / "cache", log).tolist() == COUNTS
    assert log[0].startswith("class counts: reading the 2 labels of folder") and "2 labels in" in log[1]
    assert opened(settings, tmp_path / "cache", log).tolist() == COUNTS
    assert log[3:] == [log[3]] and "class counts: read from" in log[3]
    write_label(tmp_path / "set/train/labels/b.png", [[2] * 6] * 4)
    assert opened(settings, tmp_path / "cache", log).tolist() == [COUNTS[0], [0, 0, 24]]
    assert [path.name.partition("-")[0] for path in (tmp_path / "cache").iterdir()] == ["counts", "counts"]


def test_a_damaged_count_on_disk_is_counted_anew(settings: DataConfig, tmp_path: Path) -> None:
    log: list[str] = []
    opened(settings, tmp_path, log)
    (file,) = tmp_path.glob("counts-*/counts.npy")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert opened(settings, tmp_path, log).tolist() == COUNTS
    assert any(
        line.startswith("warning: ") and "counts.npy is damaged; computing the counts again" in line for line in log
    )


def test_a_label_that_cannot_be_read_is_an_error_that_names_it(settings: DataConfig, tmp_path: Path) -> None:
    (tmp_path / "set/train/labels/b.png").write_bytes(b"not an image")
    with pytest.raises(DamagedFileError, match=r"b\.png"):
        opened(settings, tmp_path / "cache", [])
    assert list((tmp_path / "cache").iterdir()) == []


def test_nothing_but_void_is_refused(settings: DataConfig, tmp_path: Path) -> None:
    for name in LABELS:
        write_label(tmp_path / "set/train/labels" / f"{name}.png", [[255] * 6] * 4)
    with pytest.raises(UserError, match="every pixel of every label is void"):
        opened(settings, tmp_path / "cache", [])


def test_a_request_to_stop_ends_the_pass(settings: DataConfig) -> None:
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        count_classes(open_images(settings, "train"), 2, stop)
