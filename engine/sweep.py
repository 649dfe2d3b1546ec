"""One job of a sweep: a run in a process and a folder of its own, so that nothing it does can end the others."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from engine.exits import OK, STOPPED
from engine.folder import SUMMARY_NAME, write_json

STATUS_NAME, ERRORS_NAME = "status.json", "stderr.txt"


def run_job(program: Path, words: Sequence[str], folder: Path) -> int:
    """Run `program words...` in `folder` unless it is finished there; an unfinished one goes on where it stopped.

    Leaves status.json: `status` (running, finished, stopped or failed), `exit_code`, `reason`, `seconds` of this
    sitting, `words`. Returns the exit code; a signal's number is negative.
    """
    if (folder / SUMMARY_NAME).exists():
        print(f"    finished before, in {folder}", flush=True)
        return OK
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / STATUS_NAME, {"status": "running", "words": list(words)})
    began_s = time.monotonic()
    with (folder / ERRORS_NAME).open("w") as errors:
        child = subprocess.Popen(
            [sys.executable, str(program), *words, f"run.dir={folder}", "resume=auto"], stderr=errors
        )
        code = _wait(child)
    reason = _reason(code, folder / ERRORS_NAME)
    status = {OK: "finished", STOPPED: "stopped"}.get(code, "failed")
    seconds = round(time.monotonic() - began_s, 1)
    content = {"status": status, "exit_code": code, "reason": reason, "seconds": seconds, "words": list(words)}
    write_json(folder / STATUS_NAME, content)
    if reason:
        print(f"    {status} (exit code {code}): {reason}", flush=True)
    return code


def _wait(child: "subprocess.Popen[bytes]") -> int:
    """The child's exit code. It is told to stop when this process is; Ctrl-C reaches both by itself."""

    def pass_on(number: int, _: FrameType | None) -> None:
        child.send_signal(signal.SIGTERM)

    previous = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGUSR1)}
    previous[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        return child.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _reason(code: int, errors: Path) -> str | None:
    """Why a job failed, in one line."""
    if code in (OK, STOPPED):
        return None
    if code == -signal.SIGKILL:
        return "killed from outside; most often the machine was out of memory"
    lines = [line for line in errors.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it left no message"
