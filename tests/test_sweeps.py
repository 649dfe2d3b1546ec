"""A sweep's jobs stand alone: each leaves its folder and status, none stops another, none is run twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import analyze
from configs.compose import entry_point
from configs.schema import AnalyzeConfig
from engine import checkpoint
from engine.sweep import run_job
from tests.small_runs import small_run

ROOT = Path(__file__).resolve().parent.parent
TINY = small_run(["frontend", "context"], limit=3, steps=4, crop_px="[64,64]", validate_steps=4)


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


def test_being_asked_to_stop_reaches_the_job_and_ends_the_sweep(tmp_path: Path) -> None:
    script = program(
        tmp_path,
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\n"
        "pathlib.Path('ready').touch()\n"
        "time.sleep(60)",
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import sys; from pathlib import Path; from engine.sweep import run_job; "
         f"sys.exit(run_job(Path({str(script)!r}), [], Path({str(tmp_path / 'job')!r})))"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < deadline and parent.poll() is None
        time.sleep(0.02)
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(30) == 75
    assert status(tmp_path / "job")["status"] == "stopped"


def sweep(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "train.py"), "-m", *TINY, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400)


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
    assert done.stdout.count("== frontend: 4 steps") == 1 and done.stdout.count("== frontend: taken from") == 1


def test_a_job_of_a_sweep_gives_the_bits_of_the_same_run_alone(
    swept: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, _ = swept
    words = [*TINY, "model.context.dilations=[2,1,1]", "run.dir=alone"]
    alone = subprocess.run([sys.executable, str(ROOT / "train.py"), *words], cwd=folder, capture_output=True, text=True)
    assert alone.returncode == 0, alone.stderr
    (job,) = (folder / "runs" / "sweeps").glob("sweep-*/dilations=2-1-1-*")
    one, other = (checkpoint.load(place / "context.pt")["model"] for place in (folder / "alone", job))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_same_command_again_does_nothing_twice(swept: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, _ = swept
    again = sweep(folder, "model.context.dilations=[1,2],[2,1,1]")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("finished before") == 2 and "==" not in again.stdout


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
