"""Steps for a machine with a GPU are taken in pieces, each once; packed archives bring what it lacks."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from benchmarks import gpu_pack, gpu_run, steps
from benchmarks.gpu_run import DONE, FAILED, MORE, Step
from configs.compose import compose
from tests.helpers.programs import ROOT

# Trains to the end where `saved` is there; else waits for a signal, saves and exits as train.py does.
TRAINING = """
import pathlib, signal, sys
saved = pathlib.Path(sys.argv[1])
def save(*_):
    saved.touch()
    sys.exit(75)
signal.signal(signal.SIGUSR1, save)
print("went on" if saved.exists() else "began", flush=True)
if not saved.exists():
    signal.pause()
"""


def step(name: str, code: str, *words: object, **settings: object) -> Step:
    return Step(name, [sys.executable, "-c", code, *map(str, words)], **settings)  # type: ignore[arg-type]


def states(folder: Path, todo: list[Step]) -> list[str]:
    found = [gpu_run.outcome_of(folder, step) for step in todo]
    return [outcome.state for outcome in found if outcome is not None]


def test_a_step_is_done_once_and_its_output_is_kept(tmp_path: Path) -> None:
    todo = [step("one", "print('a word')"), step("two", "print('another')")]
    assert gpu_run.piece(tmp_path, todo, 60) == DONE and states(tmp_path, todo) == ["done", "done"]
    again = [step("one", "raise SystemExit('done twice')"), todo[1]]
    assert gpu_run.piece(tmp_path, again, 60) == DONE
    text = gpu_run.summary(tmp_path, todo)
    assert "| one | done |" in text and "a word" in text and "another" in text


def test_a_step_that_fails_stops_no_other_and_its_words_are_in_the_summary(tmp_path: Path) -> None:
    todo = [step("one", "raise SystemExit('no such thing')"), step("two", "")]
    assert gpu_run.piece(tmp_path, todo, 60) == FAILED and states(tmp_path, todo) == ["failed", "done"]
    assert "no such thing" in gpu_run.summary(tmp_path, todo)


def test_a_step_for_which_too_little_is_left_is_not_begun(tmp_path: Path) -> None:
    todo = [step("one", ""), step("two", "", least_s=100), step("three", "")]
    assert gpu_run.piece(tmp_path, todo, 60) == MORE and states(tmp_path, todo) == ["done"]
    assert "| two | to come |" in gpu_run.summary(tmp_path, todo)
    assert gpu_run.piece(tmp_path, todo, 160) == DONE


def test_a_training_is_stopped_by_a_signal_and_goes_on_in_the_next_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_run, "SAVE_S", 20.0)
    todo = [step("training", TRAINING, tmp_path / "saved", goes_on=True)]
    assert gpu_run.piece(tmp_path, todo, 40) == MORE and states(tmp_path, todo) == ["stopped"]
    assert gpu_run.piece(tmp_path, todo, 40) == DONE
    assert (tmp_path / "results" / "training.txt").read_text().splitlines() == ["began", "went on"]


def test_what_cannot_go_on_begins_anew_once_and_is_then_given_up(tmp_path: Path) -> None:
    todo = [step("endless", "import signal; signal.pause()"), step("next", "")]
    assert gpu_run.piece(tmp_path, todo, 2) == MORE and states(tmp_path, todo) == ["stopped"]
    assert gpu_run.piece(tmp_path, todo, 2) == MORE and states(tmp_path, todo) == ["failed"]
    assert gpu_run.piece(tmp_path, todo, 60) == FAILED and states(tmp_path, todo) == ["failed", "done"]


def test_what_takes_too_long_is_given_up_at_once_and_the_next_is_taken(tmp_path: Path) -> None:
    todo = [step("endless", "import signal; signal.pause()", most_s=1.0), step("next", "")]
    assert gpu_run.piece(tmp_path, todo, 60) == FAILED and states(tmp_path, todo) == ["failed", "done"]


def test_a_step_waits_for_its_part_and_the_others_do_not(tmp_path: Path) -> None:
    todo = [step("training", "", needs=("data",)), step("other", "")]
    assert gpu_run.piece(tmp_path, todo, 60) == MORE and states(tmp_path, todo) == ["done"]
    gpu_pack.pack_data(tmp_path / "data.zip", gpu_pack.write_tiny(tmp_path / "made")[0])
    gpu_run.unpack(tmp_path)
    assert len(list((tmp_path / "data" / "val" / "labels").iterdir())) == 3
    assert gpu_run.piece(tmp_path, todo, 60) == DONE


def test_the_steps_have_files_of_their_own_and_the_networks_of_make_bench(tmp_path: Path) -> None:
    todo = gpu_run.steps(tmp_path, [], is_dry=False)
    assert len({gpu_run.file_name(step.name) for step in todo}) == len(todo)
    assert all(step.least_s < gpu_run.SECONDS for step in todo)
    assert tuple(steps.NETWORKS) == gpu_run.NETWORKS


def test_the_training_is_the_recipe_with_nothing_changed_but_places(tmp_path: Path) -> None:
    training = gpu_run.steps(tmp_path, ["stage.joint.steps=7"], is_dry=False)[-1]
    assert training.goes_on and list(training.command[1:3]) == ["train.py", "experiment=camvid"]
    (tmp_path / "data").mkdir()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "weights.safetensors").touch()
    config, recipe = compose(list(training.command[2:])), compose(["experiment=camvid", f"data.root={tmp_path}"])
    assert config.stage.joint == recipe.stage.joint.model_copy(update={"steps": 7})
    assert config.stage.frontend == recipe.stage.frontend and config.validation == recipe.validation
    assert config.model == recipe.model.model_copy(update={"pretrained": config.model.pretrained})


def test_a_package_is_packed_without_what_it_requires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "tiny_thing-1.0-py3-none-any.whl"
    with ZipFile(tmp_path / name, "w") as wheel:
        wheel.writestr("tiny_thing.py", "VALUE = 1\n")
        about = "tiny_thing-1.0.dist-info"
        metadata = "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\nRequires-Dist: absent-thing\n"
        wheel.writestr(f"{about}/METADATA", metadata)
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    gpu_pack.pack_packages(tmp_path / "packages.zip", ["tiny-thing"])
    gpu_run.unpack(tmp_path)
    assert (tmp_path / "packages" / "tiny_thing.py").read_text() == "VALUE = 1\n"


def test_what_is_too_heavy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data.zip").write_bytes(bytes(2**20))
    assert gpu_pack.report(tmp_path) == 0
    monkeypatch.setattr(gpu_pack, "LIMIT_MIB", 1)
    assert gpu_pack.report(tmp_path) == 1


@pytest.mark.slow
def test_all_of_it_runs_dry() -> None:
    done = subprocess.run([ROOT / "benchmarks" / "gpu.sh", "dry"], capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0 and "all is done" in done.stdout, done.stdout + done.stderr
