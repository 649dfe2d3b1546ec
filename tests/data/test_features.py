"""Maps on disk: computed once, believed only when whole, and bounded."""

import errno
import multiprocessing
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch

from configs.schema import AugmentConfig, CacheConfig, ShapesConfig
from data.features import ImageMaps, MapStore, file_identity, open_store, open_windows
from data.loaders import shuffled_keys
from data.shapes import Shapes
from data.transforms import is_mirrored
from data.versions import Versions
from engine.runs.files import locked

NUM_IMAGES, SHAPE, TARGET_SHAPE = 5, (3, 2, 4), (16, 32)
IDENTITY = {"frontend": "abc", "crop_px": [16, 32]}


def image_part(number: int, versions: int) -> ImageMaps:
    generator = np.random.default_rng(number)
    maps = generator.normal(size=(versions, *SHAPE)).astype(np.float32)
    return ImageMaps(maps, generator.integers(0, 256, (versions, *TARGET_SHAPE), np.uint8))


def computed(versions: int = 1) -> Iterator[ImageMaps]:
    return (image_part(number, versions) for number in range(NUM_IMAGES))


def opened(root: Path, said: list[str], versions: int = 1, max_gb: float = 1.0, **changes: str) -> MapStore:
    config = CacheConfig(root=str(root), max_gb=max_gb)
    return open_store(config, {**IDENTITY, **changes}, lambda: computed(versions), NUM_IMAGES, said.append, waiting)


def waiting(path: Path, on_wait: Callable[[], None]) -> AbstractContextManager[None]:
    return locked(path, on_wait, lambda: None)


def never() -> Iterator[ImageMaps]:
    raise AssertionError("computed again")


@pytest.mark.parametrize("versions", [1, 2])
def test_what_was_computed_is_read_bit_for_bit_and_computed_once(tmp_path: Path, versions: int) -> None:
    said: list[str] = []
    opened(tmp_path, said, versions)
    store = open_store(CacheConfig(root=str(tmp_path)), IDENTITY, never, NUM_IMAGES, said.append, waiting)
    for number in range(NUM_IMAGES):
        part = image_part(number, versions)
        assert np.array_equal(store.maps_NMKhw[number], part.maps_MKhw)
        assert np.array_equal(store.targets_NMHW[number], part.targets_MHW)
    assert said[0].startswith("front-end maps: computed") and said[1].startswith("front-end maps: read from")
    with pytest.raises(ValueError, match="read-only"):
        store.maps_NMKhw[0] = 0


def test_something_else_is_another_store(tmp_path: Path) -> None:
    said: list[str] = []
    opened(tmp_path, said)
    opened(tmp_path, said, frontend="abd")
    assert len(list(tmp_path.glob("maps-*.lock"))) == 2 and all("computed" in line for line in said)


