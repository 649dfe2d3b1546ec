"""What a sweep has found: a row for each schedule, best first, from the summaries that its runs left."""

import csv
import fcntl
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import UserError
from engine.compare import interval, paired_difference
from engine.folder import SUMMARY_NAME, write_json
from engine.leaderboard_figure import leaderboard_figure
from engine.pictures import write_png
from engine.table import schedule_name

NAME = "leaderboard"


def leaderboard(folder: Path) -> list[dict[str, Any]]:
    """Rows for the finished runs below a folder, by falling mean of the mean IoU; runs without a schedule left out.

    Runs that differ in nothing but the seed share a row. `mean_iou` and `gain` are fractions 0..1, by seed; `interval`
    is half the 95 % confidence interval of the mean over seeds (None for one seed); `class_gain` the mean gain of every
    class over the front end; `runs` the folders by seed; `effective_cells`, `seconds` and `peak_memory_mib` are means
    over the runs.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.rglob(SUMMARY_NAME)):
        summary = json.loads(path.read_text())
        if summary.get("schedule"):
            settings = json.loads((path.parent / "config.json").read_text())
            place = path.parent.relative_to(folder).as_posix()
            groups.setdefault(_all_but_seed(settings), []).append({**summary, "place": place})
    rows = [_row(sorted(runs, key=lambda run: run["seed"])) for runs in groups.values()]
    return sorted(rows, key=lambda row: -row["mean"])


def final_score(run: Path) -> float:
    """Mean IoU by which a run's schedule is judged, a fraction; 0 if the run is not finished."""
    path = run / SUMMARY_NAME
    if not path.exists():
        return 0.0
    stages = json.loads(path.read_text())["stages"]
    return float(stages[_scored_stage(stages)]["mean_iou"])


def comparisons(folder: Path, rows: Sequence[Mapping[str, Any]], against: Sequence[int] = ()) -> list[dict[str, Any]]:
    """One schedule (default: the best) against every other on the seeds that both have: see `paired_difference`.

    Raises UserError if no row has the dilations `against`.
    """
    chosen = _reference(rows, against)
    found = []
    for other in rows:
        if chosen is None or other is chosen:
            continue
        seeds = [seed for seed in chosen["runs"] if seed in other["runs"]]
        files = [
            [folder / row["runs"][seed] / f"confusions-{row['stage']}.npy" for seed in seeds] for row in (chosen, other)
        ]
        if not seeds or not all(file.exists() for file in files[0] + files[1]):
            continue
        first, second = (np.stack([np.load(file) for file in of_seeds]) for of_seeds in files)
        if first.shape == second.shape:
            gap = paired_difference(first, second)
            names = {"first": chosen["dilations"], "second": other["dilations"]}
            found.append(
                {**names, "seeds": seeds, "num_images": first.shape[1], **gap._asdict(), "is_real": gap.is_real}
            )
    return found


def _reference(rows: Sequence[Mapping[str, Any]], against: Sequence[int]) -> Mapping[str, Any] | None:
    """The row with these dilations; without any, the best one, if there is one."""
    if not against:
        return rows[0] if rows else None
    for row in rows:
        if row["dilations"] == list(against):
            return row
    known = " ".join(f"[{schedule_name(row['dilations'])}]" for row in rows)
    raise UserError(f"against=[{schedule_name(against)}]: no finished run has these dilations; there are: {known}")


