"""The documents' pictures are those that one script makes, with the captions that it proves."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.shapes import BUTTERFLY, LANTERN, MEADOW, MOTH
from docs import make_pictures
from docs.make_pictures import DRAWINGS, ROOT, wrong_share
from engine.contracts import Picture

README = (ROOT / "README.md").read_text()


def test_the_script_s_pictures_are_the_files_and_the_readme_shows_each_with_its_caption() -> None:
    assert {path.name for path in (ROOT / "docs" / "pictures").iterdir()} == set(DRAWINGS)
    shown = re.findall(r"!\[(.*?)\]\(docs/pictures/(.*?)\)", README)
    assert sorted(shown) == sorted((drawing.caption, name) for name, drawing in DRAWINGS.items())


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["make_pictures.py", *arguments])
    make_pictures.main()


def test_pictures_that_need_no_run_are_made_anew_as_large_as_the_committed_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run(monkeypatch, "coverage.png", "shapes.png", "--output", str(tmp_path))
    for name in ("coverage.png", "shapes.png"):
        assert Image.open(tmp_path / name).size == Image.open(ROOT / "docs" / "pictures" / name).size


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predictions.png"], "predictions.png is made from a run; give --run DIR, or name other pictures"),
        (["schedules.png", "--run", "."], "schedules.png is made from a sweep; give --sweep DIR"),
        (["cover.png"], "no such picture: cover.png; there are: shapes.png, "),
    ],
)
def test_a_picture_without_its_input_is_refused_before_any_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, "coverage.png", *arguments, "--output", "/nowhere")
    assert message in capsys.readouterr().err


def test_a_caption_that_is_not_true_makes_no_picture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="twelve schedules with three seeds each"):
        run(monkeypatch, "schedules.png", "--sweep", str(tmp_path), "--output", str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_the_share_of_wrong_pixels_is_the_twins_alone() -> None:
    """Four pixels of twins, three of them wrong; the meadow's error does not count."""
    truth = np.array([[MOTH, MOTH, LANTERN, LANTERN, MEADOW]], np.uint8)
    answer = np.array([[MOTH, BUTTERFLY, MEADOW, MOTH, MOTH]], np.uint8)
    assert wrong_share(Picture("a", np.zeros((1, 5, 3), np.uint8), truth, answer)) == 0.75
