"""The analysis as people ask for it."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import analyze
from engine.reporting.coverage_figure import coverage_figure
from models.coverage import path_counts


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> tuple[int, Path]:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["analyze.py", *words])
    return analyze.COMMAND.start(analyze.main), folder


def analysis(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "analysis.json").read_text())
    return content


def test_a_schedule_is_analysed_on_paper_on_screen_and_as_a_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, folder = run(monkeypatch, tmp_path, "model.context.dilations=[2,4,8]", "output=out")
    figures, printed = analysis(folder / "out"), capsys.readouterr().out
    assert code == 0
    assert figures["receptive_field_cells"] == [5, 13, 29]
    assert (figures["holes_per_axis"], figures["gcd"], figures["hdc_m2"]) == (14, 2, 4)
    assert round(figures["sigma_cells"], 2) == 7.48
    assert figures["receptive_field_px"] == figures["layers"][-1]["field_px"] == figures["frontend_field_px"] + 8 * 28
    assert figures["parameters"] == 3 * (9 * 21 * 21 + 21) + 21 * 21 + 21
    assert figures["multiply_adds"] == 64 * 64 * (3 * 9 + 1) * 21 * 21
    assert "warning: 14 of 29 cells" in printed and "12,432" in printed and "share the factor 2" in printed
    assert all(line in printed for line in figures["verdict"])
    assert np.asarray(Image.open(folder / "out" / "coverage.png")).shape[2] == 3


@pytest.mark.parametrize(("context", "pixels"), [("dilation7", 652), ("dilation8", 908), ("dilation10", 2444)])
def test_named_schedules_on_the_paper_s_front_end_see_its_pixels(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, context: str, pixels: int
) -> None:
    code, folder = run(monkeypatch, tmp_path, f"context={context}", "frontend=vgg16")
    figures = analysis(folder / "runs" / "analysis")
    assert code == 0 and figures["receptive_field_px"] == pixels
    assert figures["frontend"]["parameters"] == 134_346_581


def test_the_wide_module_and_a_single_layer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _, folder = run(monkeypatch, tmp_path, "context=large", "crop_px=[64,64]", "output=.")
    assert analysis(folder)["parameters"] == 6_803_139
    _, folder = run(monkeypatch, tmp_path, "model.context.dilations=[3]", "crop_px=[64,64]", "output=.")
    assert analysis(folder)["hdc_m2"] is None and analysis(folder)["receptive_field_cells"] == [7]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.context.dilations=[1,-2]"], "dilations are positive integers; got -2 at position 1"),
        (["dilation=[1,2]"], "model.context.dilations"),
        (["crop_px=[100,100]"], "divisible by 8"),
        (["context=large", "model.context.dilations=[1,2]"], "one for each of the 2 dilations"),
        (["output=taken"], "output=taken cannot be written"),
    ],
)
def test_what_cannot_be_analysed_is_refused_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], message: str
) -> None:
    (tmp_path / "taken").touch()
    code, _ = run(monkeypatch, tmp_path, *words)
    assert code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize("dilations", [[1], [3], [1, 2, 4], [1] * 9, [512, 512, 1]])
def test_any_schedule_can_be_drawn(dilations: list[int]) -> None:
    counts = [path_counts(dilations[:depth]) for depth in range(1, len(dilations) + 1)]
    assert coverage_figure(dilations, counts).dtype == np.uint8


def test_the_picture_of_2_2_2_has_dark_cells_where_1_2_4_has_none() -> None:
    def dark(dilations: list[int]) -> int:
        counts = [path_counts(dilations[:depth]) for depth in range(1, len(dilations) + 1)]
        picture = coverage_figure(dilations, counts)
        return int((picture == (0x14, 0x12, 0x2B)).all(axis=2).sum())

    legend_px = 500  # one swatch and the rims of the centre marks
    assert dark([1, 2, 4]) < legend_px < 10_000 < dark([2, 2, 2])


def test_a_folder_without_runs_has_no_leaderboard(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(monkeypatch, tmp_path, "runs=nowhere")[0] == 2
    assert "runs=nowhere: there is no such folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run(monkeypatch, tmp_path, "runs=empty")[0] == 2
    assert "no finished run with a context module" in capsys.readouterr().err
