"""Folders of runs as a training leaves them, written by hand: scores, settings, curves and confusion matrices."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.schema import Config
from engine.reporting.tensorboard import Board

STEPS = 40  # of every stage


def leave_run(
    folder: Path,
    stages: Mapping[str, Sequence[float | None]],
    *,
    classes: Sequence[str] = ("road", "car"),
    dilations: Sequence[int] = (1, 2),
    seed: int = 0,
    counts_NKK: NDArray[np.int64] | None = None,
    is_finished: bool = True,
    history: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """`stages` holds the IoU of every class; of the last one `counts_NKK` are the matrices of every image."""
    folder.mkdir(parents=True)
    config = Config(seed=seed).model_dump()
    config["model"]["context"]["dilations"] = list(dilations)
    (folder / "config.json").write_text(json.dumps(config))
    if is_finished:
        summary = _summary(stages, classes, dilations, seed, list(history))
        (folder / "summary.json").write_text(json.dumps(summary))
    _leave_events(folder, stages, classes)
    if counts_NKK is not None:
        np.save(folder / f"confusions-{list(stages)[-1]}.npy", counts_NKK)
    return folder


def mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known)


def _summary(
    stages: Mapping[str, Sequence[float | None]],
    classes: Sequence[str],
    dilations: Sequence[int],
    seed: int,
    history: list[Mapping[str, Any]],
) -> dict[str, Any]:
    results = {
        stage: {
            "mean_iou": mean(class_iou), "class_iou": list(class_iou), "pixel_accuracy": 0.9,
            "frequency_weighted_iou": 0.8, "best_step": STEPS, "steps": STEPS, "seconds": 100.0,
            "effective_cells": None if stage == "frontend" else 3.5,
        }
        for stage, class_iou in stages.items()
    }  # fmt: skip
    first = next(iter(stages.values()))
    return {
        "seed": seed, "experiment": "custom", "classes": list(classes), "stages": results,
        "identity": {"before": mean(first), "after": mean(first), "agreement": 1.0, "class_iou_before": list(first)},
        "schedule": {
            "dilations": list(dilations), "widths": [], "field_cells": 1 + 2 * sum(dilations), "field_px": 100,
            "holes_per_axis": 0, "gcd": 1, "parameters": 1234, "multiply_adds": 5678,
        },
        "peak_memory_mib": 512.0, "runtime": {"device": "cpu", "precision": "float32", "threads": 2},
        "versions": {"torch": "2.14.1"}, "history": history, "first_loss": 0.7,
        "scored_images": {"digest": "aaaa", "count": 2},
    }  # fmt: skip


def _leave_events(folder: Path, stages: Mapping[str, Sequence[float | None]], classes: Sequence[str]) -> None:
    board = Board(folder, 1, warn=lambda text: None)
    for place, (stage, class_iou) in enumerate(stages.items()):
        for step in range(10, STEPS + 1, 10):
            board.scalars({f"{stage}/loss": 1 / step, f"{stage}/lr": 0.001}, place * STEPS + step)
        known = {f"validation/iou/{name}": iou for name, iou in zip(classes, class_iou, strict=True) if iou is not None}
        board.scalars({"validation/mean_iou": mean(class_iou), **known}, (place + 1) * STEPS)
    board.close()
