"""Sets at the edge of what can be learned from: trained to the end, with finite weights, every pixel scored once."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from data.labels import Labels
from engine.runs import checkpoint
from tests.helpers import ranks
from tests.helpers.pictures import noise, write_pixels
from tests.helpers.programs import run

STAGES = ("frontend", "context")
VOID = 255


def labelled(height: int, width: int, *ids: int) -> Labels:
    """The ids in turn, pixel by pixel."""
    return np.resize(np.array(ids, dtype=np.uint8), (height, width))


CASES: dict[str, tuple[list[Labels], list[Labels], dict[str, object]]] = {  # labels of train and val, other settings
    "one image of one pixel": ([labelled(1, 1, 1)], [labelled(1, 1, 1)], {}),
    "one row, one column": ([labelled(1, 40, 0, 1), labelled(40, 1, 1, 2)], [labelled(1, 9, 0), labelled(9, 1, 1)], {}),
    "fewer images than workers and than a batch": ([labelled(20, 20, 0, 1, 2)], [labelled(20, 20, 0)], {"batch": 5}),
    "a batch of void alone": (
        [labelled(20, 20, VOID), labelled(20, 20, 0, 1)],
        [labelled(20, 20, 0, VOID)],
        {"batch": 1},
    ),
    "a class that never occurs": (
        [labelled(20, 20, 0, 1)] * 2,
        [labelled(20, 20, 0, 1)],
        {"loss.class_weights": "sqrt_inverse"},
    ),
    "an image of void alone to score": ([labelled(20, 20, 0, 1, 2)], [labelled(8, 8, VOID), labelled(20, 20, 2)], {}),
}


def write_set(folder: Path, case: str) -> list[str]:
    """The words of a run on it: two stages of four steps."""
    train, val, more = CASES[case]
    for split, labels in (("train", train), ("val", val)):
        for number, label_HW in enumerate(labels):
            height, width = label_HW.shape
            write_pixels(folder / "set" / split / "images" / f"{number}.png", noise(height, width, seed=number))
            write_pixels(folder / "set" / split / "labels" / f"{number}.png", label_HW)
    settings = {"batch": 2, "steps": 4, "validate_steps": 2, "crop_px": "[40,40]", "schedule.warmup_steps": 0, **more}
    return [
        *("data=folder", "data.root=set", "data.folder.class_names=[a,b,c]", "model.frontend.width=0.125"),
        *("run.log_steps=1", "run.dir=run", "runtime.threads=1", "runtime.workers=3", "runtime.device=cpu"),
        *(f"stage.{stage}.{key}={value}" for stage in STAGES for key, value in settings.items()),
        f"stages=[{','.join(STAGES)}]",
    ]


def assert_sound(folder: Path, labels: Sequence[Labels]) -> None:
    content = checkpoint.load(folder / "run" / "last.pt")
    assert all(bool(tensor.isfinite().all()) for tensor in content["model"].values())
    scalars = EventAccumulator(str(folder / "run"), size_guidance={"scalars": 0}).Reload()
    losses = [event.value for stage in STAGES for event in scalars.Scalars(f"{stage}/loss")]
    assert len(losses) == 4 * len(STAGES) and np.isfinite(losses).all() and max(losses) > 0
    for stage in STAGES:
        confusions_NKK = np.load(folder / "run" / f"confusions-{stage}.npy")
        for confusion_KK, label_HW in zip(confusions_NKK, labels, strict=True):
            truth = np.bincount(label_HW[label_HW != VOID], minlength=3)
            np.testing.assert_array_equal(confusion_KK.sum(axis=1), truth)
    results = json.loads((folder / "run" / "summary.json").read_text())["stages"]
    assert all(0 <= result["mean_iou"] <= 1 for result in results.values())


@pytest.mark.parametrize("case", CASES)
def test_a_small_set_is_trained_and_scored(case: str, tmp_path: Path) -> None:
    done = run(tmp_path, "train.py", *write_set(tmp_path, case))
    assert done.returncode == 0, done.stdout + done.stderr
    assert_sound(tmp_path, CASES[case][1])


@pytest.mark.parametrize("case", ["one image of one pixel", "a batch of void alone"])
def test_three_processes_share_fewer_images_than_they_are(case: str, tmp_path: Path) -> None:
    """Two of them have no image to score, and one at least has nothing but void to learn from."""
    words = write_set(tmp_path, case)
    code, output = ranks.run(tmp_path, 3, "train.py", *words, *(f"stage.{stage}.batch=3" for stage in STAGES))
    assert code == 0, output
    assert_sound(tmp_path, CASES[case][1])
