"""A sweep's jobs stand alone: each leaves its folder and status, none stops another, none is run twice."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir

import analyze
from configs.compose import FOLDER, HYDRA_VERSION, ConfigError, _plan, _read, _sweep_problems, compose, entry_point
from configs.errors import AGAIN_S
from configs.schema import AnalyzeConfig, Config
from engine.runs import checkpoint
from engine.sweeps.job import run_job
from tests.helpers.programs import ROOT, run
from tests.helpers.small_runs import small_run

TINY = [
    *small_run(["frontend", "context"], limit=3, steps=4, crop_px="[192,192]", validate_steps=4),
    "stage.context.maps=cached",
]


def status(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "status.json").read_text())
    return content


def program(folder: Path, text: str) -> Path:
    path = folder / "program.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("raise RuntimeError('out of paper')", 1, "RuntimeError: out of paper"),
        ("import sys; sys.exit(3)", 3, "it left no message"),
        ("import sys; sys.exit('bad file')", 1, "bad file"),
        ("import os; os.kill(os.getpid(), 9)", -9, "killed from outside; most often the machine was out of memory"),
    ],
)
def test_a_job_that_fails_leaves_its_code_and_reason(tmp_path: Path, text: str, code: int, reason: str) -> None:
    assert run_job(program(tmp_path, text), ["a=1"], tmp_path / "job") == code
    found = status(tmp_path / "job")
    assert (found["status"], found["exit_code"], found["reason"], found["words"]) == ("failed", code, reason, ["a=1"])


def test_a_job_gets_its_settings_its_folder_and_resume_and_is_skipped_once_it_has_a_summary(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = program(
        tmp_path, "import pathlib, sys; pathlib.Path('told').open('a').write(' '.join(sys.argv[1:]) + '\\n')"
    )
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "job"
    assert run_job(script, ["seed=1"], folder) == 0
    assert (tmp_path / "told").read_text() == f"seed=1 run.dir={folder} resume=auto\n"
    assert status(folder)["status"] == "finished"
    (folder / "summary.json").write_text("{}")
    assert run_job(script, ["seed=1"], folder) == 0
    assert (tmp_path / "told").read_text().count("\n") == 1


SWEEP = """
import sys
from pathlib import Path
from configs.compose import entry_point
from configs.jobs import Done
from configs.schema import Config
from engine.sweeps.job import run_job

def job(words, folder, stops):
    return Done(run_job(Path("job.py"), words, folder, ["preloaded"], stops))

if __name__ == "__main__":
    sys.exit(entry_point("train", Config, lambda config: 1, job))
"""
# What a run does with signals. It saves for half a second, and is finished when it has been saved before.
JOB = """
import os, signal, sys, time
from pathlib import Path

folder = Path(next(word for word in sys.argv if word.startswith("run.dir="))[8:])
seed = folder.name[5]
asked = []

def receive(number, frame):
    asked.append(number)
    if len(asked) > 1:
        os._exit(128 + number)

if (folder / "saved").exists():
    (folder / "summary.json").write_text("{}")
    sys.exit()
if Path("listens").exists():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, receive)
Path("begun").write_text(str(os.getpid()))
Path("begun").rename(f"begun-{seed}")
while not asked or Path("is-deaf").exists():
    time.sleep(0.01)
