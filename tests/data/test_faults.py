"""All that is wrong with a split can be collected; a run ends at the first of it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.errors import UserError
from configs.schema import DataConfig
from data.build import open_images
from data.faults import Fault
from tests.helpers.data_sets import (
    folder_config,
    write_camvid,
    write_camvid_original,
    write_cityscapes,
    write_folder,
    write_image,
    write_kitti,
    write_label,
    write_list,
    write_voc,
)


def without_partners(root: Path) -> DataConfig:
    """Two images without a label, one label without an image; x/1 and y/1 are left."""
    config = write_folder(root)
    write_image(root / "train" / "images" / "a.png")
    write_image(root / "train" / "images" / "b.png")
    write_label(root / "train" / "labels" / "c.png")
    return config


def with_twins(root: Path) -> DataConfig:
    config = write_folder(root)
    write_image(root / "train" / "images" / "x" / "1.jpg")
    return config


def with_bad_list(root: Path) -> DataConfig:
    """Of six lines one leads out, one stands there twice, one has three words, two name no files."""
    write_folder(root)
    write_list(root / "train.txt", "x/1", "../y/1", "x/1", "a b c", "no/1", "no/2")
    return folder_config(root, list_file="{split}.txt")


def without_group(root: Path) -> DataConfig:
    config = write_folder(root)
    return config.model_copy(update={"folder": config.folder.model_copy(update={"group": "^(x)/"})})


def of_two_sets(root: Path) -> DataConfig:
    """The sets have one root, so every file is in both; a third is not there."""
    write_folder(root / "one")
    sets = {"a": {"root": "one"}, "b": {"root": "one"}, "c": {"root": "nowhere"}}
    config = folder_config(root).folder.model_dump() | {"sets": sets}
    return DataConfig.model_validate({"name": "folder", "root": str(root), "folder": config})


CASES: list[tuple[Callable[[Path], DataConfig], int, dict[str, int]]] = [
    (without_partners, 2, {"missing_partner": 3}),
    (with_twins, 2, {"same_name": 2}),
    (with_bad_list, 1, {"list_line": 3, "missing_file": 4}),  # of two samples image and label each
    (without_group, 1, {"group": 1}),
    (of_two_sets, 2, {"in_two_sets": 4, "opening": 1}),
]


def collected(config: DataConfig) -> tuple[int, list[Fault]]:
    faults: list[Fault] = []
    return len(open_images(config, "train", on_fault=faults.append)), faults


@pytest.mark.parametrize(("write", "num_left", "expected"), CASES, ids=[case[0].__name__ for case in CASES])
def test_every_fault_is_collected_and_the_rest_is_opened(
    tmp_path: Path, write: Callable[[Path], DataConfig], num_left: int, expected: dict[str, int]
) -> None:
    num_samples, faults = collected(write(tmp_path))
    counts: dict[str, int] = {}
    for fault in faults:
        counts[fault.kind] = counts.get(fault.kind, 0) + len(fault.places)
    assert (num_samples, counts) == (num_left, expected)


@pytest.mark.parametrize("write", [case[0] for case in CASES])
def test_a_run_ends_at_the_first_of_them(tmp_path: Path, write: Callable[[Path], DataConfig]) -> None:
    config = write(tmp_path)
    _, faults = collected(config)
    with pytest.raises(UserError) as error:
        open_images(config, "train")
    assert str(error.value) == str(faults[0].error)


@pytest.mark.parametrize("write", [write_camvid, write_camvid_original, write_cityscapes, write_kitti, write_voc])
def test_a_missing_label_is_collected_whatever_the_layout(tmp_path: Path, write: Callable[[Path], DataConfig]) -> None:
    config = write(tmp_path)
    faults: list[Fault] = []
    label = open_images(config, "train").pairs[0].label  # type: ignore[attr-defined]
    os.remove(label)
    assert len(open_images(config, "train", on_fault=faults.append)) == 1
    assert [fault.kind in ("missing_partner", "missing_file") for fault in faults] == [True]
