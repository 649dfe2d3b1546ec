"""Runs of all three stages on a few tiny images, with everything that draws random numbers switched on."""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, equal

from configs.compose import compose
from configs.schema import STAGES, Config
from engine.process.exits import guarded
from engine.runs import checkpoint
from engine.runs.folder import LAST_NAME
from tests.helpers.pictures import noise, write_pixels
from tests.torture.processes import Process, answer
from train import train

NUM_IMAGES = 6  # of a split: with batches of four, an epoch ends within the second step and after the third
SIDE_PX = 64
DEFAULT = {
    "batch": 4,
    "steps": 4,
    "validate_steps": 2,
    "crop_px": "[48,48]",
    "schedule.warmup_steps": 0,
    "maps": "computed",
}
OF_TRAINING = ("model", "optimizer", "rng")  # parts of a checkpoint
ALL = (*OF_TRAINING, "progress")
OF_CLOCK = ("seconds",)  # keys of its parts that no two sittings share
OF_MACHINE = ("/images_per_second", "/seconds", "/peak_memory_mib")  # how scalars end that no two sittings share


def write_set(folder: Path) -> None:
    """Images of which a growing part is void: the last has a few labelled columns."""
    ids_HW = np.random.default_rng(0).integers(0, 3, (SIDE_PX, SIDE_PX)).astype(np.uint8)
    for split in ("train", "val"):
        for number in range(NUM_IMAGES):
            label_HW = ids_HW.copy()
            label_HW[:, 4 + 10 * (NUM_IMAGES - 1 - number) :] = 255
            write_pixels(folder / split / "images" / f"{number}.png", noise(SIDE_PX, SIDE_PX, seed=number))
            write_pixels(folder / split / "labels" / f"{number}.png", label_HW)


def words(data: Path, *more: str, **of_stages: object) -> tuple[str, ...]:
    """The overrides of a run; `of_stages` are settings of every stage, `__` stands for the dot."""
    settings = {**DEFAULT, **{key.replace("__", "."): value for key, value in of_stages.items()}}
    return (
        *("data=folder", f"data.root={data}", "data.folder.class_names=[a,b,c]", "seed=1"),
        *("model.frontend.width=0.125", "model.padding=zero", "model.context.dilations=[1,2,1]"),
        *("runtime.device=cpu", "runtime.precision=float32", "runtime.threads=1", "runtime.workers=0"),
        *("run.log_steps=1", "run.num_pictures=0", "run.save_steps=1", f"cache.root={data.parent / 'cache'}"),
        *("data.augment.scale_min=0.8", "data.augment.scale_max=1.25", "data.augment.rotation_deg=10"),
        *("data.augment.gamma=0.4", "data.augment.noise=0.02", "data.augment.class_balance=0.5"),
        *(f"stage.{stage}.{key}={value}" for stage in STAGES for key, value in settings.items()),
        *more,
    )


@cache
def composed(overrides: tuple[str, ...]) -> Config:
    return compose(list(overrides))


def run(config: Config, run_dir: Path) -> int:
    """What `train.py run.dir=DIR resume=auto` does; the exit code."""
    in_folder = config.run.model_copy(update={"dir": str(run_dir)})
    return guarded(lambda: train(config.model_copy(update={"run": in_folder, "resume": "auto"})), "")


def start(overrides: tuple[str, ...], run_dir: Path) -> Process:
    """Begin a run, or go on with it, in a process of its own."""
    config = composed(overrides)
    return Process(lambda: run(config, run_dir), run_dir.with_suffix(".txt"))


def finished(overrides: tuple[str, ...], run_dir: Path) -> str:
    """Run to the end; what went wrong, or nothing."""
    process = start(overrides, run_dir)
    code = process.end()
    return f"ended with {code}: {process.last_words}" if code else ""


def same(one: Path, other: Path) -> str:
    """Where two finished runs differ first, all that they keep at tolerance 0; empty where they agree."""

    def question() -> str:
        names = [sorted(path.name for path in folder.glob("*.pt")) for folder in (one, other)]
        if names[0] != names[1]:
            return f"files: {names[0]} and {names[1]}"
        for name in names[0]:
            if place := _different(one / name, other / name, ALL):
                return place
        return difference(_scalars(one), _scalars(other), "logged scalars")

    return answer(question, other.with_suffix(".compared"))


def same_training(one: Path, other: Path) -> str:
    """As `same`, of what the last step left alone: not how often was validated, logged and saved."""
    return answer(lambda: _different(one / LAST_NAME, other / LAST_NAME, OF_TRAINING), other.with_suffix(".compared"))


def same_weights(one: Path, other: Path, names: Sequence[str]) -> str:
    """As `same`, of the weights in these files of both alone."""

    def question() -> str:
        return next(filter(None, (_different(one / name, other / name, ("model",)) for name in names)), "")

    return answer(question, other.with_suffix(".compared"))


def _different(one: Path, other: Path, parts: tuple[str, ...]) -> str:
    contents = [checkpoint.load(path) for path in (one, other)]
    return difference(*({part: content.get(part) for part in parts} for content in contents), one.name)


def difference(one: Any, other: Any, where: str) -> str:
    """The first place where nested plain data and tensors differ, in a bit; empty where they agree."""
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return f"{where}: keys"
        places = (difference(one[key], other[key], f"{where}.{key}") for key in one if key not in OF_CLOCK)
        return next(filter(None, places), "")
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return f"{where}: {len(one)} and {len(other)}"
        parts = zip(one, other, strict=True)
        return next(filter(None, (difference(*pair, f"{where}[{at}]") for at, pair in enumerate(parts))), "")
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return "" if one.dtype == other.dtype and equal(one, other) else where
    is_same = one == other or (
        isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    )
    return "" if is_same else f"{where}: {one} and {other}"


def _scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Points by tag. A validation that was scored and not saved is scored again; its points are there twice."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    tags = (tag for tag in events.Tags()["scalars"] if not tag.endswith(OF_MACHINE))
    return {tag: sorted({(event.step, event.value) for event in events.Scalars(tag)}) for tag in tags}
