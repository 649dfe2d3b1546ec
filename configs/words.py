"""The words of a command line as the shell delivers them, and what went wrong before they came here."""

import argparse
import re
import shlex
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from configs.keys import did_you_mean

PATTERN = re.compile(r"(?P<sign>\+\+|\+|~)?(?P<key>[^=]*)(?P<equals>=)?(?P<value>.*)", re.DOTALL)


class Setting(NamedTuple):
    """`key=value`, with Hydra's sign before it: `+`, `++`, `~` or none."""

    sign: str
    key: str
    value: str


def settings(
    words: Sequence[str], names: Collection[str], owners: dict[str, list[str]]
) -> tuple[list[Setting], list[str]]:
    """The settings among the words, and a problem for everything else.

    `names` are the known keys and groups, `owners` gives the groups that have an option of a name.
    """
    found, problems = [], []
    position = 0
    while position < len(words):
        word, rest = words[position], words[position + 1 :]
        position += 1
        num_more = _num_cut_off(word, rest)
        if num_more:
            position += num_more
            cut = [word, *rest[:num_more]]
            problems.append(f"{' '.join(cut)}: the shell cut this list at its blanks; write '{''.join(cut)}'")
        elif word in names and rest and "=" not in rest[0] and not rest[0].startswith("-"):
            position += 1
            problems.append(f"{word} {rest[0]}: a setting is one word with an equals sign; write {word}={rest[0]}")
        elif word.startswith("~") or ("=" in word.lstrip("=") and not word.startswith("-")):
            match = PATTERN.fullmatch(word)
            assert match is not None, "the pattern takes any text"
            found.append(Setting(match["sign"] or "", match["key"], match["value"]))
        else:
            problems.append(_stray(word, names, owners))
    return found, problems


def open_brackets(text: str) -> int:
    """How many brackets are opened but not closed; negative if more are closed."""
    return sum(map(text.count, "[{(")) - sum(map(text.count, ")}]"))


def _num_cut_off(word: str, rest: Sequence[str]) -> int:
    """How many of the following words close the brackets that a word opens."""
    if open_brackets(word) <= 0:
        return 0
    texts = ("".join([word, *rest[:count]]) for count in range(1, len(rest) + 1))
    return next((count for count, text in enumerate(texts, start=1) if open_brackets(text) == 0), 0)


def _stray(word: str, names: Collection[str], owners: dict[str, list[str]]) -> str:
    if word.startswith("-"):
        bare = word.lstrip("-") if "=" in word else f"{word.lstrip('-')}=..."
        return f"{word}: there is no such flag; settings are written without dashes: {bare}"
    if word in owners:
        options = " or ".join(f"{group}={word}" for group in owners[word])
        return f"{word}: a setting is one word with an equals sign; write {options}"
    hint = did_you_mean(word, names) if word else ""
    return f"'{word}': a setting is one word, key=value; {hint}a value with blanks in it goes in quotes"


def read_flags(words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The flags of a command line, and all its other words. Unknown flags stay among the words."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    parser.add_argument("--package", "-p")
    parser.add_argument("--resolve", action="store_true")
    return parser.parse_known_args(words)


def flag_problems(flags: argparse.Namespace, words: Sequence[str]) -> list[str]:
    """Flags that say something else together than each alone."""
    if flags.cfg and flags.multirun:
        return [f"-m beside --cfg {flags.cfg}: one runs a sweep, the other only shows a config; leave one of them out"]
    if flags.cfg:
        return []
    alone = [flag for flag, given in (("--resolve", flags.resolve), ("--package", flags.package)) if given]
    command = shlex.join([Path(sys.argv[0]).name, "--cfg", "job", *words])
    return [f"{flag}: it says how --cfg shows a config; write {command}, or leave it out" for flag in alone]


def flags_for_hydra(flags: argparse.Namespace) -> list[str]:
    """Those that show a config."""
    package = ["--package", flags.package] if flags.package else []
    return ["--cfg", flags.cfg, *package, *(["--resolve"] if flags.resolve else [])]
