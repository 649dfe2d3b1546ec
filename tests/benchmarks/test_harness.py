"""Measurements in turn, with contestants whose times are given."""

import itertools
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.harness import (
    LEAST_RUN_S,
    Crashed,
    Rounds,
    Run,
    Series,
    Task,
    TimedProcess,
    Unavailable,
    Work,
    in_turn,
    mean_call,
)


class Fake:
    """Notes each call in `log`, and takes the given times one after the other; None: it does not end; or it crashes."""

    def __init__(self, name: str, log: list[str], seconds: Sequence[float | Crashed | None]) -> None:
        self.name, self.log, self.seconds = name, log, iter(seconds)

    def run(self) -> Run | None:
        self.log.append(self.name)
        seconds = next(self.seconds)
        if isinstance(seconds, Crashed):
            raise seconds
        return None if seconds is None else Run(seconds, 0.0, 0.0)


def ticking(step_s: float) -> Callable[[], float]:
    """A clock that is read once for each `step_s`."""
    times: Iterator[float] = itertools.count(0.0, step_s)
    return lambda: next(times)


def test_contestants_run_in_turn_and_every_second_round_backwards() -> None:
    log: list[str] = []
    series = in_turn({name: Fake(name, log, [9, 1, 2, 3]) for name in "abc"}, Rounds(3, 3), ticking(0))
    assert "".join(log) == "abc" + "abc" + "cba" + "abc"
    assert series["b"].seconds == [1, 2, 3] and series["b"].median_s == 2  # the warm-up does not count


def test_patience_ends_the_rounds_after_the_least_number_of_them() -> None:
    def rounds_made(rounds: Rounds, clock: Callable[[], float]) -> int:
        return len(in_turn({"a": Fake("a", [], [1] * 9), "b": Fake("b", [], [1] * 9)}, rounds, clock)["a"].runs)

    assert rounds_made(Rounds(2, 7, patience_s=8), ticking(100)) == 2
    assert rounds_made(Rounds(2, 7, patience_s=8), ticking(0)) == 7
    # Two contestants have 16 s; the clock is read at the start and before the third, fourth and fifth round.
    assert rounds_made(Rounds(2, 7, patience_s=8), ticking(6)) == 4


def test_who_does_not_end_in_the_warm_up_is_tried_once_and_has_a_lower_bound() -> None:
    log: list[str] = []
    contestants = {"ours": Fake("o", log, [1] * 4), "endless": Fake("e", log, [None])}
    series = in_turn(contestants, Rounds(3, 3, limit_s=150), ticking(0))
    assert "".join(log) == "oeooo"
    assert series["endless"] == Series([], at_least_s=150) and series["endless"].median_s == 150
    assert series["ours"].seconds == [1, 1, 1] and series["ours"].at_least_s is None


def test_who_does_not_end_in_a_later_round_keeps_the_runs_before() -> None:
    series = in_turn({"late": Fake("l", [], [1, 2, None])}, Rounds(3, 3), ticking(0))
    assert series["late"].seconds == [2] and series["late"].at_least_s is None


def test_a_contestant_that_ended_its_warm_up_alone_has_a_lower_bound() -> None:
    series = in_turn({"late": Fake("l", [], [1, None])}, Rounds(3, 3, limit_s=20), ticking(0))
    assert series["late"] == Series([], at_least_s=20)


def test_a_long_warm_up_is_the_only_run() -> None:
    log: list[str] = []
    contestants = {"ours": Fake("o", log, [1] * 4), "slow": Fake("s", log, [51])}
    series = in_turn(contestants, Rounds(3, 3, long_s=50), ticking(0))
    assert "".join(log) == "osooo" and series["slow"].seconds == [51] and series["ours"].seconds == [1, 1, 1]


@pytest.mark.parametrize(("before", "kept"), [([], []), ([1, 2], [2])])
def test_who_crashes_is_left_out_from_then_on_and_the_others_go_on(before: list[float], kept: list[float]) -> None:
    crashing = Fake("c", [], [*before, Crashed("of a fault")])
    series = in_turn({"ours": Fake("o", [], [1] * 4), "crashing": crashing}, Rounds(3, 3), ticking(0))
    assert series["crashing"].seconds == kept and series["crashing"].at_least_s is None
    assert series["crashing"].unavailable == "of a fault" and series["crashing"].is_crashed
    assert series["ours"].seconds == [1, 1, 1]


def test_short_work_is_repeated_and_long_work_is_not() -> None:
    now_s, calls = 0.0, 0

    def mean_of(call_s: float) -> tuple[float, int]:
        nonlocal now_s, calls
        calls = 0

        def work() -> int:
            nonlocal now_s, calls
            now_s, calls = now_s + call_s, calls + 1
            return calls

        return mean_call(work, lambda: now_s)

    assert mean_of(LEAST_RUN_S) == (pytest.approx(LEAST_RUN_S), 1)
    seconds, last = mean_of(LEAST_RUN_S / 4)
    assert seconds == pytest.approx(LEAST_RUN_S / 4) and last == calls == 1 + 4


def counting(start: int) -> Work:
    """Counts its calls from `start`, slowly enough to be called once a run."""
    import time

    numbers = itertools.count(start)

    def work() -> int:
        time.sleep(LEAST_RUN_S)
        return next(numbers)

    return work


def endless() -> Work:
    """Never ends once it is called."""
    import threading

    return threading.Event().wait


def missing() -> Work:
    """Cannot take part."""
    raise Unavailable("no such library here")


def broken() -> Work:
    """Fails as it is built."""
    raise ValueError("a fault of ours")


def crashing() -> Work:
    """Dies as native code does, once it is called."""
    return lambda: os.kill(os.getpid(), signal.SIGSEGV)


def started(build: Callable[..., Work], tmp_path: Path, limit_s: float = 60, **arguments: object) -> TimedProcess:
    return TimedProcess(Task(build, arguments), limit_s, str(tmp_path))


def test_a_process_builds_once_and_runs_as_often_as_it_is_asked(tmp_path: Path) -> None:
    with closing(started(counting, tmp_path, start=5)) as process:
        process.ready()
        runs = [process.run() for _ in range(3)]
    assert [run.value for run in runs if run] == [5, 6, 7]
    assert all(run and run.seconds >= LEAST_RUN_S and run.peak_mib > 0 and run.grown_mib >= 0 for run in runs)


def test_a_process_that_does_not_end_in_time_is_ended(tmp_path: Path) -> None:
    with closing(started(endless, tmp_path, limit_s=0.2)) as process:
        process.ready()
        assert process.run() is None


def test_a_contestant_says_why_it_cannot_take_part(tmp_path: Path) -> None:
    with closing(started(missing, tmp_path)) as process, pytest.raises(Unavailable, match="no such library here"):
        process.ready()


def test_a_process_that_a_signal_ended_is_a_crash_with_its_name(tmp_path: Path) -> None:
    with closing(started(crashing, tmp_path)) as process:
        process.ready()
        with pytest.raises(Crashed, match="died of SIGSEGV"):
            process.run()


def test_a_fault_in_a_process_ends_the_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with closing(started(broken, tmp_path)) as process, pytest.raises(RuntimeError, match="exit code 1"):
        process.ready()
    assert "a fault of ours" in capfd.readouterr().err
