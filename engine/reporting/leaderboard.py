"""The leaderboard of a sweep as files: which schedule came first, and how sure that is."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from engine.reporting.comparisons import Comparisons, compare_rows
from engine.reporting.figures import write_png
from engine.reporting.leaderboard_figure import leaderboard_figure
from engine.reporting.leaderboard_page import csv_table, page, score
from engine.reporting.leaderboard_rows import NAME as NAME
from engine.reporting.leaderboard_rows import Row, leaderboard_rows
from engine.runs.files import locked, write_json, write_text
from engine.runs.folder import SUMMARY_NAME
from engine.runs.progress import judged_stage


def write_leaderboard(folder: Path, against: Sequence[int] = ()) -> list[Row]:
    """leaderboard.json (the rows), .csv, .md and .png, and comparisons.json in a sweep's folder; returns the rows.

    `against` as in `compare_rows`.
    """
    # Jobs that end at once write one after the other.
    with locked(folder / f".{NAME}.lock", on_wait=lambda: None, check=lambda: None):
        rows = leaderboard_rows(folder)
        _write(folder, rows, compare_rows(folder, rows, against))
    return rows


def best_line(rows: Sequence[Row]) -> str:
    """What came first, for the last lines of a sweep; empty if nothing finished."""
    if not rows:
        return ""
    best, num_runs = rows[0], sum(len(row.runs) for row in rows)
    gain = "" if best.gain is None else f", {100 * best.gain:+.2f} over the front end"
    return f"best of {len(rows)} rows, {num_runs} runs: {best.name} with {score(best)} % mean IoU{gain}"


def final_score(run: Path) -> float:
    """Mean IoU by which a run's schedule is judged, a fraction; 0 if the run is not finished."""
    path = run / SUMMARY_NAME
    if not path.exists():
        return 0.0
    stages = json.loads(path.read_text())["stages"]
    return float(stages[judged_stage(stages)]["mean_iou"])


def _write(folder: Path, rows: Sequence[Row], comparisons: Comparisons) -> None:
    write_json(folder / "comparisons.json", [asdict(comparison) for comparison in comparisons.compared])
    write_json(folder / f"{NAME}.json", [asdict(row) for row in rows])
    table = io.StringIO()
    csv.writer(table).writerows(csv_table(rows))
    write_text(folder / f"{NAME}.csv", table.getvalue())
    write_text(folder / f"{NAME}.md", page(rows, comparisons) + "\n")
    write_png(folder / f"{NAME}.png", leaderboard_figure(rows))
