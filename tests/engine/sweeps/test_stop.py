"""A job leaves its folder and status, none stops another, and a sweep that is asked to stop loses nothing."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from configs.errors import AGAIN_S
from engine.process.stop import stop_signals
from engine.sweeps import stop as sweep_stop
from engine.sweeps.job import run_job

ROOT = Path(__file__).resolve().parents[3]


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
        tmp_path, "import pathlib, sys; pathlib.Path('command').open('a').write(' '.join(sys.argv[1:]) + '\\n')"
    )
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "job"
    assert run_job(script, ["seed=1"], folder) == 0
    assert (tmp_path / "command").read_text() == f"seed=1 run.dir={folder} resume=auto\n"
    assert status(folder)["status"] == "finished"
    (folder / "summary.json").write_text("{}")
    assert run_job(script, ["seed=1"], folder) == 0
    assert (tmp_path / "command").read_text().count("\n") == 1


SWEEP = """
import sys
from pathlib import Path
import hydra
from assembly.command import Command
from configs.files import FOLDER
from configs.schema import Config
from engine.process.stop import stop_signals
from engine.sweeps import stop as sweep_stop
from engine.sweeps.job import run_job
from engine.sweeps.sweep import JobResult

def job(words, folder, stops):
    return JobResult(run_job(Path("job.py"), words, folder, ["preloaded"], stops))

COMMAND = Command(Config, lambda config: 1, job)

@hydra.main(version_base="1.3", config_path=str(FOLDER), config_name="train")
def main(composition):
    return COMMAND.task(composition)

if __name__ == "__main__":
    sys.exit(COMMAND.start(main))
"""
# What a run does with signals. It saves for half a second, and is finished when it has been saved before.
JOB = """
import os, signal, sys, time
from pathlib import Path

folder = Path(next(word for word in sys.argv if word.startswith("run.dir="))[8:])
seed = folder.name[5]
signals = []

def receive(number, frame):
    signals.append(number)
    if len(signals) > 1:
        os._exit(128 + number)

if (folder / "saved").exists():
    (folder / "summary.json").write_text("{}")
    sys.exit()
if Path("listens").exists():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, receive)
Path("begun").write_text(str(os.getpid()))
Path("begun").rename(f"begun-{seed}")
while not signals or Path("is-deaf").exists():
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


@pytest.mark.parametrize("whole_sweep_stops", [False, True])
def test_a_launcher_answers_the_signal_to_its_own_process_unless_the_whole_sweep_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_sweep_stops: bool
) -> None:
    monkeypatch.setattr(sweep_stop, "signals_received", [])
    monkeypatch.setattr(sweep_stop, "handlers", {})
    before = {number: signal.getsignal(number) for number in stop_signals()}
    answered: list[int] = []
    signal.signal(signal.SIGUSR2, lambda number, _: answered.append(number))
    stop = sweep_stop.SweepStop(tmp_path / "stop", os.getpid() + 1)
    try:
        for _ in range(2):  # jobs of one process
            stop.listen()
        os.kill(os.getpid(), signal.SIGUSR2)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert stop.count() == 1 and answered == []
    if whole_sweep_stops:
        (tmp_path / "stop").touch()
    stop.hand_on()
    assert answered == ([] if whole_sweep_stops else [signal.SIGUSR2])
