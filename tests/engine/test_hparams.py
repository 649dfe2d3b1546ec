"""What a run leaves for tables of runs: TensorBoard's, and the leaderboard's."""

import json
from pathlib import Path
from typing import Any

from engine.evaluate import Identity
from engine.folder import RunFolder
from engine.progress import Progress, StageResult
from engine.summary import write_summary

HEAD: dict[str, Any] = {
    "config": {"experiment": "custom", "seed": 2, "stages": ["frontend", "context", "joint"],
               "model": {"context": {"dilations": [1, 2], "widths": []}},
               "stage": {"context": {"lr": 0.01, "maps": "cached"}}, "data": {"root": "d", "limit": None},
               "run": {"dir": "runs/x"}, "cache": {"frontend": True}},
    "schedule": {"dilations": [1, 2], "widths": [], "field_cells": 7, "field_px": 102, "holes_per_axis": 0, "gcd": 1,
                 "parameters": 1234, "multiply_adds": 5678},
    "data": {"samples": ["digest of train", "digest of val"], "sizes": [400, 100]},
    "classes": {"names": ["road", "car"]}, "geometry": {}, "runtime": {}, "versions": {},
}  # fmt: skip


def finished() -> Progress:
    results = {
        stage: StageResult(score, 0.9, 0.8, [score, score], best_step=1, steps=1, seconds=60.0, effective_cells=3.0)
        for stage, score in (("frontend", 0.5), ("context", 0.625), ("joint", 0.75))
    }
    return Progress("joint", results=results, identity=Identity(0.5, 0.5, 1.0, [0.5, 0.5]))


def test_the_summary_tells_which_images_were_scored(tmp_path: Path) -> None:
    write_summary(RunFolder(tmp_path), finished(), HEAD)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["scored_images"] == {"digest": "digest of val", "count": 100}
