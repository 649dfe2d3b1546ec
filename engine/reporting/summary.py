"""What a run says at its end: summary.json, a row of TensorBoard's table of runs, the last page."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from engine.reporting.commands import command, relative, resume_command, typed
from engine.reporting.score_table import schedule_name, stage_table
from engine.runs.changes import flatten
from engine.runs.folder import RunFolder
from engine.runs.header import DataDigest, RunHeader
from engine.runs.progress import Progress, judged_stage
from engine.runtime import Runtime

SHOWN_ANYWAY = ("model.context.dilations", "model.context.widths", "seed")
# Where and how, not what.
UNSHOWN = ("run.", "runtime.", "cache.", "resume", "data.root", "data.sbd_root", "data.coco_root")


def write_summary(folder: RunFolder, progress: Progress, header: RunHeader, runtime: Runtime) -> None:
    """summary.json: fractions 0..1, seconds; paths relative to the working directory."""
    folder.finish(
        {
            "stages": {name: asdict(result) for name, result in progress.results.items()},
            "best_checkpoint": relative(folder.best),
            "identity": asdict(progress.identity) if progress.identity else None,
            "first_loss": progress.first_loss,
            "classes": header.classes.names,
            "scored_images": _scored_images(header.data),
            "experiment": header.config["experiment"],
            "seed": header.config["seed"],
            "geometry": header.geometry,
            "schedule": asdict(header.schedule) if header.schedule else None,
            "peak_memory_mib": runtime.peak_memory_mib(),
            "history": header.history,
            "runtime": header.runtime,
            "versions": header.versions,
        }
    )


def _scored_images(data: DataDigest) -> dict[str, Any]:
    """What tells whether two runs were scored on the same images: names in their order, and what the files hold."""
    digest = sha256(f"{data.samples[1]} {data.files[1]}".encode()).hexdigest()
    return {"digest": digest, "count": data.sizes[1]}


def hparams(
    progress: Progress, header: RunHeader, runtime: Runtime
) -> tuple[dict[str, int | float | str], dict[str, float]]:
    """What a run with a context module was, and what it reached, for TensorBoard's table of runs.

    The table shows them in this order: the schedule, what the command line set, what the schedule sees and costs; then
    the score by which a leaderboard judges, its gain over the front end, what it took, and the other stages' scores.
    """
    schedule, identity = header.schedule, progress.identity
    assert schedule is not None, "no stage of this run trains a context module"
    judged = judged_stage(progress.results)
    result = progress.results[judged]
    settings = {
        "dilations": schedule_name(schedule.dilations, schedule.widths),
        **_settings_of_command_line(header.config),
        "seed": header.config["seed"],
        "field_cells": schedule.field_cells,
        "holes_per_axis": schedule.holes_per_axis,
        "multiply_adds": schedule.multiply_adds,
    }
    scores = {stage: result.mean_iou for stage, result in reversed(progress.results.items()) if stage != judged}
    results = {
        f"hparam/{judged}_mean_iou": result.mean_iou,
        **({"hparam/gain": result.mean_iou - identity.before} if identity else {}),
        "hparam/seconds": result.seconds,
        "hparam/peak_memory_mib": runtime.peak_memory_mib(),
        "hparam/effective_cells": result.effective_cells or 0.0,
        **{f"hparam/{stage}_mean_iou": score for stage, score in scores.items()},
    }
    return settings, results


def _settings_of_command_line(config: dict[str, Any]) -> dict[str, int | float | str]:
    """What this command sets and what changes the result, by key: a sweep's varied settings are among it."""
    values = flatten(config)
    typed_keys = (word.partition("=")[0].lstrip("+~") for word in sys.argv[1:] if "=" in word)
    keys = [key for key in typed_keys if key in values and key not in SHOWN_ANYWAY and not key.startswith(UNSHOWN)]
    return {key: _hparam(values[key]) for key in keys}


def _hparam(value: Any) -> int | float | str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return ",".join(map(str, value)) if isinstance(value, list) else typed(value)


def last_page(folder: RunFolder, progress: Progress, class_names: Sequence[str]) -> str:
    """The table front end -> context -> joint, the best checkpoint, and what to type next."""
    best = relative(folder.best)
    results = progress.results.values()
    minutes = sum(result.seconds for result in results if not result.taken) / 60
    shared_minutes = sum(result.seconds for result in results if result.taken) / 60
    others = f", and {shared_minutes:.1f} minutes of the run that trained the front end" if shared_minutes else ""
    return (
        f"\n{stage_table(class_names, progress.results)}\n\n"
        f"{minutes:.1f} minutes in all{others}; the best checkpoint is {best}\n"
        f"evaluate:  {command('eval.py', [f'checkpoint={best}'])}\n"
        f"resume:    {resume_command(folder)}"
    )
