"""The leaderboard is arithmetic on what runs left, and says no more than they do."""

import csv
import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from configs.errors import UserError
from engine.evaluation.significance import interval
from engine.reporting.leaderboard import best_line, write_leaderboard
from engine.reporting.leaderboard_page import markdown
from engine.reporting.leaderboard_rows import leaderboard_rows


def leave_run(
    folder: Path,
    dilations: list[int],
    seed: int,
    front: list[float],
    context: list[float | None],
    *,
    settings: dict[str, Any] | None = None,
    right: float | None = None,
    images: str | None = "aaaaaaaaaaaaaaaa",
    num_images: int = 30,
) -> None:
    """A finished run's folder: class IoU of the two stages; `right` of 100 pixels of each class, in every image."""
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
        **({"scored_images": {"digest": images, "count": num_images}} if images else {}),
    }  # fmt: skip
    config = {"seed": seed, "model": {"context": {"dilations": dilations}}, "run": {"dir": str(folder)},
              **(settings or {})}  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "config.json").write_text(json.dumps(config))
    if right is not None:
        right_N = np.round(right + np.random.default_rng(seed).normal(0, 5, num_images)).astype(np.int64)
        counts = np.array([[right_N, 100 - right_N], [100 - right_N, right_N]])
        np.save(folder / "confusions-context.npy", np.moveaxis(counts, -1, 0))


def leave_scored(folder: Path, dilations: list[int], seed: int, right: float, **rest: Any) -> None:
    """A run whose scores fit its confusion matrices, with a front end of half its pixels right."""
    iou = right / (200 - right)
    leave_run(folder, dilations, seed, [1 / 3, 1 / 3], [iou, iou], right=right, **rest)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    leave_run(tmp_path / "a0", [1, 2], 0, [0.5, 0.3], [0.6, 0.4])
    leave_run(tmp_path / "a1", [1, 2], 1, [0.5, 0.3], [0.7, 0.3])
    leave_run(tmp_path / "a2", [1, 2], 2, [0.5, 0.3], [0.5, 0.2])
    leave_run(tmp_path / "b0", [1, 1], 0, [0.5, 0.3], [0.8, None])
    (tmp_path / "failed").mkdir()
    return tmp_path


def written_page(folder: Path, against: list[int] | None = None) -> str:
    write_leaderboard(folder, against or [])
    return (folder / "leaderboard.md").read_text()


def test_rows_are_grouped_by_all_but_the_seed_and_sorted_by_score(sweep: Path) -> None:
    best, other = write_leaderboard(sweep)
    assert (best.dilations, other.dilations) == ([1, 1], [1, 2])
    assert (best.name, other.name) == ("1,1", "1,2")
    assert other.mean_iou == pytest.approx({"0": 0.5, "1": 0.5, "2": 0.35})
    assert other.mean == pytest.approx(0.45) and other.gain == pytest.approx(0.05)
    assert other.frontend == pytest.approx(0.4)
    assert other.class_gain == pytest.approx({"road": 0.1, "car": 0.0})
    assert other.interval == pytest.approx(4.302653 * 0.0866025404 / 3**0.5)
    assert other.seconds == 11 and best.interval is None
    assert best.class_gain["road"] == pytest.approx(0.3) and best.class_gain["car"] is None


def test_all_files_hold_the_rows(sweep: Path) -> None:
    rows = write_leaderboard(sweep)
    assert json.loads((sweep / "leaderboard.json").read_text()) == [asdict(row) for row in rows]
    assert min(Image.open(sweep / "leaderboard.png").size) > 500
    text = (sweep / "leaderboard.md").read_text()
    assert (
        "| 1,2 | 7 | 4.0 | 100 | 0 | 1,234 | 5,678 | 11 | 100 | 3 | 45.00 ± 21.51 | +5.00 | road +10.0 | car +0.0 |"
        in text
    )


