"""From a command line to a checked config: what every entry point starts with.

A single run is composed here and handed on as a dataclass. Hydra itself runs only what needs it: sweeps (-m), `--cfg`,
`--help` and its other flags. Its run folders, log files and changes of directory are not ours: a run owns one folder.
"""

import argparse
import functools
import itertools
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import hydra
import yaml  # type: ignore[import-untyped]
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from configs.check import problems
from configs.errors import FAILED, OK, STOPPED, WRONG_INPUT
from configs.jobs import Job, Sweep, cluster_problems, how_to_sweep_problems, with_preset
from configs.keys import ConfigError, groups_in, keys_in, known_keys, unknown_key
from configs.overrides import CommandLine, choices, text
from configs.plain import from_plain, to_plain, with_changes
from configs.schema import Config

__all__ = ["ConfigError", "compose", "composed", "entry_point", "from_plain", "to_plain", "with_changes"]

FOLDER = Path(__file__).resolve().parent
HYDRA_VERSION = "1.3"
HYDRA_FLAGS = {"--help", "-h", "--hydra-help", "--version", "--info", "-i", "--shell-completion", "-sc"}

Kind = TypeVar("Kind")


def compose(overrides: Sequence[str] = ()) -> Config:
    """The config of `python train.py <overrides>`. Raises ConfigError (a ValueError) with all that is wrong."""
    return composed("train", Config, overrides)


def composed(name: str, kind: type[Kind], overrides: Sequence[str]) -> Kind:
    """The config that `<name>.yaml` and the overrides make. Raises ConfigError with all that is wrong."""
    line = _read(name, kind, overrides, sweeping=False)
    config, wrong = _checked(name, kind, line.overrides) if line.recipe_is_known else (None, [])
    if config is None or line.problems or wrong:
        raise ConfigError(line.problems + wrong)
    return config


def entry_point(name: str, kind: type[Kind], main: Callable[[Kind], int], job: Job | None = None) -> int:
    """Call `main` with the config of this process's command line, with -m once for each combination of a sweep.

    If there is a `job`, -m calls it instead, with the settings of each combination and a folder for its run. Returns
    the exit code. Wrong input ends with exit code 2 and a message for every problem, before any `main` or `job`.
    """
    words = sys.argv[1:]
    if any(word.partition("=")[0] in HYDRA_FLAGS for word in words):
        return _run_hydra(name, kind, main, None, words)
    flags, overrides = _flags(words)
    if not flags.cfg and not flags.multirun:
        try:
            config = composed(name, kind, overrides)
        except ConfigError as error:
            return _refused(error.problems)
        return main(config)
    line = _read(name, kind, with_preset(overrides, FOLDER), sweeping=flags.multirun)
    if flags.multirun and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        line.problems.append("-m: each of torchrun's processes would run every job; start the sweep without torchrun")
    if flags.multirun and line.recipe_is_known:
        line.problems += cluster_problems(line.overrides) + _sweep_problems(name, kind, line.overrides)
    if line.problems:
        return _refused(line.problems)
    sweep = Sweep(job, line.overrides) if flags.multirun and job else None
    told = sweep.words if sweep else [*map(text, line.overrides)]
    return _run_hydra(name, kind, main, sweep, [*_flags_for_hydra(flags), *told])


def _read(name: str, kind: type, words: Sequence[str], *, sweeping: bool) -> CommandLine:
    defaults = OmegaConf.load(FOLDER / f"{name}.yaml").defaults
    chosen = {group for entry in defaults if isinstance(entry, DictConfig) for group in entry}
    groups = {group: options for group, options in groups_in(FOLDER).items() if group in chosen}
    line = CommandLine(kind, groups, sweeping)
    line.read(words)
    line.problems += how_to_sweep_problems(line.overrides, sweeping=sweeping)
    return line


def _checked(name: str, kind: type[Kind], overrides: Sequence[Override]) -> tuple[Kind | None, list[str]]:
    """The config that Hydra composes from good overrides, and what is wrong with it as a whole."""
    _register(name, kind)
    ours = [text(override) for override in overrides if not override.is_hydra_override()]
    try:
        with hydra.initialize_config_dir(str(FOLDER), version_base=HYDRA_VERSION):
            config = _typed(hydra.compose(name, ours), kind)
    except ConfigError as error:
        return None, error.problems
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        return None, [_explained(error, kind)]
    return config, problems(config)


