"""List files: which image and label a line means, and which lines are refused."""

from pathlib import Path

import pytest

from data.build import open_images
from tests.helpers.data_sets import (
    Writer,
    folder_config,
    open_pairs,
    write_camvid_original,
    write_image,
    write_label,
    write_list,
    write_voc,
)


@pytest.mark.parametrize("line", ["1", "1.jpg", "train/images/1.jpg train/labels/1.png"])
def test_list_files_are_cleaned(tmp_path: Path, line: str) -> None:
    write_image(tmp_path / "train" / "images" / "1.jpg")
    write_label(tmp_path / "train" / "labels" / "1.png")
    (tmp_path / "train.txt").write_bytes(b"\xef\xbb\xbf\r\n" + line.encode() + b"  \r\n\r\n")
    images = open_images(folder_config(tmp_path, list_file="{split}.txt"), "train")
    assert len(images) == 1 and images.read(0)[1].shape == (4, 6)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["1", "", "1"], "line 3: 1 stands in line 1"),
        (["1", "/etc/passwd"], "line 2: /etc/passwd leads out"),
        (["../1"], r"line 1: \.\./1 leads out"),
        (["a/../../1"], "line 1"),
        (["..\\1"], "line 1"),
        (["C:\\images\\1"], "line 1"),
        (["1 2 3"], "line 1: 3 words"),
        (["my black cat"], "line 1: 3 words.*stands in quotes"),
        (["my cat"], r"missing, the first is .*my; .*correct the list \(a name with blanks stands in quotes\)"),
        (['"my cat'], 'line 1: "my cat: a quote is not closed'),
        (['"../1"'], r"line 1: \.\./1 leads out"),
        (['"/1" x'], "line 1: /1 leads out"),
        (["", " "], "the list is empty"),
        (["2"], "1 of 1 samples are missing, the first is .*2.jpg"),
    ],
)
def test_lists_with_doubtful_lines_are_refused(tmp_path: Path, lines: list[str], complaint: str) -> None:
    write_image(tmp_path / "train" / "images" / "1.jpg")
    write_label(tmp_path / "train" / "labels" / "1.png")
    write_list(tmp_path / "train.txt", *lines)
    with pytest.raises(ValueError, match=complaint) as error:
        open_images(folder_config(tmp_path, list_file="{split}.txt"), "train")
    assert "train.txt" in str(error.value)


@pytest.mark.parametrize(
    ("line", "image"),
    [
        ('"my cat"', "my cat.jpg"),
        ("'my cat.jpg'", "my cat.jpg"),
        ('"train/images/my cat.jpg" "train/labels/my cat.png"', "my cat.jpg"),
        ("it's", "it's.jpg"),
        ('"it\'s.jpg"', "it's.jpg"),
        ("back\\slash", "back\\slash.jpg"),
        ('"back\\slash"', "back\\slash.jpg"),
        ("#1", "#1.jpg"),
        ('"#1"', "#1.jpg"),
    ],
)
def test_names_with_blanks_stand_in_quotes_and_any_other_name_needs_none(tmp_path: Path, line: str, image: str) -> None:
    for name in ("my cat", "it's", "back\\slash", "#1"):
        write_image(tmp_path / "train" / "images" / f"{name}.jpg")
        write_label(tmp_path / "train" / "labels" / f"{name}.png")
    write_list(tmp_path / "train.txt", line)
    (pair,) = open_pairs(folder_config(tmp_path, list_file="{split}.txt"))
    assert pair.image.name == image and pair.label.name == image.replace(".jpg", ".png")


