"""kill -9 at random moments: a run that is killed again and again ends as if it had not been.

No single kill can be repeated: what it hits depends on the machine's pace. The same seed kills after the same pauses.
"""

import time
from collections.abc import Iterator
from pathlib import Path

from engine.runs.files import TEMPORARY
from engine.runs.folder import LAST_NAME, RunFolder
from tests.torture import runs
from tests.torture.processes import answer
from tests.torture.tries import Outcome, Setting

NUM_KILLS = 200
STEPS = 24  # of every stage; every step saves
SHARE = 0.15  # of the whole run's time that a sitting may go on after its first checkpoint
KILL, SAVE, END = (
    "kill -9: newest checkpoint whole",
    "kill -9 within a save: the same",
    "killed again and again: same bits",
)
OTHER = "another seed: other bits"
NOTHING = "-1"  # steps in a folder without a checkpoint


def kills(setting: Setting) -> Iterator[Outcome]:
    """Runs of two workers; a run that reaches its end is compared, and another begins until all kills are done."""
    data = setting.folder / "set"
    runs.write_set(data)
    words = runs.words(data, "runtime.workers=2", steps=STEPS, validate_steps=STEPS // 2)
    whole, other = setting.folder / "whole", setting.folder / "other"
    start_s, run_s = _timed(words, whole)
    yield Outcome(OTHER, -1, _negative(words, whole, other))
    num_kills, chain = 0, 0
    while num_kills < setting.count(NUM_KILLS) or chain == 0:
        place = setting.folder / f"chain{chain}"
        reached = -1
        while True:
            process = runs.start(words, place)
            pause_s = setting.random(num_kills).uniform(0, start_s + SHARE * run_s)
            code = process.wait(pause_s)
            if code is not None:
                break
            process.kill()
            fault = SAVE if any(place.glob(TEMPORARY)) else KILL
            now, lost = _newest(place, reached)
            yield Outcome(fault, -1, lost and f"{lost}; chain {chain}, killed after {pause_s:.2f} s")
            num_kills, reached = num_kills + 1, max(now, reached)
            if lost:
                break
        if code is not None:
            yield Outcome(END, -1, _judged(code, process.last_words, whole, place))
        chain += 1


def _timed(words: tuple[str, ...], whole: Path) -> tuple[float, float]:
    """Seconds to the first checkpoint and to the end of a run that is left alone."""
    began_s = time.monotonic()
    process = runs.start(words, whole)
    code = None
    while code is None and not (whole / LAST_NAME).exists():
        code = process.wait(0.05)
    start_s = time.monotonic() - began_s
    code = process.end() if code is None else code
    assert code == 0, process.last_words
    return start_s, time.monotonic() - began_s


def _negative(words: tuple[str, ...], whole: Path, other: Path) -> str:
    """A comparison that cannot fail shows nothing: another seed must differ."""
    lost = runs.finished((*words, "seed=2"), other)
    return lost or ("" if runs.same(whole, other) else "two seeds give the same bits")


def _newest(place: Path, reached: int) -> tuple[int, str]:
    """How many steps the newest checkpoint has, and what is wrong with that."""

    def question() -> str:
        warnings: list[str] = []
        content = RunFolder(place).load_newest(warnings.append)
        if warnings:
            return warnings[0]
        if content is None:
            return NOTHING
        return str(content["progress"]["first_step_of_stage"] + content["progress"]["step"])

    said = answer(question, place.with_suffix(".newest"))
    if not said.lstrip("-").isdecimal():
        return reached, said
    now = int(said)
    return now, f"step {reached} was saved, step {now} is there" if now < reached else ""


def _judged(code: int, last_words: str, whole: Path, place: Path) -> str:
    if code:
        return f"did not go on: ended with {code}: {last_words}"
    leftovers = [path.name for path in place.glob(TEMPORARY)]
    return f"left {leftovers}" if leftovers else runs.same(whole, place)
