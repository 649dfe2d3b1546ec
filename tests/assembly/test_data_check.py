"""What is wrong with the data is refused before anything is trained, with the command that lists all of it."""

import sys
from pathlib import Path

import pytest

from assembly.data_check import naming_audit, open_sets
from configs.errors import DamagedFileError, UserError
from data.store import CacheTooSmall
from tests.helpers.data_sets import folder_config, write_image, write_label
from tests.helpers.pictures import noise, write_pixels

WORDS = ["experiment=folder", "data.root=my photos", "run.dir=runs/one", "resume=auto"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        for name in "abc":
            write_image(tmp_path / split / "images" / f"{name}.png")
            write_label(tmp_path / split / "labels" / f"{name}.png")
    return tmp_path


def test_sound_sets_are_those_of_the_config(root: Path) -> None:
    train_set, val_set = open_sets(folder_config(root))
    assert (train_set.describe(), val_set.describe()) == (
        f"folder {root}, train: 3 images, 2 classes",
        f"folder {root}, val: 3 images, 2 classes",
    )


@pytest.mark.parametrize("split", ["train", "val"])
def test_what_is_wrong_in_a_split_ends_with_the_audit_of_the_same_settings(
    root: Path, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves out where the run writes and that it goes on, which no audit needs."""
    monkeypatch.setattr(sys, "argv", ["train.py", *WORDS])
    write_pixels(root / split / "images" / "c.png", noise(5, 6))
    command = r"audit\.py experiment=folder 'data\.root=my photos'$"
    with pytest.raises(UserError, match=rf"c\.png is 6x5(.|\n)*one pass:  .*{command}"):
        open_sets(folder_config(root))
    (root / split / "labels" / "c.png").unlink()
    with pytest.raises(UserError, match=rf"1 of 3 images have no label(.|\n)*one pass:  .*{command}"):
        open_sets(folder_config(root))


def test_the_kind_of_an_error_and_so_its_exit_code_is_kept_and_others_pass_as_they_are() -> None:
    with pytest.raises(DamagedFileError, match=r"a\.png(.|\n)*audit\.py"), naming_audit():
        raise DamagedFileError("a.png: the file is empty")
    with pytest.raises(CacheTooSmall, match=r"too small(.|\n)*audit\.py") as caught, naming_audit():
        raise CacheTooSmall("too small", 1.5)
    assert caught.value.required_gb == 1.5
    with pytest.raises(KeyError, match=r"^'a'$"), naming_audit():
        raise KeyError("a")
