"""Label maps come back as they were written, by the decoder of every data set."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs.schema import DataConfig
from data.build import open_images, raw_ids
from data.dataset import FileSet
from data.label_files import gray_map, label_image
from data.labels import VOC
from tests.helpers.data_sets import ON_DISK, folder_config, write_folder


def write_masks(root: Path) -> DataConfig:
    write_folder(root)
    return folder_config(root, label_ids=[0, 255], ignore_ids=[])


def write_sparse_ids(root: Path) -> DataConfig:
    write_folder(root)
    return folder_config(root, label_ids=[200, 7])


def write_instance_ids(root: Path) -> DataConfig:
    write_folder(root)
    return folder_config(root, label_ids=[[26_000, 26_001], [7, 300]])


def write_colors(root: Path) -> DataConfig:
    write_folder(root)
    return folder_config(root, rgb_labels=True, palette=[[10, 20, 30], [30, 20, 10]])


@pytest.mark.parametrize("write", [*ON_DISK, write_masks, write_sparse_ids, write_instance_ids, write_colors])
def test_raw_labels_are_read_as_the_ids_that_they_were_made_of(
    tmp_path: Path, write: Callable[[Path], DataConfig]
) -> None:
    """Also where the data set's labels are colours: those of the palette are its own."""
    config = write(tmp_path)
    images = open_images(config, "train")
    assert isinstance(images, FileSet)
    num_classes = images.classes.num_classes
    ids_HW = (np.arange(24, dtype=np.uint8) % num_classes).reshape(4, 6)
    image = label_image(ids_HW, raw_ids(config, num_classes), images.classes.palette)
    image.save(images.pairs[0].label)
    assert np.array_equal(images.read(0)[1], ids_HW)


def test_raw_ids_are_those_that_the_files_hold(tmp_path: Path) -> None:
    assert list(raw_ids(DataConfig(name="cityscapes"), 19))[:4] == [7, 8, 11, 12]  # road, sidewalk, building, wall
    assert list(raw_ids(DataConfig(name="camvid"), 11))[:3] == [1, 5, 0]  # Building, Tree, Sky
    assert list(raw_ids(write_masks(tmp_path), 2)) == [0, 255]


def test_a_viewer_sees_colours_where_a_program_reads_ids(tmp_path: Path) -> None:
    """In 8 bits a value, however few classes there are."""
    label_image(np.array([[0, 15]], dtype=np.uint8), range(21), VOC.palette).save(tmp_path / "label.png")
    with Image.open(tmp_path / "label.png") as image:
        assert image.mode == "P" and np.array(image).tolist() == [[0, 15]]
        assert np.array(image.convert("RGB")).tolist() == [[[0, 0, 0], [192, 128, 128]]]
    assert (tmp_path / "label.png").read_bytes()[24:26] == b"\x08\x03"  # IHDR: 8 bits, palette


def test_ids_above_255_are_written_in_16_bits(tmp_path: Path) -> None:
    label_image(np.array([[0, 1]], dtype=np.uint8), [7, 26_000], VOC.palette).save(tmp_path / "label.png")
    with Image.open(tmp_path / "label.png") as image:
        assert np.array(image).tolist() == [[7, 26_000]]


def test_gray_is_the_nearest_of_255_parts() -> None:
    shares_HW = np.array([[0, 1, 0.5, 0.1, 1 / 255, 1.4 / 255, 1.6 / 255]], dtype=np.float32)
    assert np.array(gray_map(shares_HW)).tolist() == [[0, 255, 128, 26, 1, 1, 2]]
