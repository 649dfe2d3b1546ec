"""Finding files: suffixes in any case, links, and folders that cannot be read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from data.build import open_images
from tests.helpers.data_sets import (
    ON_DISK,
    Writer,
    folder_config,
    open_pairs,
    write_folder,
    write_image,
    write_label,
    write_list,
)


@pytest.mark.parametrize("write", ON_DISK)
@pytest.mark.parametrize("change", [str.upper, str.title])
def test_the_case_of_a_suffix_does_not_matter(write: Writer, change: Callable[[str], str], tmp_path: Path) -> None:
    config = write(tmp_path)
    expected = [pair.name for pair in open_pairs(config)]
    for path in [*tmp_path.rglob("*.*g")]:
        path.rename(path.with_suffix(change(path.suffix)))
    assert [pair.name for pair in open_pairs(config)] == expected


def test_of_two_cases_of_a_suffix_the_one_that_is_set_is_chosen_and_labels_need_none_set(tmp_path: Path) -> None:
    for name in ("x.png", "x.PNG"):
        write_image(tmp_path / "train" / "images" / name)
        write_label(tmp_path / "train" / "labels" / name)
    for suffix in (".png", ".PNG"):
        (pair,) = open_pairs(folder_config(tmp_path, image_suffix=suffix, label_suffix=suffix))
        assert (pair.image.name, pair.label.name) == (f"x{suffix}", f"x{suffix}")
    (tmp_path / "train" / "labels" / "x.png").unlink()
    write_list(tmp_path / "train.txt", "x.png")
    (pair,) = open_pairs(folder_config(tmp_path, label_suffix="", list_file="{split}.txt"))
    assert (pair.image.name, pair.label.name) == ("x.png", "x.PNG")


def test_two_images_of_one_name_and_a_folder_named_like_an_image_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "images" / "1.jpg")
    write_label(tmp_path / "train" / "labels" / "1.png")
    (tmp_path / "train" / "images" / ".DS_Store").touch()
    (tmp_path / "train" / "images" / "readme.md").touch()
    assert len(open_images(folder_config(tmp_path), "train")) == 1
    (tmp_path / "train" / "images" / "2.jpg").mkdir()
    with pytest.raises(ValueError, match=r"1 of 2 images have no label, the first is .*2\.jpg"):
        open_images(folder_config(tmp_path), "train")
    (tmp_path / "train" / "images" / "2.jpg").rename(tmp_path / "train" / "images" / "1.png")
    with pytest.raises(ValueError, match="have one name"):
        open_images(folder_config(tmp_path), "train")


@pytest.mark.parametrize("target", [".", "..", "../..", "../../..", "../y"])
def test_a_link_that_leads_round_to_its_own_folder_adds_nothing(tmp_path: Path, target: str) -> None:
    config = write_folder(tmp_path)
    before = open_pairs(config)
    (tmp_path / "train" / "images" / "y" / "up").symlink_to(target, target_is_directory=True)
    assert open_pairs(config) == before


def test_two_folders_that_link_to_each_other_end_and_a_link_elsewhere_is_followed(tmp_path: Path) -> None:
    config = write_folder(tmp_path)
    for kind in ("images", "labels"):
        for one, other in ("xy", "yx"):
            (tmp_path / "train" / kind / one / other).symlink_to(f"../{other}", target_is_directory=True)
    assert [pair.name for pair in open_pairs(config)] == ["x/1", "x/y/1", "y/1", "y/x/1"]
    (tmp_path / "train" / "images").rename(tmp_path / "elsewhere")
    (tmp_path / "train" / "images").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert [pair.name for pair in open_pairs(config)] == ["x/1", "x/y/1", "y/1", "y/x/1"]


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path: Path) -> None:
    """Too long a path fails for root as well, whom permissions do not stop."""
    config = write_folder(tmp_path)
    place = os.open(tmp_path / "train" / "images", os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=place)
        inner = os.open("d" * 250, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)
    with pytest.raises(ValueError, match=r"images/d+.*: cannot be read \(File name too long\)"):
        open_images(config, "train")
    with pytest.raises(ValueError, match=r"there is no .*train/x+; .*train holds images, labels"):
        open_images(folder_config(tmp_path, images="{split}/" + "x" * 300), "train")
