"""What an input means, and how the results of each file in it are named."""

import os
from pathlib import Path

import pytest

from data.inputs import find_inputs


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names(source: Path | str, folder: Path) -> dict[str, str]:
    """Path of each file below `folder` -> name of its results."""
    return {os.path.relpath(file, folder): name for file, name in find_inputs(str(source))}


# Names


def test_files_of_one_name_keep_their_extensions_in_it(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "a.png", "deep/a.PNG", "deep/b.c.tif", "film.mp4", "film.MOV", "notes.md")
    assert names(tmp_path, tmp_path) == {
        "a.jpg": "a.jpg",
        "a.png": "a.png",
        "deep/a.PNG": "deep/a",
        "deep/b.c.tif": "deep/b.c",
        "film.MOV": "film.MOV",
        "film.mp4": "film.mp4",
    }


def test_two_images_never_share_their_results(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "a.png", "a.jpg.bmp")
    with pytest.raises(ValueError, match=r"a\.jpg and .*a\.jpg\.bmp would share the results a\.jpg; rename one"):
        find_inputs(str(tmp_path))


def test_an_image_never_takes_the_place_of_a_frame(tmp_path: Path) -> None:
    touch(tmp_path, "film.mp4", "film/000000.jpg")
    with pytest.raises(
        ValueError, match=r"film\.mp4 and .*000000\.jpg would share the results film/000000; rename one"
    ):
        find_inputs(str(tmp_path))


# Kinds


def test_a_single_file_is_named_without_its_folder(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.jpg", "in/film.mkv")
    assert names(tmp_path / "in" / "a.jpg", tmp_path) == {"in/a.jpg": "a"}
    assert names(tmp_path / "in" / "film.mkv", tmp_path) == {"in/film.mkv": "film"}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*/*.jpg", {"x/1.jpg": "x/1", "y/2.jpg": "y/2"}),
        ("x/*", {"x/1.jpg": "1", "x/3.png": "3"}),
        ("**/*.jpg", {"0.jpg": "0", "x/1.jpg": "x/1", "y/2.jpg": "y/2", "y/z/4.jpg": "y/z/4"}),
        ("y/**", {"y/2.jpg": "2", "y/z/4.jpg": "z/4"}),
        ("**/z/*.jpg", {"y/z/4.jpg": "y/z/4"}),
        ("[xy]/**/?.jpg", {"x/1.jpg": "x/1", "y/2.jpg": "y/2", "y/z/4.jpg": "y/z/4"}),
    ],
)
def test_a_pattern_means_what_a_shell_means_by_it_and_names_begin_where_it_does(
    tmp_path: Path, pattern: str, expected: dict[str, str]
) -> None:
    touch(tmp_path, "0.jpg", "x/1.jpg", "x/3.png", "x/notes.md", "x/.hidden.jpg", "y/2.jpg", "y/z/4.jpg")
    assert names(tmp_path / pattern, tmp_path) == expected


def test_a_pattern_ends_where_links_lead_in_circles(tmp_path: Path) -> None:
    touch(tmp_path, "x/1.jpg")
    for name in ("first", "second"):
        (tmp_path / "x" / name).symlink_to("..", target_is_directory=True)
    assert names(tmp_path / "**" / "*.jpg", tmp_path) == {"x/1.jpg": "x/1"}


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    touch(tmp_path, "photo[1].jpg", "photo1.jpg")
    assert names(tmp_path / "photo[1].jpg", tmp_path) == {"photo[1].jpg": "photo[1]"}


def test_a_list_names_files_relative_to_its_folder(tmp_path: Path) -> None:
    """With signs, blanks and a byte-order mark as editors leave them; a file that is not there is an input, too."""
    touch(tmp_path, "in/deep/a b.jpg", "in/c.png")
    (tmp_path / "in" / "list.txt").write_bytes("\ufeffdeep/a b.jpg\r\n\r\n  c.png \r\ngone.jpg\r\nc.png\r\n".encode())
    assert names(tmp_path / "in" / "list.txt", tmp_path / "in") == {
        "c.png": "c",
        "deep/a b.jpg": "deep/a b",
        "gone.jpg": "gone",
    }


def test_a_list_that_leads_elsewhere_keeps_the_folders_that_tell_its_files_apart(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "list.txt").write_text(f"../one/a.jpg\n{tmp_path}/two/deep/a.jpg\n")
    named = {str(file): name for file, name in find_inputs(str(tmp_path / "lists" / "list.txt"))}
    assert sorted(named.values()) == ["one/a", "two/deep/a"]


# Results are no input


@pytest.mark.parametrize("output", ["in", "in/maps", "in/deep/maps", "linked/maps", "in/link", "out"])
@pytest.mark.parametrize("source", ["in", "in/**/*"])
def test_a_second_run_has_the_inputs_of_the_first(tmp_path: Path, source: str, output: str) -> None:
    touch(tmp_path / "in", "a.jpg", "deep/b.jpg")
    touch(tmp_path / "elsewhere", "c.jpg")
    (tmp_path / "linked").symlink_to("in", target_is_directory=True)
    (tmp_path / "in" / "link").symlink_to("../elsewhere", target_is_directory=True)
    before = find_inputs(str(tmp_path / source))
    assert [item.name for item in before] == ["a", "deep/b", "link/c"]
    touch(
        tmp_path / output, "predictions.json", "ids/a.png", "overlays/deep/b.jpg", "confidence/c.png", "entropy/c.png"
    )
    assert find_inputs(str(tmp_path / source)) == before


@pytest.mark.parametrize("source", ["in", "in/**/*", "in/*/*"])
def test_a_link_into_results_leads_to_no_input(tmp_path: Path, source: str) -> None:
    touch(tmp_path, "in/x/a.jpg", "out/predictions.json", "out/ids/deep/b.png")
    (tmp_path / "in" / "link").symlink_to("../out/ids/deep", target_is_directory=True)
    assert [item.name for item in find_inputs(str(tmp_path / source))] == ["x/a"]


def test_results_are_an_input_where_they_are_named_themselves(tmp_path: Path) -> None:
    touch(tmp_path, "predictions.json", "ids/a.png", "ids/deep/b.png")
    expected = {"ids/a.png": "a", "ids/deep/b.png": "deep/b"}
    assert names(tmp_path / "ids", tmp_path) == names(tmp_path / "ids" / "**", tmp_path) == expected


# Refusals


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("empty", r"empty holds no image and no video; .*known are \.jpg"),
        ("notes.md", r"notes\.md: an image, a video, a folder or a list \(\.txt\) is required"),
        ("*.gif", r"\*\.gif: nothing matches this pattern; correct it; .*\.jpg"),
        ("*.md", r"\*\.md: 1 files match, none is an image or a video"),
        ("*/../../*.md", r"'\.\.' after a sign of a pattern; begin with the folder itself"),
        ("blank.txt", r"blank\.txt: the list is empty; the path of one image or video a line is required"),
        ("utf16.txt", r"utf16\.txt: not UTF-8 text"),
    ],
)
def test_what_holds_nothing_to_label_is_refused_with_what_would(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    touch(tmp_path, "notes.md")
    (tmp_path / "blank.txt").write_text("\n \n")
    (tmp_path / "utf16.txt").write_text("a.jpg", encoding="utf-16")
    with pytest.raises(ValueError, match=message):
        find_inputs(str(tmp_path / source))
