"""Measurements in turn: each contestant in a process of its own, so that its memory is its own and it can be ended."""

import math
import multiprocessing
import re
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

BUILD_LIMIT_S = 600.0  # imports, random weights, an exported network, a compiled one
GRACE_S = 2.0  # for a process to end after its work
LEAST_RUN_S = 0.25  # what is shorter is repeated within a run, and a run is its mean

Work = Callable[[], Any]


class Unavailable(Exception):
    """A contestant cannot take part here, for the reason that the message gives."""


class Crashed(Unavailable):
    """A signal ended its process: a fault of the library that it shows, or too little memory."""


@dataclass(frozen=True)
class Task:
    """What a process builds once, then repeats: `build(**arguments)` returns the work.

    `build` is a function of a module, for the process imports it. `includes` names a task of an earlier group all of
    whose work this one does, too: where that one did not end, neither will this one, and it is not tried.
    """

    build: Callable[..., Work]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1
    includes: str | None = None


class Run(NamedTuple):
    """Seconds of one call of the work, the most memory that the process has held, in MiB, and what the work returned.

    `grown_mib` is that memory less what the process held before the first call.
    """

    seconds: float
    peak_mib: float
    grown_mib: float
    value: Any = None


class Contestant(Protocol):
    """Whatever can be run again and again."""

    def run(self) -> Run | None:
        """None where it did not end within the limit. Raises Crashed. After either it cannot be run again."""
        ...


class Rounds(NamedTuple):
    """How often each contestant is run after its warm-up, and when an ever-lasting one is ended.

    Beyond `least` there are more rounds only while `patience_s` for each contestant lasts. Who takes longer than
    `long_s` is run once.
    """

    least: int = 3
    most: int = 7
    patience_s: float = 8.0
    limit_s: float = 150.0
    long_s: float = 20.0


@dataclass
class Series:
    """The runs of one contestant, round by round; none and a lower bound where its first one was ended."""

    runs: list[Run] = field(default_factory=list)
    at_least_s: float | None = None
    unavailable: str = ""  # why it took no part, or not to the end
    is_crashed: bool = False  # that is the reason

    @property
    def seconds(self) -> list[float]:
        return [run.seconds for run in self.runs]

    @property
    def median_s(self) -> float:
        """The lower bound where there is no run."""
        return statistics.median(self.seconds) if self.runs else (self.at_least_s or math.nan)

    @property
    def value(self) -> Any:
        """What the work returned, the last time."""
        return self.runs[-1].value if self.runs else None


def in_turn(
    contestants: Mapping[str, Contestant], rounds: Rounds, clock: Callable[[], float] = time.monotonic
) -> dict[str, Series]:
    """Warm every contestant up, then run all of them round by round, every second round backwards.

    So whatever slows the machine for a while slows all of them. Who exceeds the limit or crashes is left out from then
    on; where it exceeds it in the warm-up already, the limit is its lower bound. A long warm-up is its only run.
    """
    series = {name: Series() for name in contestants}
    running = []
    for name, contestant in contestants.items():
        run = _tried(contestant, series[name], rounds.limit_s)
        if run is not None and run.seconds > rounds.long_s:
            series[name].runs.append(run)
        elif run is not None:
            running.append(name)
    start_s = clock()
    for number in range(rounds.most):
        if number >= rounds.least and clock() - start_s >= rounds.patience_s * len(contestants):
            break
        for name in _order(running, number):
            run = _tried(contestants[name], series[name], rounds.limit_s)
            if run is None:
                running.remove(name)
            else:
                series[name].runs.append(run)
    return series


def _tried(contestant: Contestant, series: Series, limit_s: float) -> Run | None:
    """One run of it; None, and the series says why, where there was none and will be none."""
    try:
        run = contestant.run()
    except Crashed as reason:
        series.unavailable, series.is_crashed = str(reason), True
        return None
    if run is None and not series.runs:
        series.at_least_s = limit_s
    return run


