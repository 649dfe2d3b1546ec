"""The words that a shell delivers: flags, settings, and what went wrong before they came here."""

import argparse
import re
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hydra._internal.utils import get_args_parser  # the flags have no other name

from configs.keys import did_you_mean

# `key=value` or `~key`; a key begins with a letter.
PATTERN = re.compile(r"(?:(?P<sign>\+\+|\+|~)?(?P<key>\w[^=]*)=(?P<value>.*))|(?:~(?P<deleted>\w[^=]*))", re.DOTALL)


class Setting(NamedTuple):
    """`key=value`, with Hydra's sign before it: `+`, `++`, `~` or none."""

    sign: str
    key: str
    value: str


def read_flags(words: Sequence[str]) -> tuple[argparse.Namespace, list[str], list[str]]:
    """Hydra's flags as its own parser reads them, the words that they are made of, and all other words."""
    parser = get_args_parser()
    parser.allow_abbrev = False  # --experiment is not --experimental-rerun
    flags, unknown = parser.parse_known_args(list(words))
    others = Counter([*flags.overrides, *unknown])
    flag_words: list[str] = []
    other_words: list[str] = []
    for word in words:
        is_other = others[word] > 0
        others[word] -= is_other
        (other_words if is_other else flag_words).append(word)
    return flags, flag_words, other_words


def flag_problems(flags: argparse.Namespace, words: Sequence[str]) -> list[str]:
    """Flags that say something else together than each alone."""
    if flags.experimental_rerun:
        return ["--experimental-rerun: a run goes on with the command that it printed, run.dir=DIR resume=auto"]
    if flags.info and flags.multirun:
        return ["-m beside --info: one runs a sweep, the other only shows how Hydra sees it; leave one of them out"]
    if flags.cfg and flags.multirun:
        return [f"-m beside --cfg {flags.cfg}: one runs a sweep, the other only shows a config; leave one of them out"]
    if flags.cfg or flags.help:
        return []
    alone = [flag for flag, value in (("--resolve", flags.resolve), ("--package", flags.package)) if value]
    command = shlex.join([Path(sys.argv[0]).name, "--cfg", "job", *words])
    return [f"{flag}: it says how --cfg shows a config; write {command}, or leave it out" for flag in alone]


def settings_of(
    words: Sequence[str], names: Collection[str], owners: Callable[[], Mapping[str, Sequence[str]]]
) -> tuple[list[Setting], list[str]]:
    """The settings among the words, and a problem for everything else.

    `names` are the known keys and groups, `owners` gives, by name of an option, the groups that have it.
    """
    settings, problems = [], []
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
        elif (match := PATTERN.fullmatch(word)) is not None and match["key"] != "hydra":
            sign = "~" if match["deleted"] else match["sign"] or ""
            settings.append(Setting(sign, match["key"] or match["deleted"], match["value"] or ""))
        else:
            problems.append(_stray(word, names, owners()))
    return settings, problems


def _num_cut_off(word: str, rest: Sequence[str]) -> int:
    """How many of the following words close the brackets that a word opens."""
    if open_brackets(word) <= 0:
        return 0
    texts = ("".join([word, *rest[:count]]) for count in range(1, len(rest) + 1))
    return next((count for count, text in enumerate(texts, start=1) if open_brackets(text) == 0), 0)


def open_brackets(text: str) -> int:
    """How many brackets are opened but not closed; negative if more are closed."""
    return sum(map(text.count, "[{(")) - sum(map(text.count, ")}]"))


def _stray(word: str, names: Collection[str], owners: Mapping[str, Sequence[str]]) -> str:
    if word.startswith("-"):
        bare = word.lstrip("-") if "=" in word else f"{word.lstrip('-')}=..."
        return f"{word}: there is no such flag; settings are written without dashes: {bare}"
    if word in owners:
        options = " or ".join(f"{group}={word}" for group in owners[word])
        return f"{word}: a setting is one word with an equals sign; write {options}"
    hint = did_you_mean(word, names) if word else ""
    return f"'{word}': a setting is one word, key=value; {hint}a value with blanks in it goes in quotes"
