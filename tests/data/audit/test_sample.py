"""What one look at a sample records is what its files hold."""

from pathlib import Path

import numpy as np
import pytest

from data.audit.reading import read_all
from data.audit.sample import record_of
from data.build import open_images
from data.dataset import FileSet
from data.labels import VOC, ClassSet, Labels
from tests.helpers.data_sets import ON_DISK, Writer, folder_config, shapes_config, write_image, write_label
from tests.helpers.pictures import noise, write_pixels


class OneImage:
    """An `ImageSet` in memory."""

    classes: ClassSet = VOC
    has_labels = True

    def __init__(self, image_HW3: np.ndarray, label_HW: Labels) -> None:
        self.image_HW3, self.label_HW = image_HW3, label_HW

    def __len__(self) -> int:
        return 1

    def name(self, index: int) -> str:
        return "one"

    def read(self, index: int) -> tuple[np.ndarray, Labels]:
        return self.image_HW3, self.label_HW

    def describe(self) -> str:
        return "one image"


@pytest.mark.parametrize("write", [*ON_DISK, shapes_config])
def test_a_record_agrees_with_what_training_reads(tmp_path: Path, write: Writer) -> None:
    images = open_images(write(tmp_path), "train")
    for index in range(len(images)):
        image_HW3, label_HW = images.read(index)
        record = record_of(images, index)
        assert record.problems == () and record.image is not None and record.label is not None
        assert record.image.size_px == record.label.size_px == label_HW.shape
        np.testing.assert_array_equal(record.label.pixels_256, np.bincount(label_HW.ravel(), minlength=256))
        np.testing.assert_allclose(record.image.mean_3, image_HW3.mean((0, 1)))
        np.testing.assert_allclose(record.image.mean_square_3, (image_HW3.astype(float) ** 2).mean((0, 1)))
        if isinstance(images, FileSet):
            assert record.num_bytes == len(images.pairs[index].image.read_bytes())


def test_pixels_are_counted_exactly_beyond_the_whole_numbers_of_float32() -> None:
    side = 4097  # squared: odd, and more than 2^24
    images = OneImage(np.zeros((1, 1, 3), np.uint8), np.zeros((side, side), np.uint8))
    label = record_of(images, 0).label
    assert label is not None and label.pixels_256[0] == side**2


def test_image_and_label_are_looked_at_apart(tmp_path: Path) -> None:
    config = folder_config(tmp_path)
    for name in ("a", "b"):
        write_image(tmp_path / "train" / "images" / f"{name}.png")
        write_label(tmp_path / "train" / "labels" / f"{name}.png", [[7, 7, 1], [0, 1, 8]])
    (tmp_path / "train" / "images" / "a.png").write_bytes(b"")
    first, second = read_all(open_images(config, "train"), processes=2)
    assert [problem.kind for problem in first.problems] == ["damaged_image", "label_values"]
    assert first.problems[1].values == {7: 2, 8: 1}
    assert [problem.kind for problem in second.problems] == ["label_values"]  # of no label, no size


def test_colours_are_counted_by_their_code(tmp_path: Path) -> None:
    config = folder_config(tmp_path, rgb_labels=True, palette=[[0, 0, 0], [1, 1, 1]])
    write_image(tmp_path / "train" / "images" / "a.png")
    write_pixels(tmp_path / "train" / "labels" / "a.png", np.array([[[1, 2, 3], [0, 0, 0], [1, 2, 3]]], np.uint8))
    (problem,) = record_of(open_images(config, "train"), 0).problems
    assert (problem.kind, problem.values) == ("label_values", {0x010203: 2})


def test_records_come_in_order(tmp_path: Path) -> None:
    for index in range(20):
        write_pixels(tmp_path / "train" / "images" / f"{index:02}.png", noise(4 + index, 6))
        write_label(tmp_path / "train" / "labels" / f"{index:02}.png", np.zeros((4 + index, 6), np.uint8))
    records = read_all(open_images(folder_config(tmp_path), "train"), processes=2)
    assert [record.image.size_px[0] for record in records if record.image] == list(range(4, 24))


def test_a_reading_process_that_is_killed_is_a_lack_of_memory() -> None:
    class Deadly(OneImage):
        def read(self, index: int) -> tuple[np.ndarray, Labels]:
            import os

            os._exit(9)

    nothing = np.zeros((1, 1), np.uint8)
    with pytest.raises(MemoryError, match="killed"):
        read_all(Deadly(nothing, nothing), processes=1)
