"""Names of files as the system has them: any bytes but zero and the slash."""

import json
import os
from pathlib import Path

import pytest

from configs.rules import broken_rules
from configs.schema import Config
from data.build import digest, open_images
from data.inputs import find_inputs
from data.names import readable, without_suffix
from data.photographs import read_photograph
from data.results import Results
from tests.helpers.data_sets import folder_config, write_label

ODD = {
    b"caf\xe9": r"caf\xe9",
    b"caf\xc3\xa9": "caf\u00e9",
    b"a\nb": r"a\nb",
    b"\x1b[31mred": r"\x1b[31mred",
    b"tab\t\x7f": r"tab\t\x7f",
    b"\xc2\x85\xe2\x80\xa8": r"\u0085\u2028",
    b"\xff\xfe/\x80": r"\xff\xfe/\x80",
    b"a b'$\"": "a b'$\"",
}


def write_png(folder: Path, name: bytes) -> Path:
    path = folder / os.fsdecode(name + b".png")
    write_label(path)
    return path


@pytest.mark.parametrize(("name", "shown"), ODD.items())
def test_a_name_is_shown_as_text_that_can_be_kept(name: bytes, shown: str) -> None:
    assert readable(os.fsdecode(name)) == shown == readable(shown)
    assert shown.encode().decode() == json.loads(json.dumps(shown)) and len(shown.splitlines()) == 1


def test_a_suffix_ends_at_its_own_length_whatever_case_does_to_letters() -> None:
    assert without_suffix("\u0130.PNG", ".png") == without_suffix("\u0130.PNG", "") == "\u0130"
    assert without_suffix("g", ".png") == "g" and without_suffix(".png", ".png") == ""
    assert without_suffix("x_L.png", "_l.PNG") == "x" and without_suffix("x.txt", "") == "x.txt"


def test_a_data_set_of_any_names_is_opened_hashed_and_read(tmp_path: Path) -> None:
    for name in ODD:
        write_png(tmp_path / "train" / "images", name)
        write_png(tmp_path / "train" / "labels", name)
    images = open_images(folder_config(tmp_path), "train")
    assert {images.name(index) for index in range(len(images))} == set(ODD.values())
    assert len(digest(images)) == 64 and all(images.read(index)[1].shape == (4, 6) for index in range(len(images)))


def test_a_list_names_files_that_are_not_utf_8_by_their_bytes(tmp_path: Path) -> None:
    for kind in ("images", "labels"):
        write_png(tmp_path / "train" / kind, b"caf\xe9")
    config = folder_config(tmp_path, list_file="list.txt")
    (tmp_path / "list.txt").write_bytes(b"caf\xe9.png\n")
    assert open_images(config, "train").name(0) == r"caf\xe9"
    (tmp_path / "list.txt").write_bytes(b"th\xe9\n")
    with pytest.raises(ValueError, match=r"the first is .*th\\xe9\.jpg; .*correct the list \(is it saved as UTF-8\?\)"):
        open_images(config, "train")
    (tmp_path / "list.txt").write_text("caf\u00e9", encoding="utf-16")
    with pytest.raises(ValueError, match=r"list\.txt: not UTF-8 text.*save the list as UTF-8"):
        open_images(config, "train")


@pytest.mark.parametrize("name", [name for name in ODD if b"/" not in name])
def test_every_message_shows_the_path_in_one_line(tmp_path: Path, name: bytes) -> None:
    image = write_png(tmp_path / "train" / "images", name)
    label = write_png(tmp_path / "train" / "labels", name)
    messages = []
    for content in (b"", b"no image", image.read_bytes()[:40]):
        label.write_bytes(content)
        with pytest.raises(ValueError) as error:
            open_images(folder_config(tmp_path), "train").read(0)
        messages.append(str(error.value))
    write_png(tmp_path / "train" / "labels", b"other")
    label.unlink()
    for config in (folder_config(tmp_path), folder_config(tmp_path, images=f"{{split}}/{os.fsdecode(name)}")):
        with pytest.raises(ValueError) as error:
            open_images(config, "train")
        messages.append(str(error.value))
    image.write_bytes(b"")
    with pytest.raises(ValueError) as error:
        read_photograph(image)
    for message in (*messages, str(error.value)):
        assert ODD[name] in message and message == readable(message)


def test_results_have_the_bytes_of_the_images_name(tmp_path: Path) -> None:
    for name in ODD:
        write_png(tmp_path / "in", name)
    results = Results(Path("out"), ["ids"])
    paths = [os.fsencode(results.of_image(item.name)["ids"]) for item in find_inputs(str(tmp_path / "in"))]
    assert sorted(paths) == sorted(b"out/ids/" + name + b".png" for name in ODD)


def test_a_root_that_a_log_cannot_hold_is_refused_before_the_run_and_a_link_to_it_is_not(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"r\xe9")
    root.mkdir()
    (tmp_path / "link").symlink_to(root, target_is_directory=True)
    (problem,) = broken_rules(Config(data=folder_config(root)))
    assert r"/r\xe9: the folder's name is not UTF-8" in problem and "symbolic link" in problem
    assert broken_rules(Config(data=folder_config(tmp_path / "link"))) == []
