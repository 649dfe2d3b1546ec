"""What is found wrong while a split is opened, and who decides whether that is its end."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from configs.errors import UserError

FaultKind = Literal[
    "opening",  # a set of several
    "missing_partner",
    "missing_file",
    "same_name",
    "list_line",
    "group",
    "in_two_sets",
    "unreadable_folder",
]


class Fault(NamedTuple):
    """One kind of fault, all places of it (files, folders, lines of a list), and the error that a run ends with.

    `note` is what is wrong at each place, where the kind does not say it.
    """

    kind: FaultKind
    places: Sequence[object]
    error: UserError
    note: str = ""


OnFault = Callable[[Fault], None]


def refuse(fault: Fault) -> None:
    """A run ends at the first fault; an audit goes on with what is left, and keeps them all."""
    raise fault.error
