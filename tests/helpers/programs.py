"""Programs that import the project, in processes of their own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path, program: str, *words: str, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
    """One of the project's commands, as a shell runs it in `folder`."""
    command = [sys.executable, str(ROOT / program), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout_s)


def run_code(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """`python -c` in the project's folder."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def start_code(code: str, *arguments: object) -> "subprocess.Popen[str]":
    """As `run_code`, without waiting for the end; all three streams are pipes."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
