"""What a sweep has found: a row for each schedule, best first, from the summaries that its runs left."""

import csv
import io
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from configs.schema import Config
from engine.evaluation.significance import interval
from engine.reporting.comparisons import IMAGES, Comparisons, comparisons
from engine.reporting.figures import write_png
from engine.reporting.leaderboard_figure import leaderboard_figure
from engine.reporting.leaderboard_page import page, plain_cells, row_name, score
from engine.runs.changes import BY_NAME, flatten
from engine.runs.files import locked, write_json, write_text
from engine.runs.folder import CONFIG_NAME, SUMMARY_NAME

NAME = "leaderboard"
# Where a run lies and how it is repeated, not what it is.
NO_SETTINGS = ("seed", "run", "resume", "resume_changes", "cache")
DEFAULTS = asdict(Config(), dict_factory=lambda pairs: {key: getattr(value, "name", value) for key, value in pairs})
NAMED = ("model.context.dilations", "model.context.widths")  # what a schedule's name says


def leaderboard(folder: Path) -> list[dict[str, Any]]:
    """Rows for the finished runs below a folder, by falling mean of the mean IoU; runs without a schedule left out.

    Runs that differ in nothing but the seed share a row, and of one seed the run that ended first counts, so that
    repeating it neither adds a seed nor picks a better one. Besides the schedule's own figures a row has:

    * `name`: the schedule, and the settings in which it differs from other rows; `other_settings`: the latter by key,
      only keys that differ among these rows, without dilations and widths;
    * `mean_iou`, by seed, `mean`, `frontend` (of the same runs' front ends) and `gain` over it: fractions 0..1;
    * `interval`: half the 95 % confidence interval of the mean over seeds (None for one seed);
    * `class_gain`: the mean gain of every class over the front end;
    * `runs`: the folders by seed; `repetitions`: folders of runs that do not count, by seed;
    * `effective_cells`, `seconds`, `peak_memory_mib`: means over the runs.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for run in _finished_runs(folder):
        groups.setdefault(json.dumps(run["settings"], sort_keys=True), []).append(run)
    alike = [runs for group in groups.values() for runs in _by_images(group)]
    rows = []
    for runs, other in zip(alike, _differing_settings(alike), strict=True):
        row = _row(runs)
        rows.append({"name": row_name(row, other), **row, "other_settings": other})
    return sorted(rows, key=lambda row: -row["mean"])


def final_score(run: Path) -> float:
    """Mean IoU by which a run's schedule is judged, a fraction; 0 if the run is not finished."""
    path = run / SUMMARY_NAME
    if not path.exists():
        return 0.0
    stages = json.loads(path.read_text())["stages"]
    return float(stages[_scored_stage(stages)]["mean_iou"])


def write_leaderboard(folder: Path, against: Sequence[int] = ()) -> list[dict[str, Any]]:
    """leaderboard.json (the rows), .csv, .md and .png, and comparisons.json in a sweep's folder; returns the rows.

    `against` as in `comparisons`.
    """
    # Jobs that end at once write one after the other.
    with locked(folder / f".{NAME}.lock", on_wait=lambda: None, check=lambda: None):
        rows = leaderboard(folder)
        _write(folder, rows, comparisons(folder, rows, against))
    return rows


def best_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """What came first, for the last lines of a sweep; empty if nothing finished."""
    if not rows:
        return ""
    best, num_runs = rows[0], sum(len(row["runs"]) for row in rows)
    gain = "" if best["gain"] is None else f", {100 * best['gain']:+.2f} over the front end"
    return f"best of {len(rows)} rows, {num_runs} runs: {best['name']} with {score(best)} % mean IoU{gain}"


def _write(folder: Path, rows: Sequence[Mapping[str, Any]], found: Comparisons) -> None:
    write_json(folder / "comparisons.json", found.compared)
    write_json(folder / f"{NAME}.json", rows)
    table, flat = io.StringIO(), plain_cells(rows)
    writer = csv.DictWriter(table, list(flat[0]) if flat else [])
    writer.writeheader()
    writer.writerows(flat)
    write_text(folder / f"{NAME}.csv", table.getvalue())
    write_text(folder / f"{NAME}.md", page(rows, found) + "\n")
    write_png(folder / f"{NAME}.png", leaderboard_figure(rows))


