"""Commands: seconds from the shell to the first step, against the imports alone."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import Task, Work
from benchmarks.rows import Group, Pairing

ROOT = Path(__file__).resolve().parent.parent
FIRST_STEP = "first loss"  # how the line begins that follows a run's first step
IMPORTS = "import torch, hydra, albumentations, cv2, pydantic"


@contextmanager
def at_first_step(words: Sequence[str], folder: str) -> Iterator[int]:
    """`python train.py` in this folder, once it has taken its first step: the process's number. It is ended behind."""
    command = [sys.executable, str(ROOT / "train.py"), *words]
    training = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert training.stdout is not None, "a pipe was requested"
    lines: list[str] = []
    try:
        for line in training.stdout:
            lines.append(line)
            if line.startswith(FIRST_STEP):
                yield training.pid
                return
    finally:
        training.kill()
        training.wait()
        training.stdout.close()
    raise RuntimeError(f"train.py took no step: {''.join(lines)}")


def first_step() -> Work:
    """`python train.py` until it has taken its first step; every call begins a run of its own."""
    cache = tempfile.mkdtemp()  # what the machine is good at is measured in the warm-up, and kept there

    def work() -> None:
        folder = tempfile.mkdtemp()
        with at_first_step([f"run.dir={folder}/run", f"cache.root={cache}"], folder):
            pass

    return work


def bare_imports() -> Work:
    """A Python that imports the libraries, and ends."""

    def work() -> None:
        subprocess.run([sys.executable, "-c", IMPORTS], check=True)

    return work


def groups(threads: int) -> Iterator[Group]:
    """Both are processes of their own, with the threads that they choose."""
    ours, imports = "train.py to its first step", "imports"
    tasks = {ours: Task(first_step), imports: Task(bare_imports)}
    yield Group(tasks, [Pairing("start-up: train.py to its first step", ours, None, limit_task=imports)])
