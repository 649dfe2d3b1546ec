"""Cityscapes: the two kinds of its label files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.build import open_images
from data.labels import CITYSCAPES_LABEL_IDS, VOID
from tests.helpers.data_sets import write_cityscapes, write_label


def test_cityscapes_label_ids_are_mapped_and_train_ids_kept(tmp_path: Path) -> None:
    every_id = np.arange(34, dtype=np.uint8).reshape(2, 17)
    expected = [CITYSCAPES_LABEL_IDS.index(i) if i in CITYSCAPES_LABEL_IDS else VOID for i in range(34)]
    for label_ids, ids in ((True, every_id), (False, np.array(expected, dtype=np.uint8).reshape(2, 17))):
        config = write_cityscapes(tmp_path / str(label_ids), label_ids)
        for path in (tmp_path / str(label_ids)).rglob("*_gtFine_*"):
            write_label(path, ids)
        for path in (tmp_path / str(label_ids)).rglob("*_leftImg8bit.png"):
            Image.new("RGB", (17, 2)).save(path)
        images = open_images(config, "val")
        assert images.read(0)[1].ravel().tolist() == expected
        assert images.name(0) == "lindau_0"
        assert ("labelIds mapped" if label_ids else "trainIds as they are") in images.describe()


def test_train_ids_under_a_name_of_label_ids_are_detected_by_255(tmp_path: Path) -> None:
    config = write_cityscapes(tmp_path)
    for path in tmp_path.rglob("*_gtFine_*"):
        write_label(path, np.full((4, 6), 255, dtype=np.uint8))
    with pytest.raises(ValueError, match="labelTrainIds"):
        open_images(config, "train").read(0)


def test_the_kind_of_labels_is_recognized_behind_links(tmp_path: Path) -> None:
    config = write_cityscapes(tmp_path)
    (tmp_path / "gtFine" / "train" / "aachen").rename(tmp_path / "aachen")
    (tmp_path / "gtFine" / "train" / "aachen").symlink_to(tmp_path / "aachen", target_is_directory=True)
    assert "labelIds mapped" in open_images(config, "train").describe()
