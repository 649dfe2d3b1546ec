"""Training and scoring on several processes is training and scoring on one."""

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.process.stop import STOP_SIGNALS
from engine.runs import checkpoint
from tests.helpers import ranks
from tests.helpers.pictures import noise, write_pixels
from tests.helpers.programs import run

STAGES = ("frontend", "context", "joint")
SETTINGS = {"batch": 12, "steps": 4, "validate_steps": 2, "crop_px": "[64,64]", "schedule.warmup_steps": 0}
NUM_IMAGES = 7


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven images a split, of which a growing part is void: the last has a labelled column."""
    root = tmp_path_factory.mktemp("ranks")
    ids = np.random.default_rng(0).integers(0, 3, (64, 64)).astype(np.uint8)
    for split in ("train", "val"):
        for number in range(NUM_IMAGES):
            label_HW = ids.copy()
            label_HW[:, 1 + 9 * (NUM_IMAGES - 1 - number) :] = 255
            write_pixels(root / "set" / split / "images" / f"{number}.png", noise(64, 64, seed=number))
            write_pixels(root / "set" / split / "labels" / f"{number}.png", label_HW)
    return root


def words(run_dir: str, **settings: object) -> list[str]:
    """A run on the set of the fixture, without dropout, whose masks depend on the number of processes."""
    of_stages = {f"stage.{stage}.{key}": value for stage in STAGES for key, value in {**SETTINGS, **settings}.items()}
    return [
        *("data=folder", "data.root=set", "data.folder.class_names=[a,b,c]", f"run.dir={run_dir}", "seed=1"),
        *("model.frontend.width=0.125", "model.frontend.dropout=0", "model.padding=zero"),
        *("runtime.device=cpu", "runtime.precision=float32", "runtime.threads=1", "runtime.workers=1"),
        *("run.log_steps=1", "run.num_pictures=1"),
        *(f"{key}={value}" for key, value in of_stages.items()),
    ]


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, Any]:
    done = run(folder, "train.py", *words("alone", maps="computed"))
    assert done.returncode == 0, done.stderr
    return checkpoint.load(folder / "alone" / "last.pt")


def largest_difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Of two networks' weights, over the largest weight of each tensor."""
    assert one["model"].keys() == other["model"].keys()
    pairs = [(one["model"][name], other["model"][name]) for name in one["model"]]
    return max(float((a - b).abs().max() / a.abs().max().clamp(min=1e-6)) for a, b in pairs)


@pytest.mark.parametrize("number", [2, 4])
def test_several_processes_take_the_steps_of_one_and_count_the_same_pixels(
    folder: Path, alone: dict[str, Any], number: int
) -> None:
    """Void is uneven: a mean of the ranks' means would be far off. Seven images on 2 and 4 ranks, none of them twice.

    The gradients differ by the order of their sums alone, and so do the weights after four steps of three stages.
    """
    code, output = ranks.run(folder, number, "train.py", *words(f"of_{number}", maps="computed"))
    assert code == 0, output
    together = checkpoint.load(folder / f"of_{number}" / "last.pt")
    assert largest_difference(alone, together) < 1e-4
    assert together["runtime"]["processes"] == number and "processes" not in alone["runtime"]
    for stage in STAGES:
        one, other = (np.load(folder / name / f"confusions-{stage}.npy") for name in ("alone", f"of_{number}"))
        assert len(one) == NUM_IMAGES and one.sum() > 0
        np.testing.assert_array_equal(one, other)
    for stage in ("context", "joint"):
        cells = [content["progress"]["results"][stage]["effective_cells"] for content in (alone, together)]
        assert cells[0] == pytest.approx(cells[1], rel=1e-3)
    assert output.count("== context: 4 steps") == 1, "one voice"


def test_a_checkpoint_is_scored_by_three_processes_as_by_one(folder: Path, alone: dict[str, Any]) -> None:
    request = ["checkpoint=alone/best.pt", "threads=1", "workers=0"]
    assert run(folder, "eval.py", *request, "output=one").returncode == 0
    code, output = ranks.run(folder, 3, "eval.py", *request, "output=three")
    assert code == 0, output
    assert (folder / "one" / "scores.json").read_text() == (folder / "three" / "scores.json").read_text()
    assert output.count("mean IoU") == 1, "one voice"


def test_images_are_labelled_by_three_processes_as_by_one_and_none_twice(folder: Path, alone: dict[str, Any]) -> None:
    request = ["checkpoint=alone/best.pt", "input=set/val/images", "threads=1", "outputs=[ids,entropy]"]
    assert run(folder, "predict.py", *request, "output=by_one").returncode == 0
    code, output = ranks.run(folder, 3, "predict.py", *request, "output=by_three")
    assert code == 0 and f"inputs: {NUM_IMAGES}; labelled: {NUM_IMAGES}" in output, output
    for kind in ("ids", "entropy"):
        files = sorted((folder / "by_one" / kind).iterdir())
        assert len(files) == NUM_IMAGES
        assert all(file.read_bytes() == (folder / "by_three" / kind / file.name).read_bytes() for file in files)
    lines = (folder / "by_three" / "inputs.jsonl").read_text().splitlines()
    assert len(lines) == NUM_IMAGES == len({json.loads(line)["name"] for line in lines})
    code, output = ranks.run(folder, 2, "predict.py", *request, "output=by_three")
    assert code == 0 and f"there already: {NUM_IMAGES}" in output, output


def stopped_at(folder: Path, run_dir: str, number: signal.Signals, restarts: int = 0) -> str:
    """Start a run of two processes, send the second a signal after the first checkpoint, return what was printed."""
    process = ranks.start(folder, 2, "train.py", *long_words(run_dir), restarts=restarts)
    ranks.wait_until((folder / run_dir / "last.pt").exists)
    workers = ranks.children(process.pid)
    assert len(workers) == 2
    os.kill(workers[1], number)
    assert process.wait(ranks.TIMEOUT_S) == (0 if restarts else 1)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers), "no orphan"
    return (folder / "output.txt").read_text()