def _register(name: str, kind: type) -> None:
    """Give Hydra the schema that the primary YAML file names first, once in a process."""
    store = ConfigStore.instance()
    if f"{name}_schema.yaml" in store.repo:
        return
    schema = OmegaConf.structured(kind)
    for key, entry in keys_in(kind).items():
        if entry.partial:
            OmegaConf.set_struct(schema[key], False)  # its keys are judged by us
    store.store(f"{name}_schema", schema)


def _typed(composition: DictConfig, kind: type[Kind]) -> Kind:
    for full, key in known_keys(kind).items():
        value = OmegaConf.select(composition, full) if key.is_path else None
        if isinstance(value, str):
            OmegaConf.update(composition, full, os.path.expanduser(value))
    plain: Any = OmegaConf.to_container(composition, resolve=True)
    return from_plain(plain, kind)


def _explained(error: Exception, kind: type) -> str:
    """What Hydra or OmegaConf says of a YAML file, in our words where it is about a key."""
    message = str(error)
    file, key = re.search(r"In '(.+?)'", message), re.search(r"full_key: (\S+)", message)
    place = f"configs/{file[1]}.yaml: " if file else ""
    known = known_keys(kind)
    if key and key[1] not in known:
        return place + unknown_key(key[1], known)
    lines = [line.strip() for line in message.splitlines() if not re.match(r"\s+\w+(_key|_type)[:=]", line)]
    return place + (f"{key[1]}: {lines[-1]}" if key else " ".join(lines))


def _sweep_problems(name: str, kind: type, overrides: Sequence[Override]) -> list[str]:
    """What is wrong with any of the combinations, so that none of them starts in vain."""
    found = []
    swept = [choices(override) for override in overrides]
    for combination in itertools.product(*swept):
        found += _checked(name, kind, combination)[1]
    for override in overrides:
        if override.key_or_group == "run.dir" and not override.is_sweep_override() and override.value() is not None:
            found.append(
                f"{text(override)}: with -m every run needs a folder of its own; set run.root, the folder of them all"
            )
    return found


def _flags(words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The flags of a command line, and all its other words. Unknown flags stay among the words."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    parser.add_argument("--package", "-p")
    parser.add_argument("--resolve", action="store_true")
    return parser.parse_known_args(words)


def _flags_for_hydra(flags: argparse.Namespace) -> list[str]:
    if flags.multirun:
        return ["--multirun"]
    package = ["--package", flags.package] if flags.package else []
    return ["--cfg", flags.cfg, *package, *(["--resolve"] if flags.resolve else [])]


def _run_hydra(
    name: str, kind: type[Kind], main: Callable[[Kind], int], sweep: Sweep | None, words: Sequence[str]
) -> int:
    """Hand the words to Hydra. Jobs of a sweep that fail do not stop the others; being asked to stop does."""
    codes = []

    @functools.wraps(main)
    def job(composition: DictConfig) -> float:
        run = HydraConfig.get()
        told = list(run.overrides.task)
        print(f"--- run {run.job.num} of the sweep: {' '.join(told)}", flush=True)
        if sweep is not None:
            return sweep.run(told)
        code = main(_typed(composition, kind))
        codes.append(code)
        if code == STOPPED:
            sys.exit(STOPPED)
        return code

    _register(name, kind)
    paths = [str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))  # a launcher's processes import us, too
    sys.argv[1:] = words
    hydra.main(version_base=HYDRA_VERSION, config_path=str(FOLDER), config_name=name)(job)()
    return sweep.exit_code() if sweep is not None else (FAILED if any(codes) else OK)


def _refused(wrong: Sequence[str]) -> int:
    wrong = ConfigError(wrong).problems
    program = Path(sys.argv[0]).name
    if len(wrong) == 1:
        print(f"{program}: {wrong[0]}", file=sys.stderr)
    else:
        listed = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(wrong, start=1))
        print(f"{program}: {len(wrong)} settings are wrong\n{listed}", file=sys.stderr)
    return WRONG_INPUT
