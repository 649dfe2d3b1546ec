"""The leaderboard is arithmetic on what runs left, and says no more than they do."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine.compare import interval
from engine.leaderboard import markdown, write_leaderboard


def leave_run(folder: Path, dilations: list[int], seed: int, front: list[float], context: list[float | None]) -> None:
    """A finished run's folder: class IoU of the two stages."""
    folder.mkdir(parents=True)

    def result(class_iou: list[Any]) -> dict[str, Any]:
        known = [value for value in class_iou if value is not None]
        mean_iou = sum(known) / len(known)
        return {"mean_iou": mean_iou, "class_iou": class_iou, "seconds": 10.0 + seed, "effective_cells": 3.0 + seed}

    summary = {
        "seed": seed,
        "classes": ["road", "car"],
        "stages": {"frontend": result(front), "context": result(context)},
        "identity": {"before": sum(front) / len(front), "class_iou_before": front},
        "peak_memory_mib": 100.0,
        "schedule": {
            "dilations": dilations, "widths": [], "field_cells": 1 + 2 * sum(dilations), "field_px": 100,
            "holes_per_axis": 0, "gcd": 1, "parameters": 1234, "multiply_adds": 5678,
        },
    }  # fmt: skip
    settings = {"seed": seed, "model": {"context": {"dilations": dilations}}, "run": {"dir": str(folder)}}
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "config.json").write_text(json.dumps(settings))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    leave_run(tmp_path / "a0", [1, 2], 0, [0.5, 0.3], [0.6, 0.4])
    leave_run(tmp_path / "a1", [1, 2], 1, [0.5, 0.3], [0.7, 0.3])
    leave_run(tmp_path / "a2", [1, 2], 2, [0.5, 0.3], [0.5, 0.2])
    leave_run(tmp_path / "b0", [1, 1], 0, [0.5, 0.3], [0.8, None])
    (tmp_path / "failed").mkdir()
    return tmp_path


def test_rows_are_grouped_by_all_but_the_seed_and_sorted_by_score(sweep: Path) -> None:
    best, other = write_leaderboard(sweep)
    assert (best["dilations"], other["dilations"]) == ([1, 1], [1, 2])
    assert other["mean_iou"] == pytest.approx({"0": 0.5, "1": 0.5, "2": 0.35})
    assert other["mean"] == pytest.approx(0.45) and other["gain"] == pytest.approx(0.05)
    assert other["class_gain"] == pytest.approx({"road": 0.1, "car": 0.0})
    assert other["interval"] == pytest.approx(4.302653 * 0.0866025404 / 3**0.5)
    assert other["seconds"] == 11 and best["interval"] is None
    assert best["class_gain"]["road"] == pytest.approx(0.3) and best["class_gain"]["car"] is None


def test_all_files_hold_the_rows(sweep: Path) -> None:
    rows = write_leaderboard(sweep)
    assert json.loads((sweep / "leaderboard.json").read_text()) == rows
    with (sweep / "leaderboard.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [json.loads(line["dilations"]) for line in table] == [[1, 1], [1, 2]]
    assert float(table[1]["mean"]) == rows[1]["mean"]
    assert min(Image.open(sweep / "leaderboard.png").size) > 500
    text = (sweep / "leaderboard.md").read_text()
    assert (
        "| 1,2 | 7 | 4.0 | 100 | 0 | 1,234 | 5,678 | 11 | 100 | 3 | 45.00 ± 21.51 | +5.00 | road +10.0 | car +0.0 |"
        in text
    )


def test_a_sweep_without_a_finished_run_has_an_empty_table(tmp_path: Path) -> None:
    assert write_leaderboard(tmp_path) == []
    assert json.loads((tmp_path / "leaderboard.json").read_text()) == [] and "dilations" in markdown([])


def test_the_interval_is_student_s() -> None:
    """Three values 1, 2, 3: standard deviation 1, t(0.975, 2) = 4.302653."""
    assert interval([1.0, 2.0, 3.0]) == pytest.approx(4.302653 / 3**0.5)
    assert interval([1.0]) is None and interval([2.0] * 20) == 0
