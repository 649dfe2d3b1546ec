"""Samples that cannot be read: left out by name, up to a number."""

from pathlib import Path

import pytest

from configs.errors import DamagedFileError, UserError
from configs.schema import DataConfig
from data.build import digest, open_images
from data.dataset import FileSet
from tests.helpers.data_sets import folder_config, write_image, write_label
from tests.helpers.pictures import noise, write_pixels


@pytest.fixture
def config(tmp_path: Path) -> DataConfig:
    """Six images: b is cut short, c has a label of another size, e an id that no class has."""
    for seed, name in enumerate("abcdef"):
        write_image(tmp_path / "train" / "images" / f"{name}.png", seed)
        write_label(tmp_path / "train" / "labels" / f"{name}.png")
    damaged = tmp_path / "train" / "images" / "b.png"
    damaged.write_bytes(damaged.read_bytes()[:-30])
    write_pixels(tmp_path / "train" / "images" / "c.png", noise(5, 6))
    write_label(tmp_path / "train" / "labels" / "e.png", [[9] * 6] * 4)
    return folder_config(tmp_path)


def skipping(config: DataConfig, **keys: object) -> FileSet:
    images = open_images(config.model_copy(update={"on_error": "skip", **keys}), "train")
    assert isinstance(images, FileSet)
    return images


def test_what_cannot_be_read_is_left_out_by_name_and_the_rest_is_as_it_was(config: DataConfig) -> None:
    images = skipping(config)
    assert [images.name(index) for index in range(len(images))] == ["a", "d", "f"]
    assert all(images.read(index)[1].shape == (4, 6) for index in range(3))
    assert [next(name for name in "abcdef" if f"/{name}.png" in reason) for reason in images.left_out] == list("bce")
    assert "3 images, 3 left out, 2 classes" in images.describe()


def test_without_a_word_every_sample_is_kept_and_a_sound_set_is_the_same_either_way(config: DataConfig) -> None:
    assert len(open_images(config, "train")) == 6
    sound = config.model_copy(update={"limit": 1})
    images = skipping(sound)
    assert digest(images) == digest(open_images(sound, "train")) and "left out" not in images.describe()


def test_more_than_the_limit_is_an_error_of_the_first_ones_kind(config: DataConfig, tmp_path: Path) -> None:
    assert len(skipping(config, max_skipped=3)) == 3
    with pytest.raises(DamagedFileError, match=r"on_error=skip: 3 of the 6 samples .*max_skipped=2 .*first: .*b\.png"):
        skipping(config, max_skipped=2)
    (tmp_path / "train" / "images" / "b.png").write_bytes((tmp_path / "train" / "images" / "a.png").read_bytes())
    with pytest.raises(UserError, match=r"on_error=skip: 2 of the 6 .*first: .*c\.png is 6x5") as error:
        skipping(config, max_skipped=1)
    assert not isinstance(error.value, DamagedFileError)


def test_a_set_of_nothing_else_is_an_error(config: DataConfig, tmp_path: Path) -> None:
    for image in (tmp_path / "train" / "images").iterdir():
        image.write_bytes(b"")
    with pytest.raises(DamagedFileError, match="6 of the 6 samples of train cannot be used"):
        skipping(config)
