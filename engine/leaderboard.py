"""What a sweep has found: a row for each schedule, best first, from the summaries that its runs left."""

import csv
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import t as student_t

from engine.folder import SUMMARY_NAME, write_json

NAME = "leaderboard"
CONFIDENCE = 0.95


def leaderboard(folder: Path) -> list[dict[str, Any]]:
    """Rows for the finished runs below a folder, by falling mean of the mean IoU; runs without a schedule left out.

    Runs that differ in nothing but the seed share a row. `mean_iou` and `gain` are fractions 0..1, by seed; `interval`
    is half the 95 % confidence interval of the mean over seeds (None for one seed); `class_gain` the mean gain of every
    class over the front end; `seconds` and `peak_memory_mib` are means over the runs.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.rglob(SUMMARY_NAME)):
        summary = json.loads(path.read_text())
        if summary.get("schedule"):
            settings = json.loads((path.parent / "config.json").read_text())
            groups.setdefault(_all_but_seed(settings), []).append(summary)
    rows = [_row(sorted(runs, key=lambda run: run["seed"])) for runs in groups.values()]
    return sorted(rows, key=lambda row: -row["mean"])


def write_leaderboard(folder: Path) -> list[dict[str, Any]]:
    """leaderboard.json, .csv and .md in a sweep's folder; returns the rows."""
    rows = leaderboard(folder)
    write_json(folder / f"{NAME}.json", rows)
    with (folder / f"{NAME}.csv").open("w", newline="") as file:
        flat = [{key: value if isinstance(value, int | float) else json.dumps(value) for key, value in row.items()}
                for row in rows]  # fmt: skip
        writer = csv.DictWriter(file, list(flat[0]) if flat else [])
        writer.writeheader()
        writer.writerows(flat)
    (folder / f"{NAME}.md").write_text(markdown(rows) + "\n")
    return rows


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table that people read; mean IoU and gains in per cent."""
    titles = ["dilations", "field, cells", "field, px", "holes", "parameters", "multiply-adds", "seconds", "MiB",
              "seeds", "mean IoU, %", "gain", "best class gain", "worst class gain"]  # fmt: skip
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    for row in rows:
        spread = "" if row["interval"] is None else f" ± {100 * row['interval']:.2f}"
        gains = sorted(((gain, name) for name, gain in row["class_gain"].items() if gain is not None), reverse=True)
        extremes = [f"{name} {100 * gain:+.1f}" for gain, name in (gains[0], gains[-1])] if gains else ["", ""]
        widths = f" x {row['widths']}" if row["widths"] else ""
        gain = "" if row["gain"] is None else f"{100 * row['gain']:+.2f}"
        cells = [
            f"{','.join(map(str, row['dilations']))}{widths}",
            row["field_cells"], row["field_px"], row["holes_per_axis"], f"{row['parameters']:,}",
            f"{row['multiply_adds']:,}", f"{row['seconds']:.0f}", f"{row['peak_memory_mib']:.0f}", len(row["mean_iou"]),
            f"{100 * row['mean']:.2f}{spread}", gain, *extremes,
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def interval(values: Sequence[float]) -> float | None:
    """Half the 95 % confidence interval of the mean, by Student's t; None for a single value."""
    if len(values) < 2:
        return None
    quantile = float(student_t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    return float(quantile * statistics.stdev(values) / len(values) ** 0.5)


def _row(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`runs` differ in the seed alone. Scored is the context stage, or else the last one."""
    stage = "context" if "context" in runs[0]["stages"] else list(runs[0]["stages"])[-1]
    scored = [run["stages"][stage] for run in runs]
    fronts = [run["stages"]["frontend"] for run in runs if "frontend" in run["stages"] and stage != "frontend"]
    scores = [result["mean_iou"] for result in scored]
    gains = [result["mean_iou"] - front["mean_iou"] for result, front in zip(scored, fronts, strict=False)]
    return {
        **runs[0]["schedule"],
        "stage": stage,
        "seconds": statistics.mean(result["seconds"] for result in scored),
        "peak_memory_mib": statistics.mean(run["peak_memory_mib"] for run in runs),
        "mean_iou": {str(run["seed"]): score for run, score in zip(runs, scores, strict=True)},
        "mean": statistics.mean(scores),
        "interval": interval(scores),
        "gain": statistics.mean(gains) if gains else None,
        "class_gain": _class_gains(runs[0]["classes"], scored, fronts),
    }


def _class_gains(
    names: Sequence[str], scored: Sequence[Mapping[str, Any]], fronts: Sequence[Mapping[str, Any]]
) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for position, name in enumerate(names):
        pairs = [(one["class_iou"][position], front["class_iou"][position])
                 for one, front in zip(scored, fronts, strict=False)]  # fmt: skip
        known = [after - before for after, before in pairs if after is not None and before is not None]
        found[name] = statistics.mean(known) if known else None
    return found


def _all_but_seed(settings: Mapping[str, Any]) -> str:
    """Equal for runs that differ in the seed and in where they lie."""
    kept = {key: value for key, value in settings.items() if key not in ("seed", "run", "resume", "cache")}
    return json.dumps(kept, sort_keys=True)