time.sleep(0.5)
(folder / "saved").touch()
sys.exit(75)
"""
COMMAND = ["-m", "seed=1,2", "run.root=swept"]
GROUPS: list[int] = []  # of processes that a test started


def wait_until(happens: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def started(folder: Path, marks: Sequence[str], *, preloaded: str = "") -> "subprocess.Popen[str]":
    """A sweep of two jobs in a process group of its own, `marks` saying what its jobs do."""
    texts = {"sweep.py": SWEEP, "job.py": JOB, "preloaded.py": preloaded, **dict.fromkeys(marks, "")}
    for name, text in texts.items():
        (folder / name).write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "sweep.py", *COMMAND]
    parent = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, start_new_session=True)  # fmt: skip
    GROUPS.append(parent.pid)
    return parent


@pytest.fixture(autouse=True)
def no_process_stays() -> Iterator[None]:
    yield
    while GROUPS:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(GROUPS.pop(), signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize(
    ("number", "to_group", "times"),
    [
        (signal.SIGINT, True, 1),  # a terminal
        (signal.SIGHUP, True, 1),
        (signal.SIGTERM, True, 2),  # `timeout`: to the parent, and at once to the group
        pytest.param(signal.SIGTERM, False, 1, marks=pytest.mark.slow),
        pytest.param(signal.SIGUSR1, True, 1, marks=pytest.mark.slow),  # a batch system
        (signal.SIGUSR2, False, 1),
    ],
)
def test_a_sweep_that_is_asked_to_stop_saves_its_job_and_begins_no_other(
    tmp_path: Path, number: signal.Signals, to_group: bool, times: int
) -> None:
    parent = started(tmp_path, ["listens"])
    wait_until(lambda: (tmp_path / "begun-1").exists())
    for _ in range(times):
        (os.killpg if to_group else os.kill)(parent.pid, number)
    printed = parent.communicate(timeout=60)[0]
    assert parent.returncode == 75, printed
    (job,) = (tmp_path / "swept").glob("seed=*")
    assert (job / "saved").exists() and status(job)["status"] == "stopped"
    assert "stopped: 0 jobs finished, 0 failed, 1 stopped" in printed and "Traceback" not in printed
    assert not list((tmp_path / "swept").glob(".*"))


@pytest.mark.parametrize(("number", "to_group"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_a_job_that_is_stopped_before_it_trains_counts_as_stopped(
    tmp_path: Path, number: signal.Signals, to_group: bool
) -> None:
    parent = started(tmp_path, [])
    wait_until(lambda: (tmp_path / "begun-1").exists())
    (os.killpg if to_group else os.kill)(parent.pid, number)
    printed = parent.communicate(timeout=60)[0]
    assert parent.returncode == 75, printed
    (job,) = (tmp_path / "swept").glob("seed=*")
    assert status(job)["status"] == "stopped" and "Traceback" not in printed
    assert (job / "stderr.txt").read_text() == ""


def test_a_sweep_is_stopped_while_what_its_jobs_need_is_imported(tmp_path: Path) -> None:
    parent = started(
        tmp_path, ["listens"], preloaded="import pathlib, time; pathlib.Path('importing').touch(); time.sleep(50)"
    )
    wait_until(lambda: (tmp_path / "importing").exists())
    os.killpg(parent.pid, signal.SIGINT)
    printed = parent.communicate(timeout=20)[0]
    assert parent.returncode == 75 and not (tmp_path / "begun-1").exists(), printed
    (job,) = (tmp_path / "swept").glob("seed=*")
    assert status(job)["status"] == "stopped"


def test_a_second_signal_ends_the_job_at_once_and_the_sweep_with_it(tmp_path: Path) -> None:
    parent = started(tmp_path, ["listens", "is-deaf"])
    wait_until(lambda: (tmp_path / "begun-1").exists())
    pid = int((tmp_path / "begun-1").read_text())
    os.killpg(parent.pid, signal.SIGINT)
    time.sleep(AGAIN_S + 0.1)
    assert is_alive(pid) and parent.poll() is None
    os.killpg(parent.pid, signal.SIGINT)
    printed = parent.communicate(timeout=20)[0]
    assert parent.returncode == 75 and not is_alive(pid), printed
    (job,) = (tmp_path / "swept").glob("seed=*")
    assert status(job)["status"] == "stopped" and not (job / "saved").exists()


def test_a_job_whose_sweep_was_killed_saves_and_the_same_command_waits_for_it_and_goes_on(tmp_path: Path) -> None:
    parent = started(tmp_path, ["listens"])
    wait_until(lambda: (tmp_path / "begun-1").exists())
    pid = int((tmp_path / "begun-1").read_text())
    os.kill(pid, signal.SIGSTOP)  # for the whole time that the next command needs to begin
    parent.kill()
    parent.wait()
    (job,) = (tmp_path / "swept").glob("seed=*")
    again = started(tmp_path, ["listens"])
    assert again.stdout is not None
    first = [again.stdout.readline() for _ in range(2)]
    os.kill(pid, signal.SIGCONT)
    assert f"still running in another process, in swept/{job.name}; waiting for it" in first[1]
    wait_until(lambda: (tmp_path / "begun-2").exists())
    assert (job / "saved").exists() and not is_alive(pid)
    assert status(job)["status"] == "finished"
    os.kill(again.pid, signal.SIGTERM)
    again.communicate(timeout=60)
    assert again.returncode == 75


def test_a_server_that_is_killed_takes_its_job_along_and_the_next_job_gets_another(tmp_path: Path) -> None:
    parent = started(tmp_path, ["listens"])
    wait_until(lambda: (tmp_path / "begun-1").exists())
    pid = int((tmp_path / "begun-1").read_text())
    os.kill(int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
    wait_until(lambda: (tmp_path / "begun-2").exists())
    wait_until(lambda: not is_alive(pid))
    assert [(job / "saved").exists() for job in (tmp_path / "swept").glob("seed=1*")] == [True]
    os.kill(parent.pid, signal.SIGTERM)
    printed = parent.communicate(timeout=60)[0]
    assert parent.returncode == 75 and "stopped: 0 jobs finished, 1 failed, 1 stopped" in printed


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
    assert entry_point("analyze", AnalyzeConfig, analyze.main) == 0
    assert (root / "leaderboard.md").read_text() == before and before in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["analyze.py", f"runs={root}", "against=[2,1,1]"])
    assert entry_point("analyze", AnalyzeConfig, analyze.main) == 0
    assert "2,1,1 against the others" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["analyze.py", f"runs={root}", "against=[5]"])
    assert entry_point("analyze", AnalyzeConfig, analyze.main) == 2
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
        plan = _plan("train", Config, [f"sweep={name}"])
        line = _read("train", Config, plan.words, sweeping=True)
        assert plan.has_params and not plan.problems
        assert not line.problems and not _sweep_problems("train", Config, line.overrides)
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
    with pytest.raises(ConfigError, match="launcher=joblib: only a sweep is handed out; add -m"):
        compose(["launcher=joblib"])
    monkeypatch.setattr("configs.plans.find_spec", lambda _: None)
    line = _read("train", Config, ["launcher=slurm"], sweeping=True)
    assert line.problems == [
        'launcher=slurm: hydra_plugins.hydra_submitit_launcher is not installed; pip install -e ".[slurm]"'
    ]
