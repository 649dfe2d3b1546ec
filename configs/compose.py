"""Hydra composes the YAML groups beside this file, the schema judges what it composed."""

import functools
import os
import re
from argparse import Namespace
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import hydra
import yaml  # type: ignore[import-untyped]
from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from configs.command_line import PARSER, CommandLine, comma_problems, text
from configs.errors import ConfigError
from configs.keys import did_you_mean, known_keys, takes_text, unknown_key
from configs.rules import problems
from configs.schema import AnalyzeConfig, Config, EvalConfig, PredictConfig, Section
from configs.validation import section_message, validated, without_errors

FOLDER = Path(__file__).resolve().parent
HYDRA_VERSION = "1.3"
PRIMARY: dict[type[Section], str] = {  # the YAML file that composing a config starts from
    Config: "train",
    EvalConfig: "eval",
    PredictConfig: "predict",
    AnalyzeConfig: "analyze",
}
WITHOUT_DEFAULTS: dict[type[Section], Sequence[str]] = {EvalConfig: ("data",)}  # what is not typed is the checkpoint's
COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, yaml.YAMLError)

Kind = TypeVar("Kind", bound=Section)


@dataclass(frozen=True)
class Source:
    """Where YAML files are looked for: the primary one by its name, and the folders that hold it and the groups."""

    name: str
    folder: str = str(FOLDER)
    extra_folder: str | None = None  # --config-dir
    flags: tuple[str, ...] = ()  # that name the same files in another process

    @staticmethod
    def of(kind: type[Section], flags: Namespace) -> "Source":
        """Raises ConfigError where a folder is not there."""
        folder = str(FOLDER.parent / flags.config_path) if flags.config_path else str(FOLDER)
        extra_folder = os.path.abspath(os.path.expanduser(flags.config_dir)) if flags.config_dir else None
        for flag, path in (("--config-path", folder), ("--config-dir", extra_folder)):
            if path is not None and not Path(path).is_dir():
                raise ConfigError([f"{flag} {path}: there is no such folder; give one with YAML files in it"])
        name = flags.config_name or PRIMARY[kind]
        files = {file.stem for place in (folder, extra_folder) if place for file in Path(place).glob("*.yaml")}
        if name.removesuffix(".yaml") not in files:
            hint = did_you_mean(name, files)
            raise ConfigError(
                [f"--config-name {name}: there is no such YAML file; {hint}options: {', '.join(sorted(files))}"]
            )
        values = {"--config-dir": extra_folder, "--config-path": flags.config_path and folder}
        named = {**values, "--config-name": flags.config_name}
        words = [word for flag, value in named.items() if value for word in (flag, value)]
        return Source(name, folder, extra_folder, tuple(words))


def compose(overrides: Sequence[str] = ()) -> Config:
    """The config of `python train.py <overrides>`. Raises ConfigError (a ValueError) with all that is wrong."""
    return composed(Config, overrides)


def composed(kind: type[Kind], words: Sequence[str], source: Source | None = None) -> Kind:
    """The config that a primary YAML file and overrides make. Raises ConfigError with all that is wrong."""
    source = source or Source(PRIMARY[kind])
    line = read(source, kind, words)
    composition = Composition.of(source, kind, line.single)
    wrong = [*line.problems, *comma_problems(line.overrides), *composition.problems(with_rules=not line.misses_option)]
    if wrong or composition.config is None:
        raise ConfigError(wrong)
    return composition.config


def options_of(group: str) -> list[str]:
    """The YAML files of one of our groups."""
    return sorted(path.stem for path in (FOLDER / group).glob("*.yaml"))


