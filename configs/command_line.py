"""The overrides of a command line, as Hydra takes them.

An unknown `key=value` becomes `++key=value`, so that Hydra hands it on and the schema can refuse all that is wrong at
once, with the nearest names. Paths that Hydra's grammar does not take are quoted.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_origin

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from pydantic.fields import FieldInfo

from configs.keys import Key, known_keys, takes_names, takes_text, unknown_key, unknown_option
from configs.schema import Section
from configs.validation import section_message, shown
from configs.words import Setting, open_brackets, settings_of

PARSER = OverridesParser.create()
SWEEPER_PARAMS = "hydra.sweeper.params."
HYDRA_DICTS = ("hydra.sweeper.params", "hydra.job.env_set")  # whose keys are the user's


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
        settings, self.problems = settings_of(words, [*filter(None, known), *self.groups], self._owners)
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
        if isinstance(place, FieldInfo) and not takes_names(place):
            self.problems.append(sign + unknown_key(key, known, self.groups))
            return None
        takes_any_text = key in known and takes_text(known[key])
        has_default = isinstance(known.get(key), FieldInfo) and not key.startswith(self.without_defaults)
        has_default = has_default and not takes_names(known[key])  # names are added to it
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
        if takes_names(field) and not isinstance(override.value(), dict):
            self.problems.append(
                f"{key}={value}: settings under names are required; write {key}={{NAME: {{KEY: VALUE}}}}"
            )
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


def _parents(key: str) -> list[str]:
    """The keys that a key lies in, the innermost first."""
    names = key.split(".")
    return [".".join(names[:depth]) for depth in range(len(names) - 1, 0, -1)]


def _quoted(key_element: str, value: str) -> Override:
    return PARSER.parse_override(f"{key_element}={QuotedString(value, Quote.single).with_quotes()}")


def _syntax_hint(key: str, value: str) -> str:
    missing = open_brackets(value)
    if missing:
        side = "closing" if missing > 0 else "opening"
        return f"a {side} bracket is missing; lists are written {key}=[1,2,4]"
    return f"this value cannot be read; lists are written {key}=[1,2,4], text with special signs in quotes"
