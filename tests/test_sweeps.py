"""Whole sweeps of train.py: what they share, what they leave, and how they go on."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir

import analyze
from assembly.command import Command
from configs.compose import HYDRA_VERSION
from configs.errors import ConfigError
from configs.files import FOLDER
from configs.schema import Config
from engine.runs import checkpoint
from engine.sweeps.sweep import JobResult
from tests.helpers.programs import ROOT, run
from tests.helpers.ranks import wait_until
from tests.helpers.small_runs import small_run

TINY = [
    *small_run(["frontend", "context"], limit=3, steps=4, crop_px="[192,192]", validate_steps=4),
    "stage.context.maps=cached",
]


def status(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "status.json").read_text())
    return content


def sweep(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(folder, "train.py", "-m", *TINY, *words, timeout_s=400)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("sweep")
    return folder, sweep(folder, "model.context.dilations=[1,2],[2,1,1]")


def test_a_sweep_trains_its_front_end_once_and_every_schedule_on_it(
    swept: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = swept
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = sorted((folder / "runs" / "sweeps").glob("sweep-*/*/summary.json"))
    names = [job.parent.name.rpartition("-")[0] for job in jobs]
    assert names == ["dilations=1-2", "dilations=2-1-1"]
    assert all(status(job.parent)["status"] == "finished" for job in jobs)
    root = jobs[0].parent.parent.relative_to(folder)
    ending = (
        f"\ndone: 2 jobs finished, 0 failed\nleaderboard: {root}/leaderboard.md\n"
        r"best of 2 rows, 2 runs: [\d,]+ with [\d.]+ % mean IoU, [-+][\d.]+ over the front end\n"
        f"the same command with more values and run.root={root} goes on from here: finished jobs are skipped\n$"
    )
    assert re.search(ending, done.stdout)
    assert done.stdout.count("== frontend: 4 steps") == 1 and done.stdout.count("== frontend: taken from") == 1


def test_a_job_of_a_sweep_gives_the_bits_of_the_same_run_alone(
    swept: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, _ = swept
    words = [*TINY, "model.context.dilations=[2,1,1]", "run.dir=alone"]
    alone = run(folder, "train.py", *words)
    assert alone.returncode == 0, alone.stderr
    (job,) = (folder / "runs" / "sweeps").glob("sweep-*/dilations=2-1-1-*")
    one, other = (checkpoint.load(place / "context.pt")["model"] for place in (folder / "alone", job))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_same_command_again_does_nothing_twice(swept: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = swept
    again = sweep(folder, "model.context.dilations=[1,2],[2,1,1]")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("finished before") == 2 and "==" not in again.stdout
    assert again.stdout[again.stdout.index("\ndone:") :] == swept[1].stdout[swept[1].stdout.index("\ndone:") :]


def test_a_finished_sweep_takes_more_values_in_its_folder(
    swept: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    shutil.copytree(swept[0] / "runs", tmp_path / "runs")
    named = re.search(r"run\.root=\S+", swept[1].stdout)
    assert named is not None
    more = sweep(tmp_path, "model.context.dilations=[1,2],[2,1,1],[1]", named[0], "runtime.workers=1")
    assert more.returncode == 0, more.stderr
    assert more.stdout.count("finished before") == 2 and "done: 3 jobs finished, 0 failed" in more.stdout
    (root,) = (tmp_path / "runs" / "sweeps").iterdir()
    assert len(rows_of(root)) == 3


def test_processes_of_torchrun_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = sweep(tmp_path, "seed=0,1")
    assert done.returncode == 2 and "without torchrun" in done.stderr and not list(tmp_path.iterdir())


def test_the_leaderboard_stands_beside_the_jobs_and_is_rebuilt_from_disk(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    swept: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    (root,) = (swept[0] / "runs" / "sweeps").glob("sweep-*")
    rows = json.loads((root / "leaderboard.json").read_text())
    assert sorted(row["dilations"] for row in rows) == [[1, 2], [2, 1, 1]]
    before = (root / "leaderboard.md").read_text()
    (root / "leaderboard.md").unlink()
    monkeypatch.setattr(sys, "argv", ["analyze.py", f"runs={root}"])
    assert analyze.COMMAND.start(analyze.main) == 0
    assert (root / "leaderboard.md").read_text() == before and before in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["analyze.py", f"runs={root}", "against=[2,1,1]"])
    assert analyze.COMMAND.start(analyze.main) == 0
    assert "2,1,1 against the others" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["analyze.py", f"runs={root}", "against=[5]"])
    assert analyze.COMMAND.start(analyze.main) == 2
    assert "against=[5]: no finished run has these dilations; there are: [" in capsys.readouterr().err


def rows_of(root: Path) -> list[dict[str, Any]]:
    """The leaderboard without what the clock and the machine put into it."""
    rows = json.loads((root / "leaderboard.json").read_text())
    return [{key: value for key, value in row.items() if key not in ("seconds", "peak_memory_mib")} for row in rows]


@pytest.mark.parametrize("num_jobs", [3, pytest.param(12, marks=pytest.mark.slow)])
def test_a_sweep_killed_in_the_middle_ends_as_if_it_had_not_been(tmp_path: Path, num_jobs: int) -> None:
    schedules = ",".join(f"[1,{dilation}]" for dilation in range(1, num_jobs + 1))
    words = [f"model.context.dilations={schedules}", "run.root=swept"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    assert sweep(whole, *words).returncode == 0
    command = [sys.executable, str(ROOT / "train.py"), "-m", *TINY, *words]
    running = subprocess.Popen(command, cwd=killed, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 400
    while len(list(killed.glob("swept/*/config.json"))) < num_jobs // 2 + 1:  # that of the middle has begun
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    before = {path: path.stat().st_mtime_ns for path in killed.glob("swept/*/summary.json")}
    assert num_jobs // 2 <= len(before) < num_jobs
    done = sweep(killed, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished before") == len(before)
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())
    assert rows_of(killed / "swept") == rows_of(whole / "swept")


@pytest.mark.parametrize(
    "launcher", [["launcher=joblib"], ["hydra/launcher=submitit_local"]], ids=["joblib", "submitit"]
)
def test_a_launcher_runs_the_jobs_elsewhere_and_the_exit_code_still_tells(tmp_path: Path, launcher: list[str]) -> None:
    (tmp_path / "file").touch()
    done = sweep(tmp_path, *launcher, "cache.root=cache,file", "run.root=swept")
    assert done.returncode == 1, done.stdout + done.stderr
    found = {status(folder)["status"]: folder.name for folder in (tmp_path / "swept").glob("root=*")}
    assert found["finished"].startswith("root=cache") and found["failed"].startswith("root=file")
    assert len(rows_of(tmp_path / "swept")) == 1
    assert {path.name for path in (tmp_path / "swept").glob(".*")} <= {".leaderboard.lock", ".submitit"}
    page = done.stdout[done.stdout.index("\ndone: 1 job finished, 1 failed\n") :]
    reason = status(tmp_path / "swept" / found["failed"])["reason"]
    assert f"  failed (exit code 2): {found['failed']}: {reason}\nleaderboard: swept/leaderboard.md\n" in page


def test_a_job_whose_time_is_up_is_queued_once_more_and_goes_on_by_itself(tmp_path: Path) -> None:
    """submitit's local executor stands for Slurm: both send SIGUSR2 to the process that it has started."""
    local = ["hydra/launcher=submitit_local", "stages=[frontend]", "stage.frontend.steps=40", "run.save_steps=1"]
    words = ["-m", *TINY, *local, "stage.frontend.validate_steps=40", "seed=1", "run.root=swept"]
    command = [sys.executable, str(ROOT / "train.py"), *words]
    printed = tmp_path / "output.txt"
    with printed.open("w") as output:
        running = subprocess.Popen(command, cwd=tmp_path, stdout=output, stderr=output)
    wait_until(lambda: running.poll() is not None or list((tmp_path / "swept").rglob("last.pt")))
    (log,) = (tmp_path / "swept").rglob("log.txt")
    found = subprocess.run(["pgrep", "-f", f"submitit.core._submit .*{tmp_path.name}"], capture_output=True, text=True)
    (pid,) = map(int, found.stdout.split())
    os.kill(pid, signal.SIGUSR2)
    assert running.wait(240) == 0, printed.read_text()
    assert "stopped by" in log.read_text() and "done: 1 job finished, 0 failed\n" in printed.read_text()