def read(source: Source, kind: type[Section], words: Sequence[str]) -> CommandLine:
    """The overrides among the words of a command line, and what is wrong with the others."""
    with hydra_at(source, kind, _search_path(source, words)) as loader:

        @functools.cache
        def options(group: str) -> list[str]:
            return [] if "." in group else loader.get_group_options(group, results_filter=ObjectType.CONFIG)

        groups = [group for group in loader.list_groups("") if group != "hydra"]
        sections = tuple(f"{section}." for section in WITHOUT_DEFAULTS.get(kind, ()))
        line = CommandLine(kind, options, groups, sections)
        line.read(words)
    return line


@contextmanager
def hydra_at(source: Source, kind: type[Section], search_path: Sequence[str] = ()) -> Iterator[ConfigLoader]:
    """Hydra, looking for YAML files where a command line says, and knowing every key of the schema."""
    register(kind)
    version.setbase(HYDRA_VERSION)
    path = create_config_search_path(source.folder)
    for place in search_path:
        path.append("hydra.searchpath", place)
    if source.extra_folder is not None:  # where `hydra.main` puts it
        path.prepend("command-line", f"file://{source.extra_folder}", SearchPathQuery(provider="schema"))
    state = GlobalHydra.instance()
    outer = state.hydra
    state.clear()
    try:
        yield Hydra.create_main_hydra2("app", path).config_loader
    finally:
        state.clear()
        if outer is not None:
            state.initialize(outer)


def register(kind: type[Section]) -> None:
    """Give Hydra every key with its default, as the node that the primary YAML file names first."""
    defaults = kind().model_dump()
    for section in WITHOUT_DEFAULTS.get(kind, ()):
        defaults[section] = {}
    ConfigStore.instance().store(f"{PRIMARY[kind]}_schema", defaults)


def _search_path(source: Source, words: Sequence[str]) -> list[str]:
    """`hydra.searchpath`, of the command line or the primary file: Hydra itself reads it only when it composes."""
    values = [word for word in words if word.lstrip("+").startswith("hydra.searchpath=")]
    files = [Path(folder) / f"{source.name}.yaml" for folder in (source.extra_folder, source.folder) if folder]
    file = next((file for file in files if file.is_file()), None)
    try:
        if values:
            listed: Any = PARSER.parse_override(values[-1]).value()
        else:
            listed = OmegaConf.select(OmegaConf.load(file), "hydra.searchpath") if file else None
        places: Any = OmegaConf.to_container(OmegaConf.create(listed or []), resolve=True)
    except (*COMPOSITION_ERRORS, ValueError):
        return []  # whoever composes says why
    return [place for place in places if isinstance(place, str)]


@dataclass(frozen=True)
class Composition(Generic[Kind]):
    """What Hydra composed, and what is wrong with it."""

    config: Kind | None  # without what the schema refuses; None where Hydra could not compose
    hydra: DictConfig  # Hydra's own settings
    schema_problems: Sequence[str] = ()  # unknown keys, types, bounds

    @staticmethod
    def of(source: Source, kind: type[Kind], overrides: Sequence[Override]) -> "Composition[Kind]":
        try:
            with hydra_at(source, kind):
                whole = hydra.compose(source.name, list(map(text, overrides)), return_hydra_config=True)
                plain = plain_of(whole, kind)
        except COMPOSITION_ERRORS as error:
            return Composition(None, OmegaConf.create({"mode": None}), [explained(error, kind, overrides)])
        groups = [group for group in whole.hydra.runtime.choices if not group.startswith("hydra/")]
        try:
            return Composition(validated(kind, plain, groups=groups), whole.hydra)
        except ConfigError as error:
            typed_keys = {override.key_or_group for override in overrides}
            located = [_located(problem, source, whole.hydra.runtime.choices, typed_keys) for problem in error.problems]
            return Composition(without_errors(kind, plain), whole.hydra, located)

    def problems(self, *, with_rules: bool = True) -> list[str]:
        """All that is wrong; `with_rules`: also settings that cannot go together, and files that are not there."""
        return [*self.schema_problems, *(problems(self.config) if with_rules and self.config is not None else [])]


