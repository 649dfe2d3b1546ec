"""Images without labels: which way is up, and where their label maps may lie."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.ExifTags import Base

from data.inputs import INPUT_HINT, read_photograph, requests
from tests.helpers.pictures import noise, orientation_tag


def touched(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def targets(source: Path, output: Path) -> dict[str, str]:
    """Image -> label map, as paths below the two folders."""
    return {
        image.relative_to(source).as_posix(): target.relative_to(output).as_posix()
        for image, target in requests(source, output)
    }


# Orientation


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


# Names


def test_images_of_one_name_get_a_map_each_and_keep_their_extensions_in_it(tmp_path: Path) -> None:
    touched(tmp_path / "in", "a.jpg", "a.png", "deep/a.PNG", "deep/b.c.tif")
    assert targets(tmp_path / "in", tmp_path / "out") == {
        "a.jpg": "a.jpg.png",
        "a.png": "a.png.png",
        "deep/a.PNG": "deep/a.png",
        "deep/b.c.tif": "deep/b.c.png",
    }


def test_two_images_never_share_a_map(tmp_path: Path) -> None:
    touched(tmp_path / "in", "a.jpg", "a.png", "a.jpg.bmp")
    with pytest.raises(ValueError, match=r"a\.jpg and .*a\.jpg\.bmp would share .*out/a\.jpg\.png; rename one"):
        requests(tmp_path / "in", tmp_path / "out")


# The output is no input


@pytest.mark.parametrize("output", ["in/maps", "in/deep/maps", "linked/maps", "in/link/maps", "out"])
def test_a_second_run_is_asked_for_the_same_as_the_first(tmp_path: Path, output: str) -> None:
    touched(tmp_path / "in", "a.jpg", "deep/b.jpg")
    touched(tmp_path / "elsewhere", "c.jpg")
    (tmp_path / "linked").symlink_to("in", target_is_directory=True)
    (tmp_path / "in" / "link").symlink_to("../elsewhere", target_is_directory=True)
    first = requests(tmp_path / "in", tmp_path / output)
    assert [target.name for _, target in first] == ["a.png", "b.png", "c.png"]
    for _, target in first:
        touched(target.parent, target.name)
    assert requests(tmp_path / "in", tmp_path / output) == first


@pytest.mark.parametrize(
    ("source", "output"), [("in", "in"), ("in", "."), ("linked", "in"), ("in", "linked"), ("in/deep", "in")]
)
def test_maps_among_the_images_are_refused(tmp_path: Path, source: str, output: str) -> None:
    touched(tmp_path / "in", "a.jpg", "in/b.jpg", "deep/deep/c.jpg")
    (tmp_path / "linked").symlink_to("in", target_is_directory=True)
    with pytest.raises(ValueError, match=r"would lie among the images, and the next run .*; set output elsewhere"):
        requests(tmp_path / source, tmp_path / output)


# Advice


def test_a_user_without_labels_and_splits_is_told_of_neither(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((2, 2), dtype=np.float32)).save(tmp_path / "float.tif")
    (tmp_path / "text.png").write_text("hello")
    touched(tmp_path, "empty.jpg", "set/notes.txt")
    (tmp_path / "folder.png").mkdir()
    messages = []
    for name in ("float.tif", "text.png", "empty.jpg", "folder.png", "absent.png"):
        with pytest.raises(ValueError) as error:
            read_photograph(tmp_path / name)
        messages.append(str(error.value))
    with pytest.raises(ValueError) as error:
        requests(tmp_path / "set", tmp_path / "out")
    messages.append(str(error.value))
    assert all(str(tmp_path) in message for message in messages)
    assert all(INPUT_HINT in message for message in messages[1:5])
    for message in messages:
        assert not {"label", "split", "data", "sample"} & set(message.replace(".", " ").split()), message
