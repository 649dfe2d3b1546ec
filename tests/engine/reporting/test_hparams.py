"""What a run leaves for tables of runs: TensorBoard's, and the leaderboard's."""

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from configs.schema import RuntimeConfig
from engine.evaluation.evaluate import Identity
from engine.reporting.summary import hparams, write_summary
from engine.reporting.tensorboard import Board
from engine.runs.folder import RunFolder
from engine.runs.header import DataDigest
from engine.runs.progress import Progress, StageResult
from engine.runtime import choose_runtime
from tests.helpers.headers import run_header, schedule_figures

HEADER = run_header(
    config={"experiment": "custom", "seed": 2, "stages": ["frontend", "context", "joint"],
            "model": {"context": {"dilations": [1, 2], "widths": []}},
            "stage": {"context": {"lr": 0.01, "maps": "cached"}}, "data": {"root": "d", "limit": None},
            "run": {"dir": "runs/x"}, "cache": {"frontend": True}},
    data=DataDigest(["names of train", "names of val"], sizes=[400, 100], files=["c", "files of val"]),
    schedule=schedule_figures([1, 2], field_cells=7, field_px=102, holes_per_axis=0),
)  # fmt: skip
RUNTIME = choose_runtime(RuntimeConfig(precision="float32"))


def finished() -> Progress:
    results = {
        stage: StageResult(score, 0.9, 0.8, [score, score], best_step=1, steps=1, seconds=60.0, effective_cells=3.0)
        for stage, score in (("frontend", 0.5), ("context", 0.625), ("joint", 0.75))
    }
    return Progress("joint", results=results, identity=Identity(0.5, 0.5, 1.0, [0.5, 0.5]))


def left_in_tensorboard(folder: Path) -> EventAccumulator:
    board = Board(folder, 1, warn=pytest.fail)
    board.hparams(*hparams(finished(), HEADER, RUNTIME))
    board.close()
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def plugin_data(events: EventAccumulator, tag: str) -> Any:
    content = events.SummaryMetadata(tag).plugin_data.content
    return HParamsPluginData.FromString(content)


def test_tensorboard_s_table_leads_with_the_judged_score_then_gain_then_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py"])
    events = left_in_tensorboard(tmp_path)
    experiment = plugin_data(events, "_hparams_/experiment").experiment
    metrics = [info.name.tag for info in experiment.metric_infos]
    assert metrics == ["hparam/context_mean_iou", "hparam/gain", "hparam/seconds", "hparam/peak_memory_mib",
                       "hparam/effective_cells", "hparam/joint_mean_iou", "hparam/frontend_mean_iou"]  # fmt: skip
    assert [events.Scalars(tag)[-1].value for tag in metrics[:3]] == [0.625, 0.125, 60]
    settings = [info.name for info in experiment.hparam_infos]
    assert settings == ["dilations", "seed", "field_cells", "holes_per_axis", "multiply_adds"]
    values = plugin_data(events, "_hparams_/session_start_info").session_start_info.hparams
    assert values["dilations"].string_value == "1,2" and values["seed"].number_value == 2


def test_what_the_command_sets_is_a_column_and_where_it_runs_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["cache.frontend=true", "data.root=d", "stages=[frontend,context,joint]", "stage.context.lr=0.01",
             "data.limit=null", "model.context.dilations=[1,2]", "experiment=custom", "context=large", "seed=2",
             "run.dir=runs/x", "resume=auto"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    settings, _ = hparams(finished(), HEADER, RUNTIME)
    assert list(settings)[:6] == ["dilations", "stages", "stage.context.lr", "data.limit", "experiment", "seed"]
    assert settings["stage.context.lr"] == 0.01 and settings["stages"] == "frontend,context,joint"
    plugin = left_in_tensorboard(tmp_path)
    values = plugin_data(plugin, "_hparams_/session_start_info").session_start_info.hparams
    assert values["stage.context.lr"].number_value == 0.01 and values["data.limit"].string_value == "null"


def test_the_summary_tells_which_images_were_scored(tmp_path: Path) -> None:
    write_summary(RunFolder(tmp_path), finished(), HEADER, RUNTIME)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["scored_images"] == {"digest": sha256(b"names of val files of val").hexdigest(), "count": 100}
