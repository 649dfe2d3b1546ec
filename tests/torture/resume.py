"""The resume matrix: stopped at every step by a signal, a run ends with the bits of one that was left alone."""

import itertools
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from configs.errors import STOP_SIGNALS, STOPPED
from configs.schema import STAGES
from engine.reporting.reporter import Reporter
from engine.runs.folder import LAST_NAME
from engine.runs.progress import Progress
from tests.torture import runs
from tests.torture.processes import Process
from tests.torture.tries import Outcome, Setting

STEPS = 4
NUM_STEPS = STEPS * len(STAGES)
KINDS = list(itertools.product((0, 2), (1, 2)))  # workers, passes of a step
MATRIX = [(workers, passes, [stop]) for workers, passes in KINDS for stop in range(1, NUM_STEPS)]
CHAINS = [(workers, passes, None) for workers, passes in KINDS for _ in range(3)]  # three stops drawn at random


def resume(setting: Setting) -> Iterator[Outcome]:
    data = setting.folder / "set"
    runs.write_set(data)
    cells = [*MATRIX, *CHAINS]
    wholes: dict[tuple[int, int], Path] = {}
    for number in setting.numbers(len(cells)):
        workers, passes, stops = cells[number]
        words = _words(data, workers, passes)
        whole = wholes.setdefault((workers, passes), setting.folder / f"whole-{workers}-{passes}")
        failed = "" if whole.exists() else runs.finished(words, whole)
        fault = f"{workers} workers, {passes} passes: " + ("stopped once" if stops else "stopped three times")
        draw = setting.random(number)
        drawn = stops or sorted(draw.sample(range(1, NUM_STEPS), 3))
        yield Outcome(fault, number, failed or _interrupted(words, drawn, whole, setting.folder / f"run{number}", draw))
    if setting.only is None:
        yield from _others(setting, data)


def _others(setting: Setting, data: Path) -> Iterator[Outcome]:
    """What is no cell of the matrix."""
    folder, draw = setting.folder, setting.random(-1)
    words = _words(data, workers=0, passes=1)
    whole, fewer = folder / "plain", folder / "fewer"
    assert not (failed := runs.finished(words, whole)), failed
    lost = _stopped(_words(data, workers=2, passes=1), fewer, draw.randrange(1, NUM_STEPS), draw)
    yield Outcome("saved with 2 workers, resumed with 0", -1, lost or _ended(words, whole, fewer))
    before = (whole / LAST_NAME).read_bytes()
    lost = runs.finished(words, whole)
    is_new = (whole / LAST_NAME).read_bytes() != before
    yield Outcome("a finished run takes no further step", -1, lost or ("it has saved once more" if is_new else ""))
    often, seldom, frontend = folder / "often", folder / "seldom", (*words, "stages=[frontend]")
    lost = runs.finished((*frontend, "stage.frontend.validate_steps=1"), often)
    rare = ("run.save_steps=500", "run.log_steps=3", f"stage.frontend.validate_steps={STEPS}")
    lost = lost or runs.finished((*frontend, *rare), seldom) or runs.same_training(often, seldom)
    yield Outcome("validated, logged, saved at other intervals", -1, lost)
    other = folder / "other"
    lost = runs.finished((*words, f"stage.frontend.steps={STEPS - 1}"), other)
    yield Outcome("other steps, other bits", -1, lost or ("" if runs.same(whole, other) else "the same bits"))


def _words(data: Path, workers: int, passes: int) -> tuple[str, ...]:
    return runs.words(data, f"runtime.workers={workers}", steps=STEPS, accumulation=passes)


def _interrupted(words: tuple[str, ...], stops: Sequence[int], whole: Path, place: Path, draw: random.Random) -> str:
    """Stop a run after each of these steps, let it end, and compare."""
    lost = next(filter(None, (_stopped(words, place, stop, draw) for stop in stops)), "")
    return lost or _ended(words, whole, place)


def _ended(words: tuple[str, ...], whole: Path, place: Path) -> str:
    return runs.finished(words, place) or runs.same(whole, place)


def _stopped(words: tuple[str, ...], place: Path, stop: int, draw: random.Random) -> str:
    """A sitting that gets one of the signals as soon as `stop` steps of all stages are done."""
    number, config = draw.choice(STOP_SIGNALS), runs.composed(words)

    def sitting() -> int:
        step_done = Reporter.step_done

        def step_done_then_signal(reporter: Reporter, progress: Progress, **figures: Any) -> None:
            step_done(reporter, progress, **figures)
            if progress.global_step == stop:
                os.kill(os.getpid(), number)

        Reporter.step_done = step_done_then_signal  # type: ignore[method-assign]  # of this process alone
        return runs.run(config, place)

    process = Process(sitting, place.with_suffix(".txt"))
    code = process.end()
    return "" if code == STOPPED else f"{number.name} after step {stop}: ended with {code}: {process.last_words}"
