"""The corpus of images: each is read exactly, or refused by its name; never silently wrong."""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from configs.errors import UserError
from data.dataset import read_image
from data.photographs import read_photograph
from tests.helpers.pictures import Pixels
from tests.torture.image_files import KINDS, Case
from tests.torture.processes import answer
from tests.torture.tries import Outcome, Setting

ROUNDS = 10  # of every kind, each with sizes, pixels and places of its own
MAX_MIB = 64  # that reading may take beside what the process has: the largest image has 60 x 60 pixels


def images(setting: Setting) -> Iterator[Outcome]:
    """All kinds at every scale, in fewer rounds."""
    names = list(KINDS)
    numbers = range(len(names) * setting.count(ROUNDS)) if setting.only is None else [setting.only]
    for number in numbers:
        name = names[number % len(names)]
        place = setting.folder / f"{number}"
        place.mkdir(parents=True)
        case = KINDS[name](place, setting.random(number))
        what = _required(case)
        lost = answer(lambda case=case: judged(case), setting.folder / "read")
        yield Outcome(f"images to be {what}", number, lost and f"{name}: {lost}")


def _required(case: Case) -> str:
    if case.may_be_refused or case.upright is not None:
        return "read exactly or refused"
    return "refused" if case.pixels is None else "read exactly"


def judged(case: Case) -> str:
    """What is wrong with how both readers take a file."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    upright = case.pixels if case.upright is None else case.upright
    readers: list[tuple[Callable[[Path], Pixels], Pixels | None]] = [
        (read_image, case.pixels),
        (lambda path: read_photograph(path).upright_HW3, upright),
    ]
    wrong = next(filter(None, (_read(read, case, expected) for read, expected in readers)), "")
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    return wrong or (f"took {grown_mib} MiB" if grown_mib > MAX_MIB else "")


def _read(read: Callable[[Path], Pixels], case: Case, expected: Pixels | None) -> str:
    try:
        pixels = read(case.path)
    except UserError as error:
        if expected is not None and not case.may_be_refused:
            return f"refused: {error}"
        return "" if case.path.name in str(error) else f"refused without its name: {error}"
    if expected is None:
        return f"read silently, {pixels.shape[1]}x{pixels.shape[0]} px"
    return "" if np.array_equal(pixels, expected) else "other pixels than there are"