def write_leaderboard(folder: Path, against: Sequence[int] = ()) -> list[dict[str, Any]]:
    """leaderboard.json (the rows), .csv, .md and .png, and comparisons.json in a sweep's folder; returns the rows.

    `against` as in `comparisons`.
    """
    with (folder / f".{NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # jobs that end at once write one after the other
        rows = leaderboard(folder)
        _write(folder, rows, comparisons(folder, rows, against))
    return rows


def _write(folder: Path, rows: Sequence[Mapping[str, Any]], compared: Sequence[Mapping[str, Any]]) -> None:
    write_json(folder / "comparisons.json", compared)
    write_json(folder / f"{NAME}.json", rows)
    with (folder / f"{NAME}.csv").open("w", newline="") as file:
        flat = [{key: value if isinstance(value, int | float) else json.dumps(value) for key, value in row.items()}
                for row in rows]  # fmt: skip
        writer = csv.DictWriter(file, list(flat[0]) if flat else [])
        writer.writeheader()
        writer.writerows(flat)
    (folder / f"{NAME}.md").write_text(page(rows, compared) + "\n")
    write_png(folder / f"{NAME}.png", leaderboard_figure(rows))


def page(rows: Sequence[Mapping[str, Any]], compared: Sequence[Mapping[str, Any]]) -> str:
    """The table, and how sure the first place is."""
    lines = [markdown(rows)]
    if compared:
        caution = "; one seed speaks of these runs only" if max(len(gap["seeds"]) for gap in compared) == 1 else ""
        first = schedule_name(compared[0]["first"])
        lines += ["", f"{first} against the others, on the same images and seeds{caution}:", ""]
    for gap in compared:
        bounds = f"{100 * gap['low']:+.2f} to {100 * gap['high']:+.2f}"
        verdict = "a real difference" if gap["is_real"] else "no difference beyond chance"
        seeds = f"{len(gap['seeds'])} seed{'s' if len(gap['seeds']) > 1 else ''}"
        lines.append(
            f"* {schedule_name(gap['second'])}: {100 * gap['mean']:+.2f} points ({bounds} at 95 %, {seeds}): {verdict}"
        )
    return "\n".join(lines)


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table that people read; mean IoU and gains in per cent."""
    titles = ["dilations", "field, cells", "in effect", "field, px", "holes", "parameters", "multiply-adds", "seconds",
              "MiB", "seeds", "mean IoU, %", "gain", "best class gain", "worst class gain"]  # fmt: skip
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    for row in rows:
        spread = "" if row["interval"] is None else f" ± {100 * row['interval']:.2f}"
        gains = sorted(((gain, name) for name, gain in row["class_gain"].items() if gain is not None), reverse=True)
        extremes = [f"{name} {100 * gain:+.1f}" for gain, name in (gains[0], gains[-1])] if gains else ["", ""]
        gain = "" if row["gain"] is None else f"{100 * row['gain']:+.2f}"
        cells = [
            schedule_name(row["dilations"], row["widths"]),
            row["field_cells"], f"{row['effective_cells']:.1f}", row["field_px"], row["holes_per_axis"],
            f"{row['parameters']:,}", f"{row['multiply_adds']:,}", f"{row['seconds']:.0f}",
            f"{row['peak_memory_mib']:.0f}", len(row["mean_iou"]), f"{100 * row['mean']:.2f}{spread}", gain, *extremes,
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _row(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`runs` differ in the seed alone."""
    stage = _scored_stage(runs[0]["stages"])
    scored = [run["stages"][stage] for run in runs]
    fronts = [run["identity"] for run in runs if run["identity"]]  # scored before the context module learned anything
    scores = [result["mean_iou"] for result in scored]
    return {
        **runs[0]["schedule"],
        "stage": stage,
        "effective_cells": statistics.mean(result["effective_cells"] for result in scored),
        "seconds": statistics.mean(result["seconds"] for result in scored),
        "peak_memory_mib": statistics.mean(run["peak_memory_mib"] for run in runs),
        "mean_iou": {str(run["seed"]): score for run, score in zip(runs, scores, strict=True)},
        "runs": {str(run["seed"]): run["place"] for run in runs},
        "mean": statistics.mean(scores),
        "interval": interval(scores),
        "gain": statistics.mean(scores) - statistics.mean(front["before"] for front in fronts) if fronts else None,
        "class_gain": _class_gains(runs[0]["classes"], scored, fronts),
    }


def _scored_stage(stages: Mapping[str, Any]) -> str:
    """The context stage, or else the last one."""
    return "context" if "context" in stages else list(stages)[-1]


def _class_gains(
    names: Sequence[str], scored: Sequence[Mapping[str, Any]], fronts: Sequence[Mapping[str, Any]]
) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for position, name in enumerate(names):
        pairs = [(one["class_iou"][position], front["class_iou_before"][position])
                 for one, front in zip(scored, fronts, strict=False)]  # fmt: skip
        known = [after - before for after, before in pairs if after is not None and before is not None]
        found[name] = statistics.mean(known) if known else None
    return found


def _all_but_seed(settings: Mapping[str, Any]) -> str:
    """Equal for runs that differ in the seed and in where they lie."""
    kept = {key: value for key, value in settings.items() if key not in ("seed", "run", "resume", "cache")}
    return json.dumps(kept, sort_keys=True)
