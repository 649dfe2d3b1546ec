"""One job of a sweep: a run in a process and a folder of its own, so that nothing it does can end the others."""

import json
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from configs.errors import OK, STOPPED
from engine.runs.files import write_json
from engine.runs.folder import SUMMARY_NAME
from engine.sweeps.job_server import JobServer, Stops, wait_for_lock

STATUS_NAME, ERRORS_NAME, LOCK_NAME = "status.json", "stderr.txt", "job.lock"

_servers: list[JobServer] = []  # of this process: the newest is the one to use


def run_job(
    program: Path, words: Sequence[str], folder: Path, preload: Sequence[str] = (), stops: Stops = lambda: 0
) -> int:
    """Run `program words...` in `folder` unless it is finished there; an unfinished one goes on where it stopped.

    `preload` are the modules that the program needs; the first job imports them for all of this process. `stops` says
    how often the sweep was asked to stop.

    Leaves status.json: `status` (running, finished, stopped or failed), `exit_code`, `reason`, `seconds` of this
    sitting, `words`. Returns the exit code, 75 for every job that was made to stop; a signal's number is negative.
    """
    if not (folder / SUMMARY_NAME).exists():
        folder.mkdir(parents=True, exist_ok=True)
        busy = f"    still running in another process, in {folder}; waiting for it"
        lock = wait_for_lock(folder / LOCK_NAME, busy, stops)
        if lock is None:
            return STOPPED
        with lock:
            if not (folder / SUMMARY_NAME).exists():
                return _run_anew(program, words, folder, preload, lock, stops)
    print(f"    finished before, in {folder}", flush=True)
    return OK


def _run_anew(
    program: Path, words: Sequence[str], folder: Path, preload: Sequence[str], lock: IO[str], stops: Stops
) -> int:
    write_json(folder / STATUS_NAME, {"status": "running", "words": list(words)})
    began_s = time.monotonic()
    (folder / ERRORS_NAME).write_text("")
    words_of_job = [str(program), *words, f"run.dir={folder}", "resume=auto"]
    code = _server(preload).run(words_of_job, folder / ERRORS_NAME, lock, stops)
    is_stopped = code == STOPPED or (code < 0 and stops() > 0)
    status = "finished" if code == OK else "stopped" if is_stopped else "failed"
    reason = _reason(code, folder / ERRORS_NAME) if status == "failed" else None
    seconds = round(time.monotonic() - began_s, 1)
    content = {"status": status, "exit_code": code, "reason": reason, "seconds": seconds, "words": list(words)}
    write_json(folder / STATUS_NAME, content)
    if reason:
        print(f"    {status} (exit code {code}): {reason}", flush=True)
    return STOPPED if is_stopped else code


def reason_of(folder: Path) -> str | None:
    """Why the job in a folder failed, in one line."""
    reason: str | None = json.loads((folder / STATUS_NAME).read_text())["reason"]
    return reason


def _server(preload: Sequence[str]) -> JobServer:
    if not _servers or not _servers[-1].is_open:
        _servers.append(JobServer(preload))
    return _servers[-1]


def _reason(code: int, errors: Path) -> str:
    """Why a job failed, in one line."""
    if code == -signal.SIGKILL:
        return "killed from outside; most often the machine was out of memory"
    lines = [line for line in errors.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it left no message"
