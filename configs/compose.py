"""Hydra composes the YAML groups beside this file, the schema judges what it composed."""

import functools
import os
from argparse import Namespace
from collections.abc import Iterator, Sequence
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
from configs.explain import explained, located, require_packages
from configs.files import FOLDER
from configs.keys import did_you_mean, known_keys, takes_text
from configs.rules import broken_rules
from configs.schema import (
    AnalyzeConfig,
    AuditConfig,
    Config,
    EvalConfig,
    ExportConfig,
    PredictConfig,
    ReportConfig,
    Section,
)
from configs.validation import validated, without_errors

HYDRA_VERSION = "1.3"
PRIMARY: dict[type[Section], str] = {  # the YAML file that composing a config starts from
    Config: "train",
    AuditConfig: "audit",
    EvalConfig: "eval",
    PredictConfig: "predict",
    ExportConfig: "export",
    AnalyzeConfig: "analyze",
    ReportConfig: "report",
}
WITHOUT_DEFAULTS: dict[type[Section], Sequence[str]] = {  # what is not typed is the checkpoint's
    EvalConfig: ("data",),
    ReportConfig: ("data",),
}
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
        if name != PRIMARY[kind] and name in PRIMARY.values():
            raise ConfigError(
                [f"--config-name {name}: this is the file of {name}.py; name one that inherits {PRIMARY[kind]}"]
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
    problems = [
        *line.problems,
        *comma_problems(line.overrides),
        *composition.problems(with_rules=not line.misses_option),
    ]
    if problems or composition.config is None:
        raise ConfigError(problems)
    return composition.config


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
    """Give Hydra every key with its default, as the node that the primary YAML file names first; once in a process."""
    if kind is AuditConfig:
        register(Config)  # audit.yaml inherits train.yaml
    store, name = ConfigStore.instance(), f"{PRIMARY[kind]}_schema"
    if f"{name}.yaml" in store.repo:
        return
    defaults = kind().model_dump()
    for section in WITHOUT_DEFAULTS.get(kind, ()):
        defaults[section] = {}
    store.store(name, defaults)


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
                require_packages(plain, whole.hydra.runtime.choices)
        except ConfigError as error:
            return Composition(None, OmegaConf.create({"mode": None}), error.problems)
        except COMPOSITION_ERRORS as error:
            return Composition(None, OmegaConf.create({"mode": None}), [explained(error, kind, overrides)])
        groups = [group for group in whole.hydra.runtime.choices if not group.startswith("hydra/")]
        try:
            return Composition(validated(kind, plain, groups=groups), whole.hydra)
        except ConfigError as error:
            typed_keys = {override.key_or_group for override in overrides}
            chosen = reversed(list(whole.hydra.runtime.choices.items()))
            files = [*(f"{group}/{option}" for group, option in chosen if option), source.name]
            folders = [Path(folder) for folder in (source.extra_folder, source.folder) if folder]
            problems = [located(problem, files, folders, typed_keys) for problem in error.problems]
            return Composition(without_errors(kind, plain), whole.hydra, problems)

    def problems(self, *, with_rules: bool = True) -> list[str]:
        """All that is wrong; `with_rules`: also settings that cannot go together, and files that are not there."""
        rules = broken_rules(self.config) if with_rules and self.config is not None else []
        return [*self.schema_problems, *rules]


def plain_of(composition: DictConfig, kind: type[Section]) -> dict[str, Any]:
    """The settings of ours in what Hydra composed, every interpolation resolved."""
    before = HydraConfig.instance().cfg
    if "hydra" in composition:
        HydraConfig.instance().set_config(composition)  # for `${hydra:...}`
    try:
        ours = OmegaConf.masked_copy(composition, [key for key in composition if key != "hydra"])  # type: ignore[misc]  # numbers, too
        _decode_interpolations(ours, kind)
        plain: Any = OmegaConf.to_container(ours, resolve=True)
    finally:
        HydraConfig.instance().cfg = before
    return {str(key): _with_text_keys(value) for key, value in plain.items()}


def _with_text_keys(plain: Any) -> Any:
    """YAML and Hydra know keys that are numbers; the schema has none."""
    if isinstance(plain, dict):
        return {str(key): _with_text_keys(value) for key, value in plain.items()}
    return plain


def _decode_interpolations(composition: DictConfig, kind: type[Section]) -> None:
    """Numbers from the environment come as text: `runtime.workers=${oc.env:SLURM_CPUS_PER_TASK}`."""
    for full, key in known_keys(kind).items():
        parent, _, name = full.rpartition(".")
        section = OmegaConf.select(composition, parent) if parent else composition
        if takes_text(key) or not isinstance(section, DictConfig) or not OmegaConf.is_interpolation(section, name):
            continue
        if isinstance(section[name], str):
            section[name] = PARSER.parse_override(f"{name}={section[name]}").value()
