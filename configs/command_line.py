"""The words of a command line: Hydra's flags and overrides, and what went wrong before they came here.

An unknown `key=value` becomes `++key=value`, so that Hydra hands it on and the schema can refuse all that is wrong at
once, with the nearest names. Paths that Hydra's grammar does not take are quoted.
"""

import argparse
import re
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, get_origin

from hydra._internal.utils import get_args_parser  # the flags have no other name
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from pydantic.fields import FieldInfo

from configs.keys import Key, did_you_mean, known_keys, takes_text, unknown_key, unknown_option
from configs.schema import Section
from configs.validation import section_message, shown

PARSER = OverridesParser.create()
# `key=value` or `~key`; a key begins with a letter.
PATTERN = re.compile(r"(?:(?P<sign>\+\+|\+|~)?(?P<key>\w[^=]*)=(?P<value>.*))|(?:~(?P<deleted>\w[^=]*))", re.DOTALL)
SWEEPER_PARAMS = "hydra.sweeper.params."
HYDRA_DICTS = ("hydra.sweeper.params", "hydra.job.env_set")  # whose keys are the user's


class Setting(NamedTuple):
    """`key=value`, with Hydra's sign before it: `+`, `++`, `~` or none."""

    sign: str
    key: str
    value: str


@dataclass
class CommandLine:
    """What a command line says. `options` lists the options of a group of YAML files; none: there is no such group."""

    schema: type[Section]
    options: Callable[[str], Collection[str]]
    groups: Sequence[str]
    without_defaults: tuple[str, ...] = ()  # how keys begin that Hydra has no value of
    overrides: list[Override] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    misses_option: bool = False  # a group was chosen wrongly, so what the rest composes to is not what was meant

    @property
    def single(self) -> list[Override]:
        """The overrides with one value."""
        return [override for override in self.overrides if not override.is_sweep_override()]

    def read(self, words: Sequence[str]) -> None:
        """Sort the words into `overrides`, as Hydra takes them, and `problems`."""
        known = known_keys(self.schema)
        settings, self.problems = _settings(words, [*filter(None, known), *self.groups], self._owners)
        for setting in settings:
            override = self._override(setting, known)
            if override is not None:
                self.overrides.append(override)
        self.problems += self._replaced_networks()

    def _replaced_networks(self) -> list[str]:
        """`model=NAME` is a whole network; what it would silently replace is refused."""
        names = {
            override.key_or_group: typed(override) for override in self.overrides if isinstance(override.value(), str)
        }
        if "model" not in names or not self.options("model"):
            return []
        return [
            f"{names[part]} beside {names['model']}, which names a whole network: leave one of them out, or set single "
            f"keys, model.{part}.*"
            for part in ("frontend", "context")
            if part in names
        ]

    def _override(self, setting: Setting, known: Mapping[str, Key]) -> Override | None:
        sign, key, value = setting
        if key.startswith(SWEEPER_PARAMS) and sign != "~":  # a setting that varies, in Hydra's other way to say it
            return self._override(Setting("", key.removeprefix(SWEEPER_PARAMS), value.strip("'\"")), known)
        if key.startswith(("hydra.", "hydra/")) or "@" in key or "/" in key:
            sign = "++" if sign != "~" and key.startswith(HYDRA_DICTS) else sign
            return self._parsed(setting, f"{sign}{key}={value}" if value or sign != "~" else f"~{key}")
        if sign == "~":
            return self._deletion(setting, known)
        options = self.options(key)
        if options and not value.startswith("{"):
            return self._choice(setting, options)
        place = next((known[part] for part in _parents(key) if part in known), None)
        if isinstance(place, FieldInfo):
            self.problems.append(sign + unknown_key(key, known, self.groups))
            return None
        takes_any_text = key in known and takes_text(known[key])
        has_default = isinstance(known.get(key), FieldInfo) and not key.startswith(self.without_defaults)
        key_element = key if has_default else f"++{key}"
        try:
            override = PARSER.parse_override(f"{key_element}={value}")
        except HydraException:
            if takes_any_text:
                return _quoted(key_element, value)
            self.problems.append(f"{key}={value}: {_syntax_hint(key, value)}")
            return None
        is_section = isinstance(known.get(key), type)
        if is_section and any(not isinstance(choice.value(), dict) for choice in choices(override)):
            self.problems.append(self._section_problem(key, value, known[key]))
            return None
        field = known.get(key)
        if isinstance(field, FieldInfo) and get_origin(field.annotation) is list and isinstance(override.value(), dict):
            self.problems.append(f"{key}={value}: a list is required; lists are written {key}=[1,2,4]")
            return None
        is_number = isinstance(override.value(), int | float)
        # A folder named 2024_05 stays one.
        return _quoted(key_element, value) if takes_any_text and is_number else override

    def _section_problem(self, key: str, value: str, section: Key) -> str:
        group = key.rpartition(".")[2]
        assert isinstance(section, type), "no value"
        if not self.options(group):
            return section_message(key, value, section)
        options = ", ".join(self.options(group))
        return f"{key}={value}: {key} is a section; choose one by {group}=...; options: {options}"

    def _deletion(self, setting: Setting, known: Mapping[str, Key]) -> Override | None:
        if setting.key not in known and not self.options(setting.key):
            self.problems.append("~" + unknown_key(setting.key, known, self.groups))
            return None
        return self._parsed(setting, f"~{setting.key}" + (f"={setting.value}" if setting.value else ""))

    def _choice(self, setting: Setting, options: Collection[str]) -> Override | None:
        sign, key, value = setting
        override = self._parsed(setting, f"{sign.replace('++', '')}{key}={value}")
        for choice in [] if override is None else choices(override):
            name = choice.value()
            is_known = isinstance(name, str) and (name in options or "/" in name or "${" in name)
            if not is_known:
                self.misses_option = True
                self.problems.append(unknown_option(key, shown(name), options))
                return None
        return override

    def _parsed(self, setting: Setting, word: str) -> Override | None:
        try:
            return PARSER.parse_override(word)
        except HydraException:
            self.problems.append(f"{word}: {_syntax_hint(setting.key, setting.value)}")
            return None

    def _owners(self) -> dict[str, list[str]]:
        """The groups that have an option of a name."""
        owners: dict[str, list[str]] = {}
        for group in self.groups:
            for option in self.options(group):
                owners.setdefault(option, []).append(group)
        return owners


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


