"""Cityscapes: the two kinds of its label files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs.schema import DataConfig
from data.build import open_images
from data.labels import CITYSCAPES_LABEL_IDS, VOID
from tests.helpers.data_sets import write_cityscapes, write_image, write_label


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


@pytest.fixture
def test_set(tmp_path: Path) -> DataConfig:
    """Two images, and no gtFine/test."""
    for name in ("berlin_000000_000019", "bonn_000001_000019"):
        write_image(tmp_path / "leftImg8bit" / "test" / name.partition("_")[0] / f"{name}_leftImg8bit.png")
    return DataConfig(name="cityscapes", root=str(tmp_path))


def write_test_labels(config: DataConfig, raw_id: int) -> None:
    assert config.root is not None
    for name in ("berlin_000000_000019", "bonn_000001_000019"):
        path = Path(config.root) / "gtFine" / "test" / name.partition("_")[0] / f"{name}_gtFine_labelIds.png"
        write_label(path, np.full((4, 6), raw_id, dtype=np.uint8))


@pytest.mark.parametrize("raw_id", [None, 3])  # 3 is "out of roi": what the published files of this split hold
def test_the_test_set_has_no_labels_whether_its_void_files_are_there_or_not(
    test_set: DataConfig, raw_id: int | None
) -> None:
    if raw_id is not None:
        write_test_labels(test_set, raw_id)
    images = open_images(test_set, "test", needs_labels=False)
    assert not images.has_labels and (images.read(1)[1] == VOID).all()
    assert [images.name(index) for index in (0, 1)] == ["berlin_000000_000019", "bonn_000001_000019"]
    with pytest.raises(ValueError, match=r"without labels: .*eval\.py submission=cityscapes split=test"):
        open_images(test_set, "test")


def test_a_test_split_with_labels_of_its_own_is_read_as_any_other(test_set: DataConfig) -> None:
    write_test_labels(test_set, 7)
    assert (open_images(test_set, "test").read(0)[1] == 0).all()
