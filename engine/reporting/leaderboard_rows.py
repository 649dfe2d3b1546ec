"""The rows of a leaderboard: one for each schedule, from the summaries that a sweep's runs left."""

import functools
import json
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from configs.schema import Config
from engine.evaluation.significance import interval
from engine.reporting.score_table import schedule_name
from engine.runs.changes import BY_NAME, flatten
from engine.runs.folder import CONFIG_NAME, SUMMARY_NAME
from engine.runs.header import ScheduleFigures
from engine.runs.progress import judged_stage

NAME = "leaderboard"  # of the files, before their extension
IMAGES = "images"  # the digest of the scored images stands under this key among the settings
# Where a run lies and how it is repeated, not what it is.
NO_SETTINGS = ("seed", "run", "resume", "resume_changes", "cache")
IN_SCHEDULE_NAME = ("model.context.dilations", "model.context.widths")


@dataclass(frozen=True)
class Row:
    """Runs that differ in the seed alone. Scores and gains are fractions; dicts by seed have its digits as keys.

    leaderboard.json and leaderboard.csv have these fields, in this order.
    """

    name: str  # the schedule, and the settings in which it differs from other rows
    dilations: list[int]
    widths: list[int]
    field_cells: int
    field_px: int
    holes_per_axis: int
    gcd: int
    parameters: int
    multiply_adds: int
    stage: str  # whose scores these are
    effective_cells: float  # this and the next two: means over the runs
    seconds: float
    peak_memory_mib: float
    mean_iou: dict[str, float]  # by seed
    runs: dict[str, str]  # folders by seed
    repetitions: dict[str, list[str]]  # folders of runs that do not count, by seed
    mean: float  # of mean IoU over the seeds
    interval: float | None  # half the 95 % confidence interval of the mean; None for one seed
    frontend: float | None  # mean IoU of the same runs' front ends; None for runs that began with a context module
    gain: float | None  # of the mean IoU over the front end
    class_gain: dict[str, float | None]  # of the IoU of every class over the front end
    other_settings: dict[str, Any]  # in which any two rows differ, by dotted key; without dilations and widths


@dataclass(frozen=True)
class Run:
    """A finished run with a context module. `folder` is relative to the leaderboard's."""

    folder: str
    summary: dict[str, Any]  # the content of summary.json
    settings: dict[str, Any]  # by dotted key

    @property
    def seed(self) -> int:
        return int(self.summary["seed"])

    @property
    def images(self) -> str | None:
        """What tells the scored images from others; None for summaries from before it was recorded."""
        scored_images = self.summary.get("scored_images")
        return scored_images["digest"][:12] if scored_images else None


def leaderboard_rows(folder: Path) -> list[Row]:
    """Rows for the finished runs below a folder, as `rows_of`; runs without a schedule left out."""
    return rows_of(_finished_runs(folder))


def rows_of(runs: Iterable[Run]) -> list[Row]:
    """Rows for runs in the order in which they ended, by falling mean of the mean IoU.

    Runs that differ in nothing but the seed share a row, and of one seed the run that ended first counts, so that
    repeating it neither adds a seed nor picks a better one.
    """
    by_settings: dict[str, list[Run]] = {}
    for run in runs:
        by_settings.setdefault(json.dumps(run.settings, sort_keys=True), []).append(run)
    groups = [group for runs in by_settings.values() for group in _by_images(runs)]
    rows = [_row(runs, settings) for runs, settings in zip(groups, _differing_settings(groups), strict=True)]
    return sorted(rows, key=lambda row: -row.mean)


def settings_text(settings: Mapping[str, Any]) -> str:
    """width=2, lr=0.1: the last part of a key where that tells it from the others, else all of it."""
    last_parts = Counter(key.rpartition(".")[2] for key in settings)
    short = {key if last_parts[last] > 1 else last: value
             for key, value in settings.items() if (last := key.rpartition(".")[2])}  # fmt: skip
    return ", ".join(f"{key}={plain_cell(value)}" for key, value in short.items() if value is not None)