def comma_problems(overrides: Sequence[Override]) -> list[str]:
    """Several values for one key, where there is no sweep."""
    problems = []
    for override in overrides:
        if override.is_sweep_override():
            key, _, value = text(override).lstrip("+").partition("=")
            hint = f"write {key}=[{value}] for a list, or add -m to run once for each"
            problems.append(f"{key}={value}: one value is required; {hint}")
    return problems


def choices(override: Override) -> list[Override]:
    """The single settings of a sweep; of a setting that is no sweep, itself; none where they cannot be listed."""
    if not override.is_sweep_override():
        return [override]
    try:
        texts = list(override.sweep_string_iterator())
    except HydraException:  # interval() and glob()
        return []
    key, _, _ = text(override).partition("=")
    return [PARSER.parse_override(f"{key}={value}") for value in texts]


def text(override: Override) -> str:
    """An override as Hydra takes it."""
    assert override.input_line is not None, "parsed from a line"
    return override.input_line


def typed(override: Override) -> str:
    """An override as one types it."""
    return text(override).removeprefix("++")


def _settings(
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


def _parents(key: str) -> list[str]:
    """The keys that a key lies in, the innermost first."""
    names = key.split(".")
    return [".".join(names[:depth]) for depth in range(len(names) - 1, 0, -1)]


def _num_cut_off(word: str, rest: Sequence[str]) -> int:
    """How many of the following words close the brackets that a word opens."""
    if _open_brackets(word) <= 0:
        return 0
    texts = ("".join([word, *rest[:count]]) for count in range(1, len(rest) + 1))
    return next((count for count, text in enumerate(texts, start=1) if _open_brackets(text) == 0), 0)


def _open_brackets(text: str) -> int:
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


def _quoted(key_element: str, value: str) -> Override:
    return PARSER.parse_override(f"{key_element}={QuotedString(value, Quote.single).with_quotes()}")


def _syntax_hint(key: str, value: str) -> str:
    missing = _open_brackets(value)
    if missing:
        side = "closing" if missing > 0 else "opening"
        return f"a {side} bracket is missing; lists are written {key}=[1,2,4]"
    return f"this value cannot be read; lists are written {key}=[1,2,4], text with special signs in quotes"
