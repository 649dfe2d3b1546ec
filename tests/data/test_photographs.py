"""Images without labels: which way is up, and what is said of those that cannot be read."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.ExifTags import Base

from data.photographs import INPUT_HINT, read_photograph
from tests.helpers.pictures import noise, orientation_tag


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_pillow_turns_it_and_its_map_is_turned_back(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    """The file's pixels show the upright picture once Pillow has applied the tag; all formats are lossless here."""
    file_HW3, path = noise(4, 6), tmp_path / f"image{suffix}"
    image, lossless = Image.fromarray(file_HW3), {"lossless": True, "exact": True} if suffix == ".webp" else {}
    image.save(path, exif=orientation_tag(orientation), **lossless)
    image.getexif()[Base.Orientation] = orientation
    photograph = read_photograph(path)
    assert np.array_equal(photograph.upright_HW3, np.array(ImageOps.exif_transpose(image)))
    assert np.array_equal(photograph.on_file_grid(photograph.upright_HW3[..., 0]), file_HW3[..., 0])


@pytest.mark.parametrize("nonsense", [0, 9])
def test_a_tag_without_meaning_turns_nothing(tmp_path: Path, nonsense: int) -> None:
    Image.fromarray(noise(4, 6)).save(tmp_path / "image.png", exif=orientation_tag(nonsense))
    assert np.array_equal(read_photograph(tmp_path / "image.png").upright_HW3, noise(4, 6))


def test_a_user_without_labels_and_splits_is_told_of_neither(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((2, 2), dtype=np.float32)).save(tmp_path / "float.tif")
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")  # nobody writes into it: to open it would be to wait for ever
    messages = []
    for name in ("float.tif", "text.png", "empty.jpg", "folder.png", "pipe.png", "absent.png"):
        with pytest.raises(ValueError) as error:
            read_photograph(tmp_path / name)
        messages.append(str(error.value))
    assert all(str(tmp_path) in message for message in messages)
    assert all(INPUT_HINT in message for message in messages[1:])
    for message in messages:
        assert not {"label", "split", "data", "sample"} & set(message.replace(".", " ").split()), message
