"""Every data set on little copies of its layout: one contract for all, and what a run knows its images by."""

import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from configs.errors import DamagedFileError
from configs.schema import DataConfig, DataName, FolderConfig
from data.build import content_digest, digest, leaks, meaning, open_images
from data.features import file_identity
from data.labels import VOID
from tests.helpers.data_sets import (
    ON_DISK,
    Writer,
    folder_config,
    shapes_config,
    write_image,
    write_kitti,
    write_label,
    write_list,
    write_voc,
)


@pytest.mark.parametrize("write", [*ON_DISK, shapes_config])
def test_every_set_keeps_the_contract(write: Writer, tmp_path: Path) -> None:
    config = write(tmp_path)
    for split in ("train", "val"):
        images = open_images(config, split)
        names = [images.name(index) for index in range(len(images))]
        assert len(set(names)) == len(images) == 2
        assert not any(name.endswith((".png", ".jpg")) for name in names)
        for index in range(len(images)):
            image_HW3, label_HW = images.read(index)
            assert image_HW3.dtype == label_HW.dtype == np.uint8
            assert image_HW3.shape == (*label_HW.shape, 3)
            assert (label_HW[label_HW != VOID] < images.classes.num_classes).all()
        assert split in images.describe() and "2" in images.describe()
    config = config.model_copy(update={"limit": 1})
    assert len(open_images(config, "val")) == 1
    assert open_images(config, "val").name(0) == names[0]
    assert leaks(open_images(config, "train"), open_images(config, "val")) == []


@pytest.mark.parametrize("write", ON_DISK)
def test_opening_reads_no_pixels_and_reading_names_the_damaged_file(write: Writer, tmp_path: Path) -> None:
    config = write(tmp_path)
    for path in tmp_path.rglob("*.*g"):
        path.write_bytes(b"")
    images = open_images(config, "train")
    with pytest.raises(DamagedFileError, match=str(tmp_path)):
        images.read(0)


@pytest.mark.parametrize("name", [name for name in get_args(DataName) if name != "shapes"])
def test_roots_that_are_not_there_empty_or_of_another_layout_are_refused(name: DataName, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    names = FolderConfig(class_names=["a", "b"])
    for root, complaint in ((None, "not set"), ("/nowhere", "/nowhere: no such folder"), (str(wrong), "is empty")):
        with pytest.raises(ValueError, match=rf"data\.root.*{complaint}.*set data\.root"):
            open_images(DataConfig(name=name, root=root, folder=names), "train")
    (wrong / "holiday.txt").touch()
    with pytest.raises(ValueError, match=r"wrong holds holiday\.txt; .*data\.root"):
        open_images(DataConfig(name=name, root=str(wrong), folder=names), "train")


@pytest.mark.parametrize("write", [*ON_DISK, shapes_config])
def test_an_unknown_split_is_refused_by_name(write: Writer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="trane"):
        open_images(write(tmp_path), "trane")


@pytest.mark.parametrize("write", ON_DISK)
@pytest.mark.parametrize("kind", ["image", "label"])
def test_a_missing_partner_is_an_error_with_count_and_name(write: Writer, kind: str, tmp_path: Path) -> None:
    config = write(tmp_path)
    parts = ["SegmentationClass", "gtFine", "labels", "annot", "LabeledApproved"]
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.*g") if "val" not in path.parts]
    chosen = sorted(path for path in files if any(part in str(path) for part in parts) == (kind == "label"))
    victim = next(path for path in chosen if path.name[0] not in "vw")  # b.jpg rather than v.jpg, of the val split
    (tmp_path / victim).unlink()
    with pytest.raises(ValueError, match=r"\b1 of 2\b"):
        open_images(config, "train")


def test_an_image_in_both_splits_is_reported_and_equal_numbers_are_not(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for name, seed in (("same", 7), ("0001", len(split))):
            write_image(tmp_path / split / "images" / f"{name}.png", seed)
            write_label(tmp_path / split / "labels" / f"{name}.png")
    config = folder_config(tmp_path)
    assert leaks(open_images(config, "train"), open_images(config, "val")) == ["same"]


def test_files_are_known_by_what_they_hold_and_not_by_place_or_time(tmp_path: Path) -> None:
    config = write_kitti(tmp_path / "here")
    images = open_images(config, "train")
    before, names = content_digest(images), digest(images)
    shutil.copytree(tmp_path / "here", tmp_path / "moved")  # later times, another place
    moved = config.model_copy(update={"root": str(tmp_path / "moved")})
    assert content_digest(open_images(moved, "train")) == before
    label = open_images(moved, "train").pairs[0].label  # type: ignore[attr-defined]
    write_label(label, np.full_like(np.array(Image.open(label)), 3))
    other = open_images(moved, "train")
    assert digest(other) == names and content_digest(other) != before


def test_what_is_kept_of_labels_is_known_by_the_classes_of_all_ids_and_colours(tmp_path: Path) -> None:
    write_kitti(tmp_path)
    keys: list[dict[str, object]] = [
        {"label_ids": [[0, 1], 2]},
        {"label_ids": [0, [1, 2]]},
        {"label_ids": [[0, 1], 2], "ignore_ids": [300]},
        {"rgb_labels": True, "palette": [[[1, 1, 1], [2, 2, 2]], [3, 3, 3]]},
        {"rgb_labels": True, "palette": [[1, 1, 1], [[2, 2, 2], [3, 3, 3]]]},
    ]
    configs = [folder_config(tmp_path, **settings) for settings in keys]
    identities = [file_identity(open_images(config, "train"), meaning(config)) for config in configs]
    assert len(set(identities)) == len(keys)


def test_a_digest_differs_for_another_order_and_another_split(tmp_path: Path) -> None:
    config = write_voc(tmp_path)
    before = digest(open_images(config, "train"))
    assert before == digest(open_images(config, "train")) != digest(open_images(config, "val"))
    write_list(tmp_path / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation" / "train.txt", "a", "b")
    assert before != digest(open_images(config, "train"))