def _order(names: Iterable[str], number: int) -> list[str]:
    return list(names) if number % 2 == 0 else list(names)[::-1]


def mean_call(work: Work, clock: Callable[[], float] = time.perf_counter) -> tuple[float, Any]:
    """Seconds of one call of the work, and what it returned; a short one is repeated for about LEAST_RUN_S."""
    seconds, value = _timed(work, 1, clock)
    if seconds < LEAST_RUN_S:
        return _timed(work, math.ceil(LEAST_RUN_S / max(seconds, 1e-6)), clock)
    return seconds, value


def median_call_s(work: Work, repeats: int = 3) -> float:
    """The median of several, after a warm-up."""
    work()
    return statistics.median(mean_call(work)[0] for _ in range(repeats))


def _timed(work: Work, calls: int, clock: Callable[[], float]) -> tuple[float, Any]:
    value = None
    start_s = clock()
    for _ in range(calls):
        value = work()
    return (clock() - start_s) / calls, value


class TimedProcess:
    """A `Contestant` in a process of its own, which is gone after `close`, or when it exceeded the limit."""

    def __init__(self, task: Task, limit_s: float, folder: str) -> None:
        """Starts the process and its building; `ready` waits for that. Its temporary files go to the folder."""
        context = multiprocessing.get_context("spawn")  # a fork would inherit imports, threads and memory
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, task, folder))
        self._process.start()
        theirs.close()
        self._limit_s = limit_s

    def ready(self) -> None:
        """Raises Unavailable where the contestant cannot take part, RuntimeError where its process fails by itself."""
        reply = self._reply(BUILD_LIMIT_S)
        if reply is None:
            raise Unavailable(f"not built within {BUILD_LIMIT_S:.0f} s")
        if isinstance(reply, Unavailable):
            raise reply

    def run(self) -> Run | None:
        self._connection.send(None)
        run: Run | None = self._reply(self._limit_s)
        return run

    def _reply(self, limit_s: float) -> Any:
        """What the process sends; None, and the process is ended, where it sends nothing in time."""
        if not self._connection.poll(limit_s):
            self._process.kill()
            self.close()
            return None
        try:
            return self._connection.recv()
        except EOFError as error:
            self._process.join()
            code = self._process.exitcode or 0
            if code < 0:
                raise Crashed(f"its process died of {signal.Signals(-code).name}") from error
            raise RuntimeError(f"a measurement failed (exit code {code}), see above") from error

    def close(self) -> None:
        """The process ends by itself, with workers that it has, where it does so soon."""
        self._connection.close()
        self._process.join(GRACE_S)
        self._process.kill()
        self._process.join()


def _serve(connection: Any, task: Task, folder: str) -> None:
    """Build, say so, and run once for each message, until the other end is closed."""
    tempfile.tempdir = folder
    _set_threads(task.threads)
    try:
        work = task.build(**task.arguments)
    except Unavailable as reason:
        connection.send(reason)
        return
    connection.send("ready")
    _forget_peak_memory()
    before_mib = memory_mib("VmRSS")
    while True:
        try:
            connection.recv()
        except EOFError:
            return
        seconds, value = mean_call(work)
        peak_mib = memory_mib("VmHWM")
        connection.send(Run(seconds, peak_mib, peak_mib - before_mib, value))


def _set_threads(threads: int) -> None:
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def _forget_peak_memory() -> None:
    """`VmHWM` begins anew, where Linux lets it: building may have held more than the work does."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def memory_mib(name: str) -> float:
    """Of this process: `VmRSS`, what it holds, or `VmHWM`, the most that it has held. NaN where Linux is not there."""
    status = Path("/proc/self/status")
    match = re.search(rf"{name}:\s+(\d+)", status.read_text()) if status.exists() else None
    return int(match[1]) / 1024 if match else math.nan