def test_the_table_for_spreadsheets_has_plain_cells_and_the_same_columns_in_every_row(sweep: Path) -> None:
    rows = write_leaderboard(sweep)
    with (sweep / "leaderboard.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [line["dilations"] for line in table if line["stage"] == "context"] == ["1,1", "1,2"]
    best, other = table
    assert float(other["mean"]) == rows[1].mean and best["interval"] == "" and best["widths"] == ""
    assert [other[f"mean_iou_seed_{seed}"] for seed in range(3)] == [str(rows[1].mean_iou[str(s)]) for s in range(3)]
    assert (best["mean_iou_seed_0"], best["mean_iou_seed_1"]) == ("0.8", "")
    assert (best["run_seed_0"], other["run_seed_2"]) == ("b0", "a2")
    assert best["class_gain_car"] == "" and float(other["class_gain_road"]) == pytest.approx(0.1)
    assert not any(sign in cell for line in table for cell in line.values() for sign in "\"'[{")


def test_a_sweep_without_a_finished_run_has_an_empty_table(tmp_path: Path) -> None:
    assert write_leaderboard(tmp_path) == []
    assert json.loads((tmp_path / "leaderboard.json").read_text()) == [] and "dilations" in markdown([])
    assert best_line([]) == ""


def test_the_interval_is_student_s() -> None:
    """Three values 1, 2, 3: standard deviation 1, t(0.975, 2) = 4.302653."""
    assert interval([1.0, 2.0, 3.0]) == pytest.approx(4.302653 / 3**0.5)
    assert interval([1.0]) is None and interval([2.0] * 20) == 0


def test_a_run_repeated_under_its_seed_adds_no_seed_and_the_first_counts(sweep: Path) -> None:
    before = leaderboard_rows(sweep)[1]
    shutil.copytree(sweep / "a0", sweep / "0-copy" / "a0")
    leave_run(sweep / "0-again", [1, 2], 1, [0.5, 0.3], [0.9, 0.9])
    for later in (sweep / "0-copy" / "a0", sweep / "0-again"):
        os.utime(later / "summary.json", ns=(2**62, 2**62))
    row = next(row for row in leaderboard_rows(sweep) if row.name == "1,2")
    assert row == replace(before, repetitions={"0": ["0-copy/a0"], "1": ["0-again"]})
    text = written_page(sweep)
    assert "of one seed the run that ended first counts" in text
    assert "* 1,2, seed 1: a1 counts, not 0-again" in text


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    """Three schedules, two seeds each; 1,1 and 1,2 steadily and 30 points apart, 2,2 unsteadily between."""
    for seed in (0, 1):
        leave_scored(tmp_path / f"a{seed}", [1, 1], seed, 90 + 0.2 * seed)
        leave_scored(tmp_path / f"b{seed}", [1, 2], seed, 60 + 0.1 * seed)
        leave_scored(tmp_path / f"c{seed}", [2, 2], seed, 60 + 20 * seed)
    return tmp_path


def compared(folder: Path) -> dict[str, dict[str, Any]]:
    """By the second's name; what is read is strict JSON."""

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is no JSON")

    comparisons = json.loads((folder / "comparisons.json").read_text(), parse_constant=refuse)
    return {gap["second_name"]: gap for gap in comparisons}


def test_the_page_names_the_method_and_what_so_few_seeds_can_carry(scored: Path) -> None:
    text = written_page(scored)
    assert "1,1 against the others, on the same images and seeds:" in text
    assert "all 2 comparisons (Holm)" in text and "came first, which any of 3 rows could have" in text
    assert "With 2 seeds even the clearest of the differences must reach" in text
    assert "named, beforehand as we trust" in written_page(scored, against=[1, 2])
    assert set(compared(scored)) == {"1,1", "2,2"}
    with pytest.raises(UserError, match=r"against=\[5\]: no finished run .* there are: \[1,1\] \[2,2\] \[1,2\]"):
        write_leaderboard(scored, [5])


def test_a_chosen_reference_pays_for_the_choice_and_a_named_one_does_not(scored: Path) -> None:
    write_leaderboard(scored)
    chosen = compared(scored)["1,2"]
    write_leaderboard(scored, [1, 1])
    named = compared(scored)["1,2"]
    assert chosen["p"] == named["p"] and chosen["p_corrected"] == pytest.approx(named["p_corrected"] * 3 / 2)


def test_one_seed_is_never_surer_than_two(scored: Path) -> None:
    for seed_1 in scored.glob("?1"):
        shutil.rmtree(seed_1)
    text = written_page(scored)
    assert not any(gap["is_real"] for gap in compared(scored).values()) and "real difference" not in text
    assert text.count("one seed: nothing can be said of other seeds") == 2


def test_seeds_that_change_nothing_certify_nothing(tmp_path: Path) -> None:
    for seed in (0, 1):
        for dilations, right in (([1, 1], 90), ([1, 2], 60), ([2, 2], 90)):
            leave_scored(tmp_path / f"{dilations}-{seed}", dilations, seed, right)
        for path in tmp_path.glob("*-1"):
            shutil.copyfile(
                path.with_name(path.name[:-1] + "0") / "confusions-context.npy", path / "confusions-context.npy"
            )
    text = written_page(tmp_path)
    assert "2 seeds): every seed gave the same: they tell nothing of others" in text
    assert "2 seeds): the same score under every seed" in text and "real difference" not in text


def test_rows_that_differ_in_more_than_the_schedule_are_told_apart_and_not_compared(scored: Path) -> None:
    for seed in (0, 1):
        for path, width in ((scored / f"{name}{seed}" / "config.json", 1.0) for name in "abc"):
            path.write_text(json.dumps({**json.loads(path.read_text()), "data": {"root": "d"}, "w": {"width": width}}))
        other = {"data": {"root": "d"}, "w": {"width": 2.0}}
        leave_scored(scored / f"d{seed}", [1, 2], seed, 75, settings=other)
    rows = write_leaderboard(scored)
    assert [row.name for row in rows] == ["1,1 (width=1.0)", "1,2 (width=2.0)", "2,2 (width=1.0)", "1,2 (width=1.0)"]
    assert rows[1].other_settings == {"w.width": 2.0}
    assert set(compared(scored)) == {"2,2 (width=1.0)", "1,2 (width=1.0)"}
    text = (scored / "leaderboard.md").read_text()
    assert "* differs in w.width: 1,2 (width=2.0)" in text
    assert "| 1,2 | width=2.0 | 7 |" in text


def test_context_settings_beside_the_dilations_are_part_of_the_schedule(tmp_path: Path) -> None:
    for seed in (0, 1):
        for noise, right in ((0.0, 90), (0.1, 60)):
            context = {"model": {"context": {"dilations": [1, 1], "noise_std": noise}}}
            leave_scored(tmp_path / f"{noise}-{seed}", [1, 1], seed, right + seed, settings=context)
    write_leaderboard(tmp_path)
    assert set(compared(tmp_path)) == {"1,1 (noise_std=0.1)"}


def test_runs_scored_on_other_images_of_the_same_number_are_not_paired(scored: Path) -> None:
    for seed in (0, 1):
        shutil.rmtree(scored / f"b{seed}")
        leave_scored(scored / f"b{seed}", [1, 2], seed, 60 + 0.1 * seed, images="bbbbbbbbbbbbbbbb")
    text = written_page(scored)
    assert [name.partition(" ")[0] for name in compared(scored)] == ["2,2"]
    assert "* scored on other images: 1,2 (images=bbbbbbbbbbbb)" in text


def test_runs_of_one_schedule_on_different_images_share_no_row(scored: Path) -> None:
    leave_scored(scored / "a2", [1, 1], 2, 90, images="bbbbbbbbbbbbbbbb")
    assert [sorted(row.runs) for row in leaderboard_rows(scored) if row.dilations == [1, 1]] == [["0", "1"], ["2"]]


def test_older_runs_that_do_not_name_their_images_are_paired_where_settings_and_sizes_agree(scored: Path) -> None:
    for seed in (0, 1):
        shutil.rmtree(scored / f"b{seed}")
        leave_scored(scored / f"b{seed}", [1, 2], seed, 60 + 0.1 * seed, images=None)
        leave_scored(scored / f"d{seed}", [3], seed, 60, images=None, num_images=29)
        leave_scored(scored / f"e{seed}", [4], seed, 60, images=None, settings={"data": {"val_split": "train"}})
    text = written_page(scored)
    assert {name.partition(" ")[0] for name in compared(scored)} == {"1,2", "2,2"}
    assert "* scored on other images: 3" in text and "* differs in data.val_split: 4 (val_split=train)" in text


def test_gains_are_those_of_the_same_runs(sweep: Path) -> None:
    """Seed 0 began with a context module and has no front end to compare with; seed 1 gained 0.2 and 0.0, 2 lost."""
    path = sweep / "a0" / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "identity": None}))
    row = leaderboard_rows(sweep)[1]
    assert row.gain == pytest.approx((0.1 - 0.05) / 2)
    assert row.class_gain == pytest.approx({"road": (0.2 + 0.0) / 2, "car": (0.0 - 0.1) / 2})


def test_runs_of_an_older_version_share_a_row_and_a_changed_setting_has_one_of_its_own(sweep: Path) -> None:
    """A key that config.json does not have yet has its default; what the history tells was not so from the start."""
    before = len(leaderboard_rows(sweep))
    config = json.loads((sweep / "a0" / "config.json").read_text())
    new = {"resume_changes": [], "stages": ["frontend", "context", "joint"]}  # as by default
    (sweep / "a0" / "config.json").write_text(json.dumps({**config, **new}))
    assert len(leaderboard_rows(sweep)) == before
    summary = json.loads((sweep / "a1" / "summary.json").read_text())
    history = [{"changes": {"stage.context.lr": [0.5, 0.001], "runtime.threads": [1, 2]}}]
    (sweep / "a1" / "summary.json").write_text(json.dumps({**summary, "history": history}))
    rows = leaderboard_rows(sweep)
    assert len(rows) == before + 1
    assert any("lr=0.5, then 0.001" in row.name for row in rows)


def test_the_last_line_of_a_sweep_names_the_best_and_of_how_many(sweep: Path) -> None:
    line = best_line(leaderboard_rows(sweep))
    assert line == "best of 2 rows, 4 runs: 1,1 with 80.00 % mean IoU, +40.00 over the front end"
