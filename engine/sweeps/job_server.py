"""The process that a sweep's jobs are forked from: it has imported what they need and done nothing else.

Signals reach a sweep in many ways: its first process alone, every process of the group at once, twice within a moment.
So the server and its jobs hear none of them. The sweep decides alone and tells the server; a job hears only its server,
by a signal that nobody else sends, and takes it as a run takes SIGTERM. A sweep that vanished counts as one that stops.
"""

import contextlib
import ctypes
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

from configs.errors import STOP_SIGNALS, STOPPED
from engine.runs.files import try_lock, wait_for

SAVE_SIGNAL = signal.SIGRTMIN  # from the server to a job: save and stop
SAVE, END = b"save", b"end"  # messages from the sweep to the server
ADVICE = "the job saves and ends, no other begins (once more: at once)"
POLL_S = 0.1  # between two looks at a job, or at how often the sweep was asked to stop
LONGEST = 1 << 16  # bytes of a message
PR_SET_PDEATHSIG = 1  # linux/prctl.h

Stops = Callable[[], int]  # how often the sweep was asked to stop: once to save and stop, twice to end at once


class JobServer:
    """The server as its sweep sees it: starts the process, hands it jobs one at a time, and passes stops on.

    `preload` names the modules that the server imports before the first job; the jobs inherit them.
    """

    def __init__(self, preload: Sequence[str]) -> None:
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = f"import sys; sys.path[:] = {sys.path}; from {__name__} import serve; serve({list(preload)})"
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*STOP_SIGNALS, SAVE_SIGNAL})  # the child keeps it
        try:
            self._process = subprocess.Popen([sys.executable, "-c", program], stdin=theirs.fileno())
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
        self._is_ready = False

    def run(self, words: Sequence[str], errors: Path, lock: IO[str], stops: Stops) -> int:
        """The exit code of `python words... 2> errors`; that of a signal is negative. The job keeps the lock, too."""
        while not self._is_ready:
            if stops():
                self.close()
                return STOPPED  # nothing has begun
            self._is_ready = self._has_answered()
            if self._is_ready and not self._link.recv(LONGEST):
                return self.close()
        request = json.dumps({"words": list(words), "errors": str(errors), "folder": os.getcwd()})
        socket.send_fds(self._link, [request.encode()], [lock.fileno()])
        num_passed_on = 0
        while not self._has_answered():
            num_stops = stops()
            if num_stops > num_passed_on:
                self._link.send(SAVE if num_stops == 1 else END)
                print(f"    stopping: {ADVICE if num_stops == 1 else 'at once'}", flush=True)
                num_passed_on = num_stops
        answer = self._link.recv(LONGEST)
        return int(answer) if answer else self.close()

    def close(self) -> int:
        """End the server, if it has not ended by itself; returns its exit code."""
        self._link.close()
        self._process.kill()
        code: int = self._process.wait()
        return code

    @property
    def is_open(self) -> bool:
        return self._process.poll() is None

    def _has_answered(self) -> bool:
        return bool(select.select([self._link], [], [], POLL_S)[0])


def wait_for_lock(path: Path, busy: str, stops: Stops) -> IO[str] | None:
    """The file, locked for this process and those that get it from here; None if a stop was asked for meanwhile.

    No `FileLock`: forked processes would close that.
    """
    lock = path.open("w")
    if wait_for(lambda: try_lock(lock), lambda: print(busy, flush=True), stops):
        return lock
    lock.close()
    return None


def serve(preload: Sequence[str]) -> None:
    """The program of the server's process: import `preload`, then fork a job for each request until the sweep ends.

    The link to the sweep is stdin. In the process of a job this function runs the job and returns when it has ended.
    """
    link = socket.socket(fileno=os.dup(0))
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    signal.signal(SAVE_SIGNAL, _pass_on)  # blocked here, for the jobs
    for module in preload:
        with contextlib.suppress(ImportError):  # the job will say so
            importlib.import_module(module)
    request = b""
    with contextlib.suppress(ConnectionError):  # the sweep is gone
        link.send(b"ready")
        request = _request_of_child(link)
    link.close()
    if request:
        _run(**json.loads(request))


def _request_of_child(link: socket.socket) -> bytes:
    """Fork a process for every request. Returns the request in that process, and b"" in the server once it ends."""
    while True:
        request, locks, _, _ = socket.recv_fds(link, LONGEST, 1)
        if not request:
            return b""
        child = os.fork()
        if not child:
            return request
        for lock in locks:
            os.close(lock)
        link.send(str(_watched(child, link)).encode())


def _watched(child: int, link: socket.socket) -> int:
    """Wait for a job and return its exit code; meanwhile pass the sweep's stops on to it.

    The request to save is passed on once: a run takes a second one for "at once".
    """
    is_saving = False
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if select.select([link], [], [], POLL_S)[0]:
            message = link.recv(LONGEST)
            if message == END:
                os.kill(child, signal.SIGKILL)
            elif not is_saving:
                os.kill(child, SAVE_SIGNAL)
                is_saving = True
            if not message:  # the sweep is gone
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run(words: Sequence[str], errors: str, folder: str) -> None:
    """Run a job in this process: what a shell in `folder` would do with `python words... 2> errors`."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SAVE_SIGNAL)  # sent when the server is killed
    os.chdir(folder)
    with open(errors, "w") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    sys.argv = list(words)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {SAVE_SIGNAL})
    runpy.run_path(words[0], run_name="__main__")


def _pass_on(_: int, frame: FrameType | None) -> None:
    """Do what SIGTERM would do to the run; one that has not begun to listen has nothing to save."""
    handler = signal.getsignal(signal.SIGTERM)
    if callable(handler):
        handler(signal.SIGTERM, frame)
    else:
        os._exit(STOPPED)
