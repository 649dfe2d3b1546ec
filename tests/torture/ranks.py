"""Two processes under torchrun: one is killed, one cannot read an image, the disk of one is full."""

import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from engine.runs.folder import LAST_NAME
from tests.helpers import ranks as torchrun
from tests.torture import runs
from tests.torture.tries import Outcome, Setting

NUM_TRIES = 9
STEPS = 60  # of every stage
LONGEST_PAUSE_S = 1.5  # between the first checkpoint and the fault
TIMEOUT_S = 480.0  # of torchrun with its restart; imports take most of it on a busy machine
FULL_BYTES = 1024  # no file may grow beyond

Words = tuple[str, ...]


def ranks(setting: Setting) -> Iterator[Outcome]:
    data, whole = setting.folder / "set", setting.folder / "whole"
    runs.write_set(data)
    words = runs.words(data, steps=STEPS, validate_steps=STEPS)
    assert not (failed := _ended(_start(words, whole), whole)), failed
    faults = {"one rank killed": _killed, "one rank raises": _raises, "one rank's disk full": _full}
    for number in setting.numbers(NUM_TRIES):
        name, fault = list(faults.items())[number * len(faults) // NUM_TRIES]
        place = setting.folder / f"run{number}"
        lost = fault(words, place, setting.random(number))
        yield Outcome(f"{name}: all end, same bits after the restart", number, lost or runs.same_training(whole, place))


def _killed(words: Words, place: Path, draw: random.Random) -> str:
    """torchrun starts the command once more."""
    process = _start(words, place, restarts=1)
    os.kill(draw.choice(_ranks(process, place, draw)), signal.SIGKILL)
    return _ended(process, place)


def _full(words: Words, place: Path, draw: random.Random) -> str:
    """Of rank 0, which writes; torchrun starts the command once more, where there is room.

    What is printed goes through a pipe: a rank whose files may not grow could not say so into a file.
    """
    with subprocess.Popen(["tee", str(_output(place))], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as printer:
        process = _start(words, place, restarts=1, output=printer.stdin)
        resource.prlimit(_ranks(process, place, draw)[0], resource.RLIMIT_FSIZE, (FULL_BYTES, FULL_BYTES))
        lost = _ended(process, place)
    return lost or ("" if "cannot be written (File too large)" in _printed(place) else "the disk was not full")


def _raises(words: Words, place: Path, draw: random.Random) -> str:
    """An image that is damaged in mid-run ends both ranks; once it is restored, the same command goes on."""
    image = draw.choice(sorted((place.parent / "set" / "train" / "images").iterdir()))
    content = image.read_bytes()
    process = _start(words, place)
    both = _ranks(process, place, draw)
    try:
        image.write_bytes(content[: len(content) // 2])
        code = process.wait(TIMEOUT_S)
    finally:
        image.write_bytes(content)
    if code == 0 or f"{image.name}: cannot be decoded" not in _printed(place):
        return f"ended with {code}, and says nothing of {image.name}: {_last_words(place)}"
    if any(Path(f"/proc/{rank}").exists() for rank in both):
        return "a rank has outlived the other"
    return _ended(_start(words, place), place)


def _start(words: Words, place: Path, restarts: int = 0, output: IO[bytes] | None = None) -> "subprocess.Popen[str]":
    words = (*words, f"run.dir={place}", "resume=auto")
    return torchrun.start(_output(place).parent, 2, "train.py", *words, restarts=restarts, output=output)


def _ranks(process: "subprocess.Popen[str]", place: Path, draw: random.Random) -> list[int]:
    """The processes of both ranks, a moment after their first checkpoint."""
    torchrun.wait_until(lambda: (place / LAST_NAME).exists() or process.poll() is not None)
    time.sleep(draw.uniform(0, LONGEST_PAUSE_S))
    found = torchrun.children(process.pid)
    assert len(found) == 2, f"it has ended before the fault: {_last_words(place)}"
    return found


def _ended(process: "subprocess.Popen[str]", place: Path) -> str:
    """What is wrong with how torchrun ends, or nothing."""
    try:
        code = process.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return f"did not end within {TIMEOUT_S} s: {_last_words(place)}"
    return f"ended with {code}: {_last_words(place)}" if code else ""


def _output(place: Path) -> Path:
    folder = place.with_suffix(".torchrun")
    folder.mkdir(exist_ok=True)
    return folder / "output.txt"


def _printed(place: Path) -> str:
    return _output(place).read_text(errors="replace")


def _last_words(place: Path) -> str:
    return " | ".join(_printed(place).splitlines()[-4:])
