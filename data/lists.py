"""List files, which name the samples of a split."""

import os
import shlex
from pathlib import Path
from typing import NamedTuple

from configs.errors import UserError
from data.faults import Fault, OnFault, refuse
from data.files import SPLIT_HINT, missing, read_text
from data.names import readable, without_suffix

QUOTES = ('"', "'")
QUOTED_HINT = "correct the line; a name with blanks stands in quotes"


class Line(NamedTuple):
    """One line of a list file: where it stands, and its entries, relative paths that stay below the root."""

    place: str
    entries: list[str]

    @property
    def first(self) -> str:
        """The first entry, for messages."""
        return readable(self.entries[0])


def read_list(path: Path, on_fault: OnFault = refuse) -> list[Line]:
    """The lines of a list file without byte-order mark, line ends and blank lines.

    Blanks part the entries of a line; a name that holds some stands in quotes, as in a shell. Raises UserError for a
    file that is not there or empty. Faults, with file and line number, are duplicate lines, absolute paths and "..":
    a list names samples of its own data set.
    """
    if not os.path.isfile(path):
        raise missing(path, SPLIT_HINT)
    lines: list[Line] = []
    line_numbers: dict[str, int] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        place = f"{readable(path)}, line {number}"
        try:
            entries = _entries(line, place)
            if entries and entries[0] in line_numbers:
                earlier = line_numbers[entries[0]]
                raise UserError(f"{place}: {readable(entries[0])} stands in line {earlier} already; remove one")
        except UserError as error:
            on_fault(Fault("list_line", [place], error))
            continue
        if not entries:
            continue
        line_numbers[entries[0]] = number
        lines.append(Line(place, entries))
    if not lines:
        raise UserError(f"{readable(path)}: the list is empty; one sample a line is required; {SPLIT_HINT}")
    return lines


def read_names(path: Path, on_fault: OnFault = refuse) -> list[str]:
    """A list of one name a line; an image extension on a name is dropped."""
    places: dict[str, str] = {}
    for line in read_list(path, on_fault):
        name = without_suffix(line.entries[0], "")
        if len(line.entries) > 1:
            entries = readable(" ".join(line.entries))
            error = UserError(f"{line.place}: {entries}; one name a line is required; {QUOTED_HINT}")
        elif name in places:
            error = UserError(f"{line.place}: {line.first} is the sample of {places[name]} already; remove one")
        else:
            places[name] = f"{line.place} ({line.first})"
            continue
        on_fault(Fault("list_line", [line.place], error))
    return list(places)


def _entries(line: str, place: str) -> list[str]:
    """The entries of a line. Raises UserError where one leads out of the data set."""
    entries = _words(line, place)
    for entry in entries:
        parts = entry.replace("\\", "/").split("/")
        if not parts[0] or ".." in parts or parts[0].endswith(":"):
            raise UserError(
                f"{place}: {readable(entry)} leads out of the data set; a name relative to it, without '..' and "
                "without leading '/', is required; correct the line"
            )
    return entries


def _words(line: str, place: str) -> list[str]:
    """A quote inside a word is a letter of it (it's.jpg), and so is a backslash."""
    words = line.split()
    if not any(word.startswith(QUOTES) for word in words):
        return words
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""
    try:
        return list(lexer)
    except ValueError:
        raise UserError(
            f"{place}: {readable(line.strip())}: a quote is not closed; a name with blanks or quotes stands in a pair "
            'of the other kind, "it\'s here.jpg"; correct the line'
        ) from None