@pytest.mark.parametrize("name", ["maps.npy", "targets.npy", "index.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damage_is_noticed_told_and_mended(tmp_path: Path, name: str, damage: str) -> None:
    said: list[str] = []
    whole = np.array(opened(tmp_path, said).maps_NMKhw)
    (file,) = tmp_path.glob(f"maps-*/{name}")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "remove":
        file.unlink()
    else:
        file.write_bytes(content if damage == "flip" else content[:-3])
    store = opened(tmp_path, said)
    assert said[1].startswith("warning: ") and "computing the maps again" in said[1] and "computed" in said[2]
    assert np.array_equal(store.maps_NMKhw, whole)


def test_a_computation_that_fails_or_was_killed_leaves_nothing_that_is_believed(tmp_path: Path) -> None:
    def failing() -> Iterator[ImageMaps]:
        yield image_part(0, 1)
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        open_store(CacheConfig(root=str(tmp_path)), IDENTITY, failing, NUM_IMAGES, print, waiting)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]
    (lock,) = tmp_path.iterdir()
    lock.with_suffix(".part").mkdir()
    (lock.with_suffix(".part") / "maps.npy").write_bytes(b"half")
    said: list[str] = []
    opened(tmp_path, said)
    assert len(said) == 1 and not lock.with_suffix(".part").exists()


def slow_build(root: Path, marks: Path) -> None:
    def slow() -> Iterator[ImageMaps]:
        (marks / str(os.getpid())).touch()
        for number in range(NUM_IMAGES):
            time.sleep(0.1)
            yield image_part(number, 1)

    store = open_store(CacheConfig(root=str(root)), IDENTITY, slow, NUM_IMAGES, print, waiting)
    assert np.array_equal(store.maps_NMKhw[-1], image_part(NUM_IMAGES - 1, 1).maps_MKhw)


def test_of_two_processes_at_once_one_computes(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=slow_build, args=(tmp_path / "cache", marks)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(list(marks.iterdir())) == 1


def test_the_bound_counts_all_that_is_kept_and_is_told_before_much_is_written(tmp_path: Path) -> None:
    said: list[str] = []
    opened(tmp_path, said)
    size = sum(path.stat().st_size for path in tmp_path.glob("maps-*/*"))
    required = r"cache.max_gb=.*: the maps need .* GB and .* holds .* already; set cache.max_gb=(\S+), remove"
    with pytest.raises(ValueError, match=required) as refused:
        opened(tmp_path, said, max_gb=1.5 * size / 1e9, frontend="abd")
    assert len(list(tmp_path.glob("maps-*/index.json"))) == 1 and not list(tmp_path.glob("*.part"))
    opened(tmp_path, said, max_gb=1.5 * size / 1e9)  # what is there already may stay
    (max_gb,) = re.findall(required, str(refused.value))
    opened(tmp_path, said, max_gb=float(max_gb), frontend="abd")  # the bound that is named is enough


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ValueError, match=r"cache.root=.*file: the maps cannot be kept there .*set maps=computed in the stages"
    ):
        opened(tmp_path / "file", [])


def mirrored_in(versions: int) -> Versions:
    return Versions(0, AugmentConfig(mirror=True), "pixels" if versions == 2 else "cells")


@pytest.mark.parametrize("versions", [1, 2])
def test_batches_come_in_the_training_s_order_and_say_or_hold_what_is_mirrored(tmp_path: Path, versions: int) -> None:
    store, names = opened(tmp_path, [], versions), [f"image{number}" for number in range(NUM_IMAGES)]
    arguments = {"micro_batch": 2, "first": 1, "last": 9, "seed": 7}
    turned = []
    batches = list(store.batches(names, versions=mirrored_in(versions), **arguments))
    for keys, batch in zip(shuffled_keys(NUM_IMAGES, **arguments), batches, strict=True):
        mirrored = [is_mirrored((7, *key)) for key in keys]
        turned += mirrored
        for place, (_, index) in enumerate(keys):
            part = image_part(index, versions)
            version = mirrored[place] if versions == 2 else 0
            assert batch.names[place] == names[index]
            assert np.array_equal(batch.maps_BKhw[place], part.maps_MKhw[int(version)])
            assert np.array_equal(batch.targets_BHW[place], part.targets_MHW[int(version)])
        if versions == 1:
            assert (batch.mirrored_B.tolist() if batch.mirrored_B is not None else [False] * 2) == mirrored
        else:
            assert batch.mirrored_B is None
        cpu = torch.device("cpu")
        assert torch.equal(batch.frontend_maps(never, cpu), batch.maps_BKhw)  # type: ignore[arg-type]
        assert batch.targets(never, cpu).dtype == torch.int64  # type: ignore[arg-type]
    assert {True, False} == set(turned)
    plain = next(store.batches(names, versions=Versions(0, AugmentConfig(mirror=False), "cells"), **arguments))
    assert plain.mirrored_B is None


def test_the_one_that_waits_says_so_and_may_be_stopped(tmp_path: Path) -> None:
    said: list[str] = []

    class StoppedError(Exception):
        pass

    def stop() -> None:
        raise StoppedError

    opened(tmp_path, [])
    (path,) = tmp_path.glob("maps-*.lock")
    config = CacheConfig(root=str(tmp_path))
    with locked(path, never, never), pytest.raises(StoppedError):  # type: ignore[arg-type]
        open_store(config, IDENTITY, never, NUM_IMAGES, said.append, lambda at, on_wait: locked(at, on_wait, stop))
    assert said == ["front-end maps: another run computes them; waiting"]


def test_a_cache_that_is_removed_takes_nothing_from_the_run_that_uses_it(tmp_path: Path) -> None:
    windows = [image_part(number, 1).maps_MKhw for number in range(2)]
    maps = open_windows(CacheConfig(root=str(tmp_path / "cache")), {"images": "val"}, lambda: windows, print, waiting)
    store = opened(tmp_path / "cache", [])
    shutil.rmtree(tmp_path / "cache")
    for _ in range(2):
        assert all(np.array_equal(one, other) for one, other in zip(maps, windows, strict=True))
    assert np.array_equal(store.maps_NMKhw[0], image_part(0, 1).maps_MKhw)


def test_scenes_are_identified_by_their_settings_and_files_by_size_and_time() -> None:
    settings = ShapesConfig(num_train=3)
    same, other = (file_identity(Shapes(settings, "train"), one) for one in (settings, ShapesConfig(num_train=3)))
    assert same == other != file_identity(Shapes(settings, "train"), ShapesConfig(num_train=3, size_px=200))


@pytest.mark.parametrize("fault", [OSError(errno.ENOMEM, "Cannot allocate memory"), ConnectionResetError("reset")])
def test_a_fault_of_what_is_computed_is_not_said_of_the_place(tmp_path: Path, fault: OSError) -> None:
    def compute() -> Iterator[ImageMaps]:
        yield image_part(0, 1)
        raise fault

    with pytest.raises(OSError) as raised:
        open_store(CacheConfig(root=str(tmp_path)), IDENTITY, compute, NUM_IMAGES, print, waiting)
    assert raised.value is fault and not list(tmp_path.glob("maps-*/"))
