"""What a run says of itself: in every checkpoint, in summary.json, and on its last page."""

import platform
import shlex
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from engine.reporting.reporter import relative
from engine.reporting.score_table import schedule_name, stage_table
from engine.runs.folder import RunFolder
from engine.runs.progress import Progress
from engine.runs.resume import flatten
from engine.runtime import Runtime

PACKAGES = ("torch", "torchvision", "hydra-core", "albumentations", "numpy", "opencv-python-headless", "pillow")
PROJECT = Path(__file__).resolve().parents[2]
SHOWN_ANYWAY = ("model.context.dilations", "model.context.widths", "seed")
UNSHOWN = ("run.", "runtime.", "cache.", "resume", "data.root", "data.sbd_root")  # where and how, not what


def versions() -> dict[str, str]:
    """Of this project as pyproject.toml says, which need not be installed; of Python and of the libraries."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    libraries = {name: version(name) for name in PACKAGES}
    return {project["name"]: project["version"], "python": platform.python_version(), **libraries}


def header(
    config: dict[str, Any], class_names: Sequence[str], palette: Sequence[Sequence[int]], runtime: Runtime
) -> dict[str, Any]:
    """Plain data that lets `eval.py` work from a checkpoint alone; the caller adds `data` and `geometry`."""
    return {
        "config": config,
        "classes": {"names": list(class_names), "palette": [list(color) for color in palette]},
        "runtime": {
            "device": runtime.device.type,
            "precision": runtime.precision,
            "threads": runtime.threads,
        },
        "versions": versions(),
    }


def write_summary(folder: RunFolder, progress: Progress, head: dict[str, Any], runtime: Runtime) -> None:
    """summary.json: fractions 0..1, seconds; paths relative to the working directory."""
    folder.finish(
        {
            "stages": {name: asdict(result) for name, result in progress.results.items()},
            "best_checkpoint": relative(folder.best),
            "identity": asdict(progress.identity) if progress.identity else None,
            "first_loss": progress.first_loss,
            "classes": head["classes"]["names"],
            "scored_images": _scored_images(head["data"]),
            "experiment": head["config"]["experiment"],
            "seed": head["config"]["seed"],
            "geometry": head["geometry"],
            "schedule": head.get("schedule"),
            "peak_memory_mib": runtime.peak_memory_mib(),
            "history": head.get("history", []),
            "runtime": head["runtime"],
            "versions": head["versions"],
        }
    )


def _scored_images(data: dict[str, Any]) -> dict[str, Any]:
    """What tells whether two runs were scored on the same images: names in their order, and what the files hold."""
    _, names = data["samples"]
    _, files = data["files"]
    return {"digest": sha256(f"{names} {files}".encode()).hexdigest(), "count": data["sizes"][1]}


def hparams(
    progress: Progress, head: dict[str, Any], runtime: Runtime
) -> tuple[dict[str, int | float | str], dict[str, float]]:
    """What a run with a context module was, and what it reached, for TensorBoard's table of runs.

    The table shows them in this order: the schedule, what the command line set, what the schedule sees and costs; then
    the score by which a leaderboard judges, its gain over the front end, what it took, and the other stages' scores.
    """
    schedule, identity = head["schedule"], progress.identity
    judged = "context" if "context" in progress.results else progress.stage
    result = progress.results[judged]
    settings = {
        "dilations": schedule_name(schedule["dilations"], schedule["widths"]),
        **_settings_of_command_line(head["config"]),
        "seed": head["config"]["seed"],
        **{name: schedule[name] for name in ("field_cells", "holes_per_axis", "multiply_adds")},
    }
    others = {stage: other.mean_iou for stage, other in reversed(progress.results.items()) if stage != judged}
    results = {
        f"hparam/{judged}_mean_iou": result.mean_iou,
        **({"hparam/gain": result.mean_iou - identity.before} if identity else {}),
        "hparam/seconds": result.seconds,
        "hparam/peak_memory_mib": runtime.peak_memory_mib(),
        "hparam/effective_cells": result.effective_cells or 0.0,
        **{f"hparam/{stage}_mean_iou": score for stage, score in others.items()},
    }
    return settings, results


def _settings_of_command_line(config: dict[str, Any]) -> dict[str, int | float | str]:
    """What this command sets and what changes the result, by key: a sweep's varied settings are among it."""
    values = flatten(config)
    words = (word.partition("=")[0].lstrip("+~") for word in sys.argv[1:] if "=" in word)
    keys = [key for key in words if key in values and key not in SHOWN_ANYWAY and not key.startswith(UNSHOWN)]
    return {key: _hparam(values[key]) for key in keys}


def _hparam(value: Any) -> int | float | str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def last_page(folder: RunFolder, progress: Progress, class_names: Sequence[str]) -> str:
    """The table front end -> context -> joint, the best checkpoint, and what to type next."""
    best = relative(folder.best)
    results = progress.results.values()
    minutes = sum(result.seconds for result in results if not result.taken) / 60
    taken = sum(result.seconds for result in results if result.taken) / 60
    others = f", and {taken:.1f} minutes of the run that trained the front end" if taken else ""
    return (
        f"\n{stage_table(class_names, progress.results)}\n\n"
        f"{minutes:.1f} minutes in all{others}; the best checkpoint is {best}\n"
        f"evaluate:  {command('eval.py', [f'checkpoint={best}'])}\n"
        f"resume:    {resume_command(folder)}"
    )


def resume_command(folder: RunFolder) -> str:
    """This very command, in this folder, going on from its newest checkpoint."""
    kept = [word for word in sys.argv[1:] if not word.startswith(("run.dir=", "resume="))]
    return command("train.py", [*kept, f"run.dir={relative(folder.path)}", "resume=auto"])


def command(program: str, words: Sequence[str]) -> str:
    """A line to paste. Its paths are those of the working directory, so outside the project's folder it names both."""
    if Path.cwd() == PROJECT:
        return shlex.join([python(), program, *words])
    return f"cd {shlex.quote(str(Path.cwd()))} && {shlex.join([python(), str(PROJECT / program), *words])}"


def python() -> str:
    """The running interpreter as one would type it here."""
    executable = Path(sys.executable)
    try:
        return str(executable.relative_to(Path.cwd()))
    except ValueError:
        return str(executable) if executable.parent.parent != Path(sys.base_prefix) else "python"