def plain_cell(value: Any) -> int | float | str:
    """A number or a text for one cell: a list as 1,1,2, None as nothing."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "; ".join(f"{key}={plain_cell(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value) if isinstance(value, bool) else value


def summaries_below(folder: Path) -> list[Path]:
    """In the order in which their runs ended."""
    return sorted(folder.rglob(SUMMARY_NAME), key=lambda path: (path.stat().st_mtime_ns, path))


def _finished_runs(folder: Path) -> Iterator[Run]:
    for path in summaries_below(folder):
        summary = json.loads(path.read_text())
        if summary.get("schedule"):
            config = json.loads((path.parent / CONFIG_NAME).read_text())
            yield Run(path.parent.relative_to(folder).as_posix(), summary, run_settings(config, summary))


def run_settings(config: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a run what it is, by dotted key; a key that its version did not have yet has its default.

    A setting that was another one in earlier sittings counts with all its values.
    """
    settings = {**flatten(default_settings()), **flatten(config)}
    for sitting in summary.get("history", []):
        for key, (before, _) in sitting["changes"].items():
            if key.startswith(BY_NAME) and not key.endswith(".validate_steps"):
                settings[key] = f"{before}, then {settings[key]}"
    return {key: value for key, value in settings.items() if key.partition(".")[0] not in NO_SETTINGS}


@functools.cache
def default_settings() -> dict[str, Any]:
    return Config().model_dump()


def _by_images(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs of the same settings, apart where they were scored on different images.

    Runs that do not tell their images go with the others as long as those agree.
    """
    digests = dict.fromkeys(run.images for run in runs)
    if len([images for images in digests if images]) < 2:
        return [list(runs)]
    return [[run for run in runs if run.images == images] for images in digests]


def _differing_settings(groups: Sequence[Sequence[Run]]) -> list[dict[str, Any]]:
    """For every group the settings in which any two groups differ, but for what the schedule's name tells."""
    images = [next((run.images for run in runs if run.images), None) for runs in groups]
    settings = [runs[0].settings for runs in groups]
    if len(set(images) - {None}) > 1:
        settings = [{**own, IMAGES: digest} for own, digest in zip(settings, images, strict=True)]
    keys = [key for key in dict.fromkeys(key for own in settings for key in own) if key not in IN_SCHEDULE_NAME]
    differing = [key for key in keys if any(own.get(key) != settings[0].get(key) for own in settings)]
    return [{key: own.get(key) for key in differing} for own in settings]


def _row(runs: Sequence[Run], other_settings: dict[str, Any]) -> Row:
    """`runs` differ in the seed alone, and come in the order in which they ended."""
    counted: dict[int, Run] = {}
    repetitions: dict[str, list[str]] = {}
    for run in sorted(runs, key=lambda run: run.seed):
        if run.seed in counted:
            repetitions.setdefault(str(run.seed), []).append(run.folder)
        else:
            counted[run.seed] = run
    first = runs[0].summary
    schedule = {field.name: first["schedule"][field.name] for field in fields(ScheduleFigures)}
    stage = judged_stage(first["stages"])
    results = {seed: run.summary["stages"][stage] for seed, run in counted.items()}
    mean_ious = [result["mean_iou"] for result in results.values()]
    # The front end as the fresh context module found it, and what came of it; a run that began with one has none.
    pairs = [(run.summary["identity"], results[seed]) for seed, run in counted.items() if run.summary["identity"]]
    name, differing = schedule_name(schedule["dilations"], schedule["widths"]), settings_text(other_settings)
    return Row(
        name=f"{name} ({differing})" if differing else name,
        **schedule,
        stage=stage,
        effective_cells=statistics.mean(result["effective_cells"] for result in results.values()),
        seconds=statistics.mean(result["seconds"] for result in results.values()),
        peak_memory_mib=statistics.mean(run.summary["peak_memory_mib"] for run in counted.values()),
        mean_iou={str(seed): result["mean_iou"] for seed, result in results.items()},
        runs={str(seed): run.folder for seed, run in counted.items()},
        repetitions=repetitions,
        mean=statistics.mean(mean_ious),
        interval=interval(mean_ious),
        frontend=statistics.mean(front["before"] for front, _ in pairs) if pairs else None,
        gain=statistics.mean(result["mean_iou"] - front["before"] for front, result in pairs) if pairs else None,
        class_gain=_class_gains(first["classes"], pairs),
        other_settings=other_settings,
    )


def _class_gains(
    class_names: Sequence[str], pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> dict[str, float | None]:
    """`pairs`: of every run its front end's scores and the judged stage's."""
    gains: dict[str, float | None] = {}
    for position, name in enumerate(class_names):
        ious = [(front["class_iou_before"][position], result["class_iou"][position]) for front, result in pairs]
        known = [after - before for before, after in ious if after is not None and before is not None]
        gains[name] = statistics.mean(known) if known else None
    return gains
