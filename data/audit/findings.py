"""What an audit finds: one finding for each kind of fault in a split, with every file that has it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Severity = Literal["error", "warning", "note"]  # training would end or go wrong; it may disappoint; good to know
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


class Place(NamedTuple):
    """A file, a folder or a line of a list, printable, and what is wrong there; empty: what the finding says."""

    file: str
    message: str = ""


@dataclass(frozen=True)
class Finding:
    """`split` is empty for what concerns several. `overrides` are words to add to the command line, as Hydra reads."""

    severity: Severity
    kind: str
    split: str
    what: str
    advice: str = ""
    places: Sequence[Place] = ()
    overrides: Sequence[str] = ()


def counted(number: int, noun: str) -> str:
    """1 image, 2 images."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listing(values: Iterable[object]) -> str:
    """As one types a list: [1,2,[3,4]]."""
    return "[" + ",".join(listing(value) if isinstance(value, list | tuple) else f"{value}" for value in values) + "]"
