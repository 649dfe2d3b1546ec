"""The settings of a command line, each judged by itself before Hydra sees any of them.

Hydra alone stops at the first fault, takes `+model.contxt=...` for a new key and refuses paths with `~` or `=` in them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from configs.keys import Key, known_keys, unknown_key, unknown_option
from configs.plain import read, shown
from configs.words import Setting, open_brackets, settings

PARSER = OverridesParser.create()
# The settings of Hydra that serve here: how a sweep is handed out. All others would be taken and do nothing.
HOW_TO_SWEEP = ("hydra.mode", "hydra.sweep.dir", "hydra.sweeper", "hydra.launcher", "hydra/sweeper", "hydra/launcher")
NOT_HYDRAS = {  # how a setting begins: who decides this instead
    "hydra.run.": "the folder of results is {folder}",
    "hydra.output_subdir": "the folder of results is {folder}, and a run keeps its settings there in config.json",
    "hydra.sweep.": "a job's folder is named after what varies; hydra.sweep.dir=DIR is the folder of them all",
    "hydra.job.": "a job works where the command is typed, in the environment of the shell; set variables there",
    "hydra.verbose": "Hydra's log is off; a run keeps what it says in log.txt",
    "hydra.job_logging": "Hydra's log is off; a run keeps what it says in log.txt",
    "hydra.hydra_logging": "Hydra's log is off; a run keeps what it says in log.txt",
    "hydra.searchpath": "recipes are files below configs/; copy yours there",
}


@dataclass
class CommandLine:
    """What a command line says, judged by a schema and the groups of YAML files (name -> options)."""

    schema: type
    groups: Mapping[str, Sequence[str]]
    sweeping: bool
    overrides: list[Override] = field(default_factory=list)  # those that are right
    problems: list[str] = field(default_factory=list)
    recipe_is_known: bool = True  # no group was chosen wrongly: what the rest composes to is worth judging

    def __post_init__(self) -> None:
        self.known = known_keys(self.schema)

    def read(self, words: Sequence[str]) -> None:
        """Take the words in: settings that are right to `overrides`, all that is wrong to `problems`."""
        owners: dict[str, list[str]] = {}
        for group, options in self.groups.items():
            for option in options:
                owners.setdefault(option, []).append(group)
        found, self.problems = settings(words, [*filter(None, self.known), *self.groups], owners)
        for setting in found:
            before = len(self.problems)
            override = self._parsed(setting)
            for choice in [] if override is None else choices(override):
                self._judge_value(choice)
            if override is not None and len(self.problems) == before:
                self.overrides.append(override)
        self._judge_network()

    def _judge_network(self) -> None:
        """`model=NAME` is a whole network; what it would silently replace is refused."""
        given = {override.key_or_group: text(override) for override in self.overrides}
        for part in ("frontend", "context"):
            if {"model", part} <= self.groups.keys() & given.keys():
                self.problems.append(
                    f"{given[part]} beside {given['model']}, which names a whole network: leave one of them out, or "
                    f"set single keys, model.{part}.*"
                )

    def _parsed(self, setting: Setting) -> Override | None:
        sign, key, value = setting
        if key.startswith(("hydra.", "hydra/")):
            return self._parsed_for_hydra(setting)
        if key not in self.known and key not in self.groups:
            self.problems.append(sign + unknown_key(key, self.known, self.groups))
            return None
        if sign == "~":
            self.problems.append(f"~{key}: no key can be taken away; set it instead, {key}=...")
            return None
        # `+` and `++` change nothing about a key that exists.
        override = self._parsed_value(key, value)
        if override is not None and override.is_sweep_override() and not self.sweeping:
            advice = f"write {key}=[{value}] for a list, or add -m to run once for each"
            self.problems.append(f"{key}={value}: one value is required; {advice}")
            return None
        return override

    def _parsed_value(self, key: str, value: str) -> Override | None:
        takes_text = key not in self.groups and self.known[key].annotation in (str, str | None)
        try:
            override = PARSER.parse_override(f"{key}={value}")
        except HydraException:
            if takes_text:
                return _quoted(key, value)
            self.problems.append(f"{key}={value}: {_syntax_advice(key, value)}")
            return None
        is_number = isinstance(override.value(), int | float)
        return _quoted(key, value) if takes_text and is_number else override  # a folder named 2024_05 stays one

    def _parsed_for_hydra(self, setting: Setting) -> Override | None:
        word = f"{setting.sign}{setting.key}={setting.value}"
        advice = self._advice_for_hydra(setting)
        if advice:
            self.problems.append(f"{word}: {advice}")
            return None
        try:
            override = PARSER.parse_override(word)
        except HydraException as error:
            self.problems.append(f"{word}: Hydra cannot read this: {error}")
            return None
        if override.is_sweep_override():
            self.problems.append(
                f"{word}: one value is required, it is the whole sweep's; text with commas goes in quotes"
            )
            return None
        return override

    def _advice_for_hydra(self, setting: Setting) -> str:
        """What to do instead of this setting of Hydra's; empty if it serves."""
        if setting.sign == "~":
            return "no key can be taken away; set it instead"
        folder = "run.dir" if "run.dir" in self.known else "output"
        if setting.key == "hydra.sweep.dir" and folder == "output":
            return "the folder of results is output, of a sweep's, too"
        if not setting.key.startswith(HOW_TO_SWEEP):
            reasons = (reason for start, reason in NOT_HYDRAS.items() if setting.key.startswith(start))
            reason = next(reasons, "of Hydra's own settings only those of a sweep serve here").format(folder=folder)
            return f"{reason}; known: {', '.join(HOW_TO_SWEEP)}"
        if self.sweeping or setting.key == "hydra.mode":
            return ""
        return "it says how a sweep is handed out; add -m, or leave it out"

    def _judge_value(self, override: Override) -> None:
        full, value = override.key_or_group, override.value()
        if override.is_hydra_override():
            return
        if full in self.groups and not isinstance(value, dict):
            if value not in self.groups[full]:
                self.problems.append(unknown_option(full, shown(value), self.groups[full]))
                self.recipe_is_known = False
            return
        key, group = self.known.get(full, Key(str)), full.rpartition(".")[2]
        is_interpolation = isinstance(value, str) and "${" in value
        if key.section and isinstance(value, str) and group in self.groups:
            options = ", ".join(self.groups[group])
            self.problems.append(f"{full}={value}: {full} is a section; choose one by {group}=...; options: {options}")
        elif not is_interpolation:
            read(value, replace(key, partial=True), full, self.problems)


def choices(override: Override) -> list[Override]:
    """The single settings of a sweep; of a setting that is no sweep, itself; none where they cannot be listed."""
    if not override.is_sweep_override():
        return [override]
    try:
        texts = list(override.sweep_string_iterator())
    except HydraException:  # interval() and glob()
        return []
    return [PARSER.parse_override(f"{override.key_or_group}={text}") for text in texts]


def text(override: Override) -> str:
    """An override as Hydra takes it."""
    assert override.input_line is not None, "parsed from a line"
    return override.input_line


def _quoted(key: str, value: str) -> Override:
    return PARSER.parse_override(f"{key}={QuotedString(value, Quote.single).with_quotes()}")


def _syntax_advice(key: str, value: str) -> str:
    missing = open_brackets(value)
    if missing:
        side = "closing" if missing > 0 else "opening"
        return f"a {side} bracket is missing; lists are written {key}=[1,2,4]"
    return f"this value cannot be read; lists are written {key}=[1,2,4], text with special signs in quotes"