def test_optuna_looks_for_the_best_schedule_and_keeps_what_is_null(tmp_path: Path) -> None:
    words = ["sweep=optuna", "hydra.sweeper.n_trials=4", "model.context.dilations=[1],[1,2]", "run.root=swept"]
    done = sweep(tmp_path, *words, "model.pretrained=null")
    assert done.returncode == 0, done.stdout + done.stderr
    best = yaml.safe_load((tmp_path / "swept" / "optimization_results.yaml").read_text())
    rows = rows_of(tmp_path / "swept")
    assert best["best_value"] == rows[0]["mean"] and len(rows) <= 2
    assert best["best_params"]["model.context.dilations"] in ("[1]", "[1,2]")


def test_a_preset_sweeps_and_the_command_line_wins(tmp_path: Path) -> None:
    done = sweep(tmp_path, "sweep=schedules", "model.context.dilations=[1],[2]", "seed=4")
    assert done.returncode == 0, done.stderr
    (root,) = (tmp_path / "runs" / "sweeps").glob("sweep-*")
    rows = rows_of(root)
    assert sorted(row["dilations"] for row in rows) == [[1], [2]]
    assert all(list(row["mean_iou"]) == ["4"] for row in rows)


def test_every_preset_and_launcher_composes() -> None:
    for name in ("schedules", "optuna"):
        words = Command(Config, lambda config: 0, lambda *_: JobResult(0)).prepare(["-m", f"sweep={name}"])
        assert any(word.startswith("model.context.dilations=") for word in words) and f"sweep={name}" in words
    with initialize_config_dir(str(FOLDER), version_base=HYDRA_VERSION):
        slurm = hydra_compose("train", ["launcher=slurm"], return_hydra_config=True).hydra.launcher
    assert slurm._target_.endswith("SlurmLauncher") and slurm.gpus_per_node == 1


def test_slurm_is_refused_where_there_is_none(tmp_path: Path) -> None:
    if shutil.which("srun"):
        pytest.skip("there is one here")
    done = sweep(tmp_path, "launcher=slurm", "seed=0,1")
    assert done.returncode == 2 and "launcher=slurm: there is no srun here" in done.stderr
    assert not list(tmp_path.iterdir())


def test_how_to_sweep_is_refused_without_a_sweep_or_without_its_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    command = Command(Config, lambda config: 0)
    with pytest.raises(ConfigError, match="launcher=joblib: only a sweep is handed out; add -m"):
        command.prepare(["launcher=joblib"])
    monkeypatch.setattr("engine.sweeps.plan.find_spec", lambda _: None)
    with pytest.raises(ConfigError) as refusal:
        command.prepare(["-m", "launcher=slurm"])
    assert refusal.value.problems == [
        'launcher=slurm: hydra_plugins.hydra_submitit_launcher is not installed; pip install -e ".[slurm]"'
    ]