def _finished_runs(folder: Path) -> Iterator[dict[str, Any]]:
    """Summaries of the runs below with a schedule, in the order in which they ended."""
    paths = sorted(folder.rglob(SUMMARY_NAME), key=lambda path: (path.stat().st_mtime_ns, path))
    for path in paths:
        summary = json.loads(path.read_text())
        if summary.get("schedule"):
            config = json.loads((path.parent / CONFIG_NAME).read_text())
            place = path.parent.relative_to(folder).as_posix()
            yield {**summary, "settings": _settings(config, summary), "place": place}


def _settings(config: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a run what it is, by dotted key; a key that its version did not have yet has its default.

    A setting that was another one in earlier sittings counts with all its values.
    """
    settings = {**flatten(DEFAULTS), **flatten(config)}
    for sitting in summary.get("history", []):
        for key, (then, _) in sitting["changes"].items():
            if key.startswith(BY_NAME) and not key.endswith(".validate_steps"):
                settings[key] = f"{then}, then {settings[key]}"
    return {key: value for key, value in settings.items() if key.partition(".")[0] not in NO_SETTINGS}


def _by_images(runs: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Runs of the same settings, apart where they were scored on different images.

    Summaries from before the images were recorded go with the others as long as those agree.
    """
    known = dict.fromkeys(_images([run]) for run in runs)
    if len([images for images in known if images]) < 2:
        return [list(runs)]
    return [[run for run in runs if _images([run]) == images] for images in known]


def _images(runs: Sequence[Mapping[str, Any]]) -> str | None:
    """What tells the scored images from others, None for summaries that do not say."""
    found = [run["scored_images"]["digest"] for run in runs if run.get("scored_images")]
    return found[0][:12] if found else None


def _differing_settings(alike: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """For every row the settings in which any two rows differ, but for what the schedule's name says; dotted keys."""
    images = [_images(runs) for runs in alike]
    settings = [runs[0]["settings"] for runs in alike]
    if len(set(images) - {None}) > 1:
        settings = [{**own, IMAGES: digest} for own, digest in zip(settings, images, strict=True)]
    keys = [key for key in dict.fromkeys(key for own in settings for key in own) if key not in NAMED]
    differing = [key for key in keys if any(own.get(key) != settings[0].get(key) for own in settings)]
    return [{key: own.get(key) for key in differing} for own in settings]


def _row(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`runs` differ in the seed alone, and come in the order in which they ended."""
    counted: dict[int, Mapping[str, Any]] = {}
    repetitions: dict[str, list[str]] = {}
    for run in sorted(runs, key=lambda run: run["seed"]):
        if run["seed"] in counted:
            repetitions.setdefault(str(run["seed"]), []).append(run["place"])
        else:
            counted[run["seed"]] = run
    stage = _scored_stage(runs[0]["stages"])
    scored = {seed: run["stages"][stage] for seed, run in counted.items()}
    scores = [result["mean_iou"] for result in scored.values()]
    # Scored before the context module learned anything; a run that began with one has none.
    fronts = [(run["identity"], scored[seed]) for seed, run in counted.items() if run["identity"]]
    return {
        **runs[0]["schedule"],
        "stage": stage,
        "effective_cells": statistics.mean(result["effective_cells"] for result in scored.values()),
        "seconds": statistics.mean(result["seconds"] for result in scored.values()),
        "peak_memory_mib": statistics.mean(run["peak_memory_mib"] for run in counted.values()),
        "mean_iou": {str(seed): result["mean_iou"] for seed, result in scored.items()},
        "runs": {str(seed): run["place"] for seed, run in counted.items()},
        "repetitions": repetitions,
        "mean": statistics.mean(scores),
        "interval": interval(scores),
        "frontend": statistics.mean(front["before"] for front, _ in fronts) if fronts else None,
        "gain": statistics.mean(result["mean_iou"] - front["before"] for front, result in fronts) if fronts else None,
        "class_gain": _class_gains(runs[0]["classes"], fronts),
    }


def _scored_stage(stages: Mapping[str, Any]) -> str:
    """The context stage, or else the last one."""
    return "context" if "context" in stages else list(stages)[-1]


def _class_gains(
    names: Sequence[str], fronts: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> dict[str, float | None]:
    """`fronts`: of every run its front end and what was made of it."""
    found: dict[str, float | None] = {}
    for position, name in enumerate(names):
        pairs = [(front["class_iou_before"][position], result["class_iou"][position]) for front, result in fronts]
        known = [after - before for before, after in pairs if after is not None and before is not None]
        found[name] = statistics.mean(known) if known else None
    return found
