"""One job of a sweep: a run in a process and a folder of its own, so that nothing it does can end the others.

The processes are forked from a server that has imported what they need and done nothing else, so a job begins at once.
"""

import multiprocessing
import os
import runpy
import signal
import sys
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

from configs.errors import OK, STOPPED
from engine.folder import SUMMARY_NAME, write_json

STATUS_NAME, ERRORS_NAME = "status.json", "stderr.txt"


def run_job(program: Path, words: Sequence[str], folder: Path, preload: Sequence[str] = ()) -> int:
    """Run `program words...` in `folder` unless it is finished there; an unfinished one goes on where it stopped.

    `preload` are the modules that the program needs; the first job imports them for all of this process.

    Leaves status.json: `status` (running, finished, stopped or failed), `exit_code`, `reason`, `seconds` of this
    sitting, `words`. Returns the exit code; a signal's number is negative.
    """
    if (folder / SUMMARY_NAME).exists():
        print(f"    finished before, in {folder}", flush=True)
        return OK
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / STATUS_NAME, {"status": "running", "words": list(words)})
    began_s = time.monotonic()
    (folder / ERRORS_NAME).write_text("")
    multiprocessing.set_start_method(None, force=True)  # joblib's workers have one that plain processes do not know
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(list(preload))
    words_of_job = [str(program), *words, f"run.dir={folder}", "resume=auto"]
    child = processes.Process(target=_run, args=(words_of_job, folder / ERRORS_NAME))
    child.start()
    code = _wait(child)
    reason = _reason(code, folder / ERRORS_NAME)
    status = {OK: "finished", STOPPED: "stopped"}.get(code, "failed")
    seconds = round(time.monotonic() - began_s, 1)
    content = {"status": status, "exit_code": code, "reason": reason, "seconds": seconds, "words": list(words)}
    write_json(folder / STATUS_NAME, content)
    if reason:
        print(f"    {status} (exit code {code}): {reason}", flush=True)
    return code


def _run(words: Sequence[str], errors: Path) -> None:
    """The life of a job's process: what the shell would do with `python words... 2> errors`."""
    with errors.open("w") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    sys.argv = list(words)
    runpy.run_path(words[0], run_name="__main__")


def _wait(child: BaseProcess) -> int:
    """The child's exit code. It is told to stop when this process is; Ctrl-C reaches both by itself."""

    def pass_on(number: int, _: FrameType | None) -> None:
        child.terminate()

    previous = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGUSR1)}
    previous[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        child.join()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    assert child.exitcode is not None, "it was joined"
    return child.exitcode


def _reason(code: int, errors: Path) -> str | None:
    """Why a job failed, in one line."""
    if code in (OK, STOPPED):
        return None
    if code == -signal.SIGKILL:
        return "killed from outside; most often the machine was out of memory"
    lines = [line for line in errors.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it left no message"
