"""The forecast of a run's memory: beside the peak that is measured then, and what it advises."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assembly import memory
from assembly.feed import Feed
from assembly.memory import Forecaster
from configs.compose import compose
from configs.schema import Config, RuntimeConfig
from data.build import open_images
from engine.runtime import choose_runtime
from models.build import build_segmenter
from tests.helpers.programs import run

MIB = 2**20
NARROW = ["model.frontend.width=0.5", "data.limit=4"]


def forecaster(config: Config) -> Forecaster:
    train_set, val_set = (open_images(config.data, split) for split in (config.data.train_split, config.data.val_split))
    model, _ = build_segmenter(config.model, train_set.classes.num_classes, (), seed=0)
    runtime = choose_runtime(RuntimeConfig(precision="float32", threads=1))
    return Forecaster(Feed(config, train_set, val_set, model, runtime, lambda _: None, lambda: None))


def lines(monkeypatch: pytest.MonkeyPatch, config: Config, stage: str, available_mib: float) -> list[str]:
    """With so much memory left."""
    monkeypatch.setattr(memory, "available_bytes", lambda _: int(available_mib * MIB))
    return list(forecaster(config).lines(stage, getattr(config.stage, stage), has_state=False))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "words"),
    [
        ("float32", ["frontend=small", "stage.frontend.batch=8"]),
        ("bfloat16", ["frontend=small", "stage.frontend.batch=8", "stage.frontend.loss.grid=pixels"]),
        (
            "float32",
            ["frontend=light", "model.padding=zero", "stage.frontend.batch=2", "stage.frontend.crop_px=[128,128]"],
        ),
    ],
)
def test_a_run_says_before_its_first_step_what_it_takes_at_most(
    tmp_path: Path, precision: str, words: list[str]
) -> None:
    steps = ["stage.frontend.steps=2", "stage.frontend.validate_steps=2", "data.limit=4", "run.num_pictures=1"]
    here = ["run.dir=run", "runtime=cpu", "runtime.threads=1", "runtime.workers=0", f"runtime.precision={precision}"]
    done = run(tmp_path, "train.py", "stages=[frontend]", *words, *steps, *here)
    said = re.search(r"^memory: about ([\d,]+) MiB at most", done.stdout, re.MULTILINE)
    assert done.returncode == 0 and said is not None, done.stdout + done.stderr
    assert done.stdout.index("memory: about") < done.stdout.index("first loss")
    measured = json.loads((tmp_path / "run" / "summary.json").read_text())["peak_memory_mib"]
    assert float(said[1].replace(",", "")) == pytest.approx(measured, rel=0.15)


def test_where_there_is_enough_nothing_is_advised(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = lines(monkeypatch, compose(NARROW), "frontend", available_mib=1e6)
    assert line.startswith("memory: about ") and "activations" in line


def test_every_change_that_is_advised_is_enough_and_the_next_larger_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose([*NARROW, "stage.frontend.batch=8"])
    settings, made = config.stage.frontend, forecaster(config)
    # A little more than with half the batch at once.
    available = made.forecast("frontend", settings.model_copy(update={"accumulation": 2})).to_come + MIB
    _, warning = lines(monkeypatch, config, "frontend", available / MIB)
    assert warning.startswith("warning: the stage is expected to take ")
    assert "stage.frontend.accumulation=2," in warning

    def to_come(**changes: Any) -> int:
        return made.forecast("frontend", settings.model_copy(update=changes)).to_come

    found = re.search(r"'stage\.frontend\.crop_px=\[(\d+),(\d+)\]'", warning)
    assert found is not None and found[1] == found[2]
    side = int(found[1])
    assert side % 8 == 0
    assert to_come(crop_px=[side, side]) <= available < to_come(crop_px=[side + 8, side + 8])
    checkpoints = to_come(checkpoint_activations=True) <= available
    assert ("stage.frontend.checkpoint_activations=true" in warning) == checkpoints
    bfloat16 = made.forecast("frontend", settings, is_bfloat16=True).to_come <= available
    assert ("runtime.precision=bfloat16" in warning) == bfloat16


def test_where_scoring_is_too_much_it_is_what_is_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose([*NARROW, "stage.frontend.batch=1", "stage.frontend.crop_px=[64,64]", "validation.batch=64"])
    _, warning = lines(monkeypatch, config, "frontend", available_mib=100)
    assert "scoring alone takes" in warning and "lower validation.batch" in warning


def test_whole_images_on_kept_maps_are_not_to_be_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose([*NARROW, "context=large", "stage.context.maps=cached", "stage.context.batch=64"])
    made = forecaster(config).forecast("context", config.stage.context)
    assert made.kept_maps > 0
    _, warning = lines(monkeypatch, config, "context", made.to_come / MIB - 1)
    assert "accumulation=2" in warning and "crop_px" not in warning


def test_the_state_of_a_resumed_optimizer_is_there_already() -> None:
    config = compose([*NARROW, "stage.frontend.optimizer.name=adamw"])
    made = forecaster(config)
    fresh = made.forecast("frontend", config.stage.frontend)
    resumed = replace(made, has_state=True).forecast("frontend", config.stage.frontend)
    assert resumed.memory.optimizer == 0 and fresh.scoring - resumed.scoring == fresh.memory.optimizer > 0


def test_scoring_on_kept_blocks_takes_the_layers_behind_them() -> None:
    """Not those of the context module alone, whose maps to learn from are the front end's."""
    config = compose([*NARROW, "stage.context.maps=cached"])
    made = forecaster(config)
    from_images, from_blocks, from_class_maps = (
        replace(made, scored_after=blocks).forecast("context", config.stage.context).scoring for blocks in (0, 4, None)
    )
    assert from_images > from_blocks > from_class_maps
