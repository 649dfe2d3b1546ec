"""The documents' pictures are those that one script makes, with the captions that it proves."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.shapes import BUTTERFLY, LANTERN, MEADOW, MOTH, Sky, draw
from docs import make_pictures
from docs.make_pictures import DRAWINGS, ROOT
from docs.pictures_of_dilation import covered_by
from docs.pictures_of_scenes import check_night, wrong_share
from engine.contracts import Picture

PICTURES = ROOT / "docs" / "pictures"
PAGES = {"README.md": "docs/pictures/", "docs/dilation.md": "pictures/"}  # how each names the folder of pictures


def test_the_script_s_pictures_are_the_files_and_the_documents_show_each_with_its_caption() -> None:
    assert {path.name for path in PICTURES.iterdir()} == set(DRAWINGS)
    shown = set()
    for page, folder in PAGES.items():
        found = re.findall(rf"!\[(.*?)\]\({folder}(.*?)\)", (ROOT / page).read_text())
        assert len(set(found)) == len(found), page
        shown |= set(found)
    assert shown == {(drawing.caption, name) for name, drawing in DRAWINGS.items()}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["make_pictures.py", *arguments])
    make_pictures.main()


def test_pictures_that_need_no_run_are_made_anew_as_large_as_the_committed_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = [name for name, drawing in DRAWINGS.items() if not drawing.needs]
    assert len(names) == 8
    run(monkeypatch, *names, "--output", str(tmp_path))
    for name in names:
        assert Image.open(tmp_path / name).size == Image.open(PICTURES / name).size


def test_the_film_slides_over_every_cell_and_stays_small() -> None:
    """7 x 7 places of the kernel; at each, nine taps and one output of each of the three maps are orange."""
    path = PICTURES / "sliding.gif"
    assert path.stat().st_size < 300_000
    with Image.open(path) as film:
        assert film.n_frames == 49
        for place in (0, 24, 48):
            film.seek(place)
            frame = np.asarray(film.convert("RGB")).astype(int)
            is_orange = (abs(frame - (249, 142, 9)) < 8).all(axis=2)
            assert is_orange.sum() == 3 * (9 + 1) * 13 * 13  # a cell of 15 px has a border of 1 px


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predictions.png"], "predictions.png: give --run DIR, the folder that it is made from, or name other"),
        (["schedules.png", "--run", "."], "schedules.png: give --sweep DIR"),
        (["growth.png", "--run", ".", "--sweep", "."], "growth.png: give --growth DIR"),
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
    with pytest.raises(AssertionError, match="steps, and no others"):
        run(monkeypatch, "growth.png", "--growth", str(tmp_path), "--output", str(tmp_path))
    with pytest.raises(AssertionError):
        covered_by(2, 2, 2, fields=(5, 9, 13), holes=0, m2=2)(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_share_of_wrong_pixels_is_the_twins_alone() -> None:
    """Four pixels of twins, three of them wrong; the meadow's error does not count."""
    truth = np.array([[MOTH, MOTH, LANTERN, LANTERN, MEADOW]], np.uint8)
    answer = np.array([[MOTH, BUTTERFLY, MEADOW, MOTH, MOTH]], np.uint8)
    assert wrong_share(Picture("a", np.zeros((1, 5, 3), np.uint8), truth, answer)) == 0.75


def test_a_picture_of_the_night_has_a_dark_sky_with_moon_and_stars() -> None:
    skies: tuple[Sky, ...] = ("day", "night")
    scenes = {sky: draw("val", 0, 256, sky) for sky in skies}
    pictures = {sky: Picture(sky, image, label, label) for sky, (image, label) in scenes.items()}
    check_night(pictures["night"], [pictures["day"]])
    without_moon = np.minimum(scenes["night"][0], 150).astype(np.uint8)
    for image in (scenes["day"][0], without_moon):
        with pytest.raises(AssertionError, match="it is dark, with a moon and stars in it"):
            check_night(Picture("lit", image, scenes["night"][1], scenes["night"][1]), [])
