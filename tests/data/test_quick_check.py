"""What a look at a few files finds, and what it leaves alone."""

from pathlib import Path

import numpy as np
import pytest

from configs.errors import DamagedFileError, UserError
from configs.schema import DataConfig
from data.build import open_images
from data.quick_check import MAX_HEADERS, NUM_READ, quick_check
from tests.helpers.data_sets import folder_config, write_image, write_label, write_sbd, write_voc
from tests.helpers.pictures import noise, write_pixels

NAMES = "abcdef"


@pytest.fixture
def config(tmp_path: Path) -> DataConfig:
    for seed, name in enumerate(NAMES):
        write_image(tmp_path / "train" / "images" / f"{name}.png", seed)
        write_label(tmp_path / "train" / "labels" / f"{name}.png")
    return folder_config(tmp_path)


def check(config: DataConfig, split: str = "train") -> None:
    quick_check(open_images(config, split))


def test_a_sound_set_passes_and_so_do_built_in_scenes_and_labels_that_are_no_images(
    config: DataConfig, tmp_path: Path
) -> None:
    check(config)
    check(DataConfig())
    voc = write_voc(tmp_path / "voc").model_copy(update={"sbd_root": str(write_sbd(tmp_path / "sbd"))})
    check(voc, "train_aug")


@pytest.mark.parametrize("name", NAMES)
def test_a_label_of_another_size_is_found_wherever_it_stands(config: DataConfig, tmp_path: Path, name: str) -> None:
    write_pixels(tmp_path / "train" / "images" / f"{name}.png", noise(5, 6))
    with pytest.raises(UserError, match=rf"{name}\.png is 6x5 but its label .*{name}\.png is 6x4"):
        check(config)


@pytest.mark.parametrize(("folder", "kind"), [("images", b"no image"), ("labels", b"")])
def test_a_file_without_a_header_is_found_wherever_it_stands(
    config: DataConfig, tmp_path: Path, folder: str, kind: bytes
) -> None:
    (tmp_path / "train" / folder / "f.png").write_bytes(kind)
    with pytest.raises(DamagedFileError, match=r"f\.png"):
        check(config)


def test_of_the_first_samples_every_pixel_is_read_and_of_the_others_the_size(
    config: DataConfig, tmp_path: Path
) -> None:
    """An id that no class has stands in the pixels."""
    write_label(tmp_path / "train" / "labels" / f"{NAMES[NUM_READ]}.png", [[9] * 6] * 4)
    check(config)
    write_label(tmp_path / "train" / "labels" / f"{NAMES[NUM_READ - 1]}.png", [[9] * 6] * 4)
    with pytest.raises(UserError, match="label id 9"):
        check(config)


def test_of_a_large_split_a_bounded_number_of_headers_is_read(
    config: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a bound of 4, samples 0, 2 and 4 of the six: b is read whole, d and f are not looked at."""
    assert MAX_HEADERS >= 1000
    monkeypatch.setattr("data.quick_check.MAX_HEADERS", 4)
    root = Path(config.root or "")
    for name in "df":
        (root / "train" / "images" / f"{name}.png").write_bytes(b"")
    check(config)
    write_pixels(root / "train" / "labels" / "e.png", np.zeros((5, 6), np.uint8))
    with pytest.raises(UserError, match=r"e\.png is 6x4 but its label"):
        check(config)


def test_a_split_of_nothing_but_void_is_refused_and_one_label_with_a_class_is_enough(
    config: DataConfig, tmp_path: Path
) -> None:
    labels = tmp_path / "train" / "labels"
    for name in NAMES:
        write_label(labels / f"{name}.png", [[255] * 6] * 4)
    three = folder_config(tmp_path, class_names=["a", "b", "c"])  # of two, such labels would be taken for masks
    with pytest.raises(UserError, match=r"train: 6 images, 3 classes: every pixel of every label is void"):
        check(three)
    write_label(labels / "f.png", [[255] * 5 + [1]] * 4)
    check(three)


def test_files_that_are_image_and_label_in_one_are_refused(config: DataConfig, tmp_path: Path) -> None:
    """Gray images of ids that mean classes: everything could be read, and a network would be given its own answer."""
    both = config.folder.model_copy(update={"images": "{split}/labels"})
    with pytest.raises(UserError, match=r"a\.png is image and label in one"):
        check(config.model_copy(update={"folder": both}))