def plain_of(composition: DictConfig, kind: type[Section]) -> dict[str, Any]:
    """The settings of ours in what Hydra composed, every interpolation resolved."""
    before = HydraConfig.instance().cfg
    if "hydra" in composition:
        HydraConfig.instance().set_config(composition)  # for `${hydra:...}`
    try:
        ours = OmegaConf.masked_copy(composition, [str(key) for key in composition if key != "hydra"])
        _decode_interpolations(ours, kind)
        plain: Any = OmegaConf.to_container(ours, resolve=True)
    finally:
        HydraConfig.instance().cfg = before
    return {str(key): value for key, value in plain.items()}


def _decode_interpolations(composition: DictConfig, kind: type[Section]) -> None:
    """Numbers from the environment come as text: `runtime.workers=${oc.env:SLURM_CPUS_PER_TASK}`."""
    for full, key in known_keys(kind).items():
        parent, _, name = full.rpartition(".")
        section = OmegaConf.select(composition, parent) if parent else composition
        if takes_text(key) or not isinstance(section, DictConfig) or not OmegaConf.is_interpolation(section, name):
            continue
        if isinstance(section[name], str):
            section[name] = PARSER.parse_override(f"{name}={section[name]}").value()


def explained(error: Exception, kind: type[Section], overrides: Sequence[Override]) -> str:
    """What Hydra or OmegaConf says, in our words where it is about a key."""
    message = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
    known = known_keys(kind)
    group = re.match(r"Could not override '([\w/@]+)'\. ?No match in the defaults list", message)
    if group:
        section, values = known.get(group[1]), [one.value() for one in overrides if one.key_or_group == group[1]]
        if isinstance(section, type):
            return section_message(group[1], values[-1] if values else None, section)
        return unknown_key(group[1], known)
    again = re.match(r"Multiple values for (\S+)\.", message)
    if again:
        return f"+{again[1]}=...: {again[1]} is chosen already; write {again[1]}=... without the plus sign"
    missing = re.match(r"Could not (?:override|append to config|delete from config).*?'?(hydra\.[\w.]+)", message)
    if missing:
        part = next((part for part in ("launcher", "sweeper") if missing[1].startswith(f"hydra.{part}")), None)
        if part is None:
            return f"{missing[1]}: Hydra has no such setting; --cfg hydra shows those that it has"
        group_name = {"launcher": "launcher", "sweeper": "sweep"}[part]
        options = " or ".join(f"{group_name}={option}" for option in options_of(group_name) if option != "none")
        return f"{missing[1]}: the {part} that is chosen has no such setting; choose another one by {options}"
    return message


def _located(problem: str, source: Source, chosen: Mapping[str, str | None], typed_keys: Collection[str]) -> str:
    """With the YAML file before it that a key comes from, unless it was typed."""
    key = re.split("[=:]", problem, maxsplit=1)[0]
    if any(key == name or key.startswith(f"{name}.") or name.startswith(f"{key}.") for name in typed_keys):
        return problem
    files = [f"{group}/{option}" for group, option in reversed(list(chosen.items())) if option] + [source.name]
    for file in files:
        for folder in filter(None, (source.extra_folder, source.folder)):
            path = Path(folder) / f"{file}.yaml"
            if path.is_file() and _holds(path, key):
                place = path.relative_to(FOLDER.parent) if path.is_relative_to(FOLDER) else path
                return f"{place}: {problem}"
    return problem


def _holds(path: Path, key: str) -> bool:
    """Whether a YAML file sets a key, or the rest of one below the package that it is for."""
    settings = OmegaConf.load(path)
    package = re.search(r"^# *@package +(\S+)", path.read_text(), re.MULTILINE)
    prefix = "" if package and package[1] == "_global_" else f"{package[1] if package else path.parent.name}."
    return key.startswith(prefix) and OmegaConf.select(settings, key.removeprefix(prefix), default=None) is not None
