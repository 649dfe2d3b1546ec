"""Processes that are forked from one that has imported everything and computed nothing, as the jobs of a sweep are.

All computing is done in them: the process of the campaigns stays without threads. It adopts whatever outlives its
parent, so nothing that a try leaves behind goes unseen.
"""

import ctypes
import importlib
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

# torch._dynamo is what the first optimizer of a process imports; it takes seconds.
MODULES = (
    *("assembly.introduction", "assembly.plan", "engine.reporting.reporter", "models.build", "torch._dynamo"),
    *("engine.process.exits", "tensorboard.backend.event_processing.event_accumulator"),
)
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
PATIENCE_S = 300.0  # for one run or answer
ORPHANS_S = 30.0  # how long what outlived its parent may take to notice
LONGEST = 4000  # characters of an answer


def prepare() -> None:
    """Import what the forked processes need, and adopt those that outlive their parents from now on."""
    for module in MODULES:
        importlib.import_module(module)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Process:
    """A forked process that does `work` and ends with the code that it returns; its output goes to a file.

    It leads a session of its own, so that a signal of the terminal does not reach it and its group can be killed.
    """

    def __init__(self, work: Callable[[], int], output: Path) -> None:
        self.output = output
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            self._do(work)
        self._handle = os.pidfd_open(self.pid)

    def wait(self, timeout_s: float) -> int | None:
        """The exit code, that of a signal negative; None where it still runs."""
        if not select.select([self._handle], [], [], timeout_s)[0]:
            return None
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self._handle)
        return code

    def end(self) -> int:
        """Wait for the end; a process that takes too long is killed."""
        code = self.wait(PATIENCE_S)
        return self.kill() if code is None else code

    def kill(self) -> int:
        os.kill(self.pid, signal.SIGKILL)
        code = self.wait(PATIENCE_S)
        assert code is not None, "nothing survives kill -9"
        return code

    @property
    def last_words(self) -> str:
        """The end of what it printed, in one line."""
        lines = self.output.read_text(errors="replace").splitlines()
        return " | ".join(lines[-4:])

    def _do(self, work: Callable[[], int]) -> None:
        code = 1
        try:
            # `nohup` and a shell's & have these ignored, and tries send them.
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.setsid()
            with self.output.open("a") as file:
                os.dup2(file.fileno(), sys.stdout.fileno())
                os.dup2(file.fileno(), sys.stderr.fileno())
            code = work()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def answer(question: Callable[[], str], scratch: Path) -> str:
    """What a forked process answers, or how it ended instead. `scratch` is a file to write into."""
    scratch.unlink(missing_ok=True)

    def work() -> int:
        text = question()
        scratch.with_suffix(".answer").write_text(text[:LONGEST])
        return 0

    scratch.with_suffix(".answer").unlink(missing_ok=True)
    process = Process(work, scratch)
    code = process.end()
    if code != 0:
        return f"the process that looked ended with {code}: {process.last_words}"
    return scratch.with_suffix(".answer").read_text()


def orphans() -> list[str]:
    """The commands of processes that still live after those that they belong to; they are ended now."""
    until_s = time.monotonic() + ORPHANS_S
    while _has_children():
        if time.monotonic() > until_s:
            return [end_child(pid) for pid in children()]
        time.sleep(0.1)
    return []


def end_child(pid: int) -> str:
    """Kill a child; returns its command."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return command


def children() -> list[int]:
    """The processes whose parent is this one, those that it adopted included."""
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def _has_children() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True