def long_words(run_dir: str) -> list[str]:
    return [*words(run_dir, maps="computed", steps=60, validate_steps=30), "stages=[frontend]", "run.save_steps=1"]


@pytest.fixture(scope="module")
def uninterrupted(folder: Path) -> dict[str, Any]:
    code, output = ranks.run(folder, 2, "train.py", *long_words("uninterrupted"))
    assert code == 0, output
    return checkpoint.load(folder / "uninterrupted" / "last.pt")


def assert_equal_bits(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert all(torch.equal(weight, other["model"][name]) for name, weight in one["model"].items())


def test_a_signal_to_one_process_stops_all_after_one_step_and_they_go_on_as_if_nothing_had_been(
    folder: Path, uninterrupted: dict[str, Any]
) -> None:
    assert signal.SIGUSR1 in STOP_SIGNALS
    output = stopped_at(folder, "signalled", signal.SIGUSR1)
    assert output.count("stopped by SIGUSR1 at frontend step") == 1
    assert "-m torch.distributed.run --nproc-per-node=2" in output, "the command that resumes it"
    step = checkpoint.load(folder / "signalled" / "last.pt")["progress"]["step"]
    assert 0 < step < 60
    code, output = ranks.run(folder, 2, "train.py", *long_words("signalled"), "resume=auto")
    assert code == 0 and f"going on at step {step}" in output
    assert_equal_bits(uninterrupted, checkpoint.load(folder / "signalled" / "last.pt"))


def test_one_process_is_killed_and_torchrun_begins_again_where_the_run_was(
    folder: Path, uninterrupted: dict[str, Any]
) -> None:
    output = stopped_at(folder, "killed", signal.SIGKILL, restarts=1)
    assert "another process of this command was killed" in output and "going on at step" in output
    assert_equal_bits(uninterrupted, checkpoint.load(folder / "killed" / "last.pt"))


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGKILL])  # torchrun passes neither on
def test_processes_whose_torchrun_is_gone_save_and_end(
    folder: Path, uninterrupted: dict[str, Any], number: signal.Signals
) -> None:
    run_dir = f"without_torchrun_{number}"
    process = ranks.start(folder, 2, "train.py", *long_words(run_dir))
    ranks.wait_until((folder / run_dir / "last.pt").exists)
    workers = ranks.children(process.pid)
    process.send_signal(number)
    assert process.wait(ranks.TIMEOUT_S) == -number
    ranks.wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    assert "stopped by SIGTERM at frontend step" in (folder / "output.txt").read_text()
    code, output = ranks.run(folder, 2, "train.py", *long_words(run_dir), "resume=auto")
    assert code == 0 and "going on at step" in output
    assert_equal_bits(uninterrupted, checkpoint.load(folder / run_dir / "last.pt"))


def test_what_one_process_cannot_read_ends_all_and_is_said_once(folder: Path) -> None:
    """The list has seven names; the sixth, beyond what is checked quickly, holds an id that no class has."""
    write_pixels(folder / "set" / "bad" / "labels" / "5.png", np.full((64, 64), 9, np.uint8))
    for number in range(NUM_IMAGES):
        write_pixels(folder / "set" / "bad" / "images" / f"{number}.png", noise(64, 64, seed=number))
        if number != 5:
            write_pixels(folder / "set" / "bad" / "labels" / f"{number}.png", np.zeros((64, 64), np.uint8))
    code, output = ranks.run(folder, 2, "train.py", *words("bad", maps="computed"), "data.train_split=bad")
    assert code == 1
    said = output[: output.index("ChildFailedError")]  # the rest is torchrun's
    assert said.count("5.png: label id 9") == 1 and 'train.py", line' not in said and "was killed" not in said


def test_ctrl_c_ends_all_processes_and_is_said_once(folder: Path, alone: dict[str, Any]) -> None:
    for number in range(4):
        write_pixels(folder / "large" / f"{number}.png", noise(1500, 1500, seed=number))
    process = ranks.start(
        folder, 2, "predict.py", "checkpoint=alone/best.pt", "input=large", "threads=1", "output=interrupted"
    )
    ranks.wait_until((folder / "interrupted" / "predictions.json").exists)
    workers = ranks.children(process.pid)
    for worker in workers:
        os.kill(worker, signal.SIGINT)
    assert process.wait(ranks.TIMEOUT_S) == 1
    output = (folder / "output.txt").read_text()
    assert output.count("predict.py: interrupted") == 1 and "Traceback" not in output[: output.index("interrupted")]
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers), "no orphan"


@pytest.mark.parametrize(
    ("program", "more", "message"),
    [
        (
            "train.py",
            ["stage.joint.batch=3"],
            "stage.joint.batch=3: each of 2 processes takes the same number of images",
        ),
        ("train.py", ["-m", "seed=1,2"], "the jobs of a sweep are processes of their own"),
        ("analyze.py", [], "this command has one process"),
    ],
)
def test_what_several_processes_cannot_share_is_refused_once_however_late_the_first_of_them_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, more: Sequence[str], message: str
) -> None:
    late = "import os, time\nif os.environ.get('RANK') == '0':\n    time.sleep(3)\n"
    (tmp_path / "sitecustomize.py").write_text(late)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    settings = words("refused", maps="computed") if program == "train.py" else []
    code, output = ranks.run(folder, 2, program, *settings, *more)
    assert code == 1 and output.count(message) == 1
    assert not (folder / "refused" / "last.pt").exists()
