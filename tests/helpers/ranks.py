"""Programs of the project in several processes, as torchrun starts them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from tests.helpers.programs import ROOT

TIMEOUT_S = 240


def start(
    folder: Path, number: int, program: str, *words: str, restarts: int = 0, output: IO[bytes] | None = None
) -> "subprocess.Popen[str]":
    """torchrun; what it and its processes print goes to `folder`/output.txt, or to `output`, which is closed here."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={number}"]
    command = [*torchrun, f"--max-restarts={restarts}", str(ROOT / program), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with output or (folder / "output.txt").open("wb") as output:
        return subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, text=True, env=environment)


def run(folder: Path, number: int, program: str, *words: str, restarts: int = 0) -> tuple[int, str]:
    """torchrun's exit code, which is 1 whatever its processes', and all that was printed."""
    code = start(folder, number, program, *words, restarts=restarts).wait(TIMEOUT_S)
    return code, (folder / "output.txt").read_text()


def wait_until(condition: Callable[[], object]) -> None:
    until = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < until, "it never came to be"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    """The processes that a process has started, oldest first."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True)
    return [int(line) for line in found.stdout.split()]