@pytest.mark.parametrize(
    ("line", "chosen"),
    [
        ("x.png", "x.png"),
        ("x.jpg", "x.jpg"),
        ("x.PNG", "x.png"),
        ("y", "y.JPG"),
        ("y.jpg", "y.JPG"),
        ("z.a", "z.a.bmp"),
    ],
)
def test_a_line_means_the_file_that_it_spells(tmp_path: Path, line: str, chosen: str) -> None:
    for name in ("x.png", "x.jpg", "y.JPG", "z.a.bmp"):
        write_image(tmp_path / "train" / "images" / name)
        write_label(tmp_path / "train" / "labels" / f"{name.rpartition('.')[0]}.png")
    write_list(tmp_path / "train.txt", line)
    (pair,) = open_pairs(folder_config(tmp_path, list_file="{split}.txt"))
    assert pair.image.name == chosen


def test_a_written_extension_is_never_exchanged_and_a_name_of_two_images_is_no_guess(tmp_path: Path) -> None:
    config = folder_config(tmp_path, list_file="{split}.txt")
    write_image(tmp_path / "train" / "images" / "x.jpg")
    write_label(tmp_path / "train" / "labels" / "x.png")
    write_list(tmp_path / "train.txt", "x.png")
    with pytest.raises(
        ValueError, match=r"1 of 1 samples are missing, the first is .*images/x\.png; .*correct the list"
    ):
        open_images(config, "train")
    write_image(tmp_path / "train" / "images" / "x.png")
    write_list(tmp_path / "train.txt", "x")
    with pytest.raises(ValueError, match=r"x\.jpg and .*x\.png have one name; .*line 1 .*with its extension"):
        open_images(config, "train")


def test_a_label_beside_its_image_is_not_taken_for_the_image(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "x.jpg")
    write_label(tmp_path / "train" / "x.png")
    config = folder_config(tmp_path, images="{split}", labels="{split}", list_file="{split}.txt")
    write_list(tmp_path / "train.txt", "x")
    (pair,) = open_pairs(config)
    assert (pair.image.name, pair.label.name) == ("x.jpg", "x.png")
    write_list(tmp_path / "train.txt", "x.png")
    with pytest.raises(ValueError, match=r"line 1: .*x\.png is image and label in one"):
        open_images(config, "train")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("x", "x.jpg"),
        ("x.JPG", "x.jpg"),
        ("x.png", "x.jpg"),
        ("x.jpg", "./x.jpg"),
        ("x", "train/images/x.jpg train/labels/x.png"),
        ("train/images/x.jpg train/labels/x.png", "train//images/x.jpg train/labels/other.png"),
    ],
)
def test_two_lines_that_mean_one_sample_are_refused_by_both(tmp_path: Path, first: str, second: str) -> None:
    for name in ("x.jpg", "x.png") if "x.png" in (first, second) else ("x.jpg",):
        write_image(tmp_path / "train" / "images" / name)
    write_label(tmp_path / "train" / "labels" / "x.png")
    write_list(tmp_path / "train.txt", first, second)
    with pytest.raises(ValueError) as error:
        open_images(folder_config(tmp_path, list_file="{split}.txt"), "train")
    assert f"line 2: {second.split()[0]} is the sample of" in str(error.value)
    assert f"line 1 ({first.split()[0]}) already" in str(error.value)


def test_one_label_may_serve_two_images_that_are_named_in_full(tmp_path: Path) -> None:
    for place in ("day", "night"):
        write_image(tmp_path / place / "x.jpg")
    write_label(tmp_path / "labels" / "x.png")
    write_list(tmp_path / "train.txt", "day/x.jpg labels/x.png", "night/x.jpg labels/x.png")
    assert len(open_images(folder_config(tmp_path, list_file="{split}.txt"), "train")) == 2


@pytest.mark.parametrize("write", [write_voc, write_camvid_original])
def test_names_with_and_without_extension_are_one_sample_in_every_list(write: Writer, tmp_path: Path) -> None:
    config = write(tmp_path)
    (source,) = tmp_path.rglob("train.txt")
    write_list(source, "a", "b", "a.png")
    with pytest.raises(ValueError, match=r"line 3: a\.png is the sample of .*train\.txt, line 1 \(a\) already"):
        open_images(config, "train")
