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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
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
from configs.keys import ConfigError, groups_in, keys_in, known_keys, unknown_key
from configs.overrides import CommandLine, choices, text
from configs.plain import from_plain, to_plain, with_changes
from configs.schema import Config

__all__ = ["ConfigError", "compose", "composed", "entry_point", "from_plain", "to_plain", "with_changes"]

FOLDER = Path(__file__).resolve().parent
HYDRA_VERSION = "1.3"
HYDRA_FLAGS = {"--help", "-h", "--hydra-help", "--version", "--info", "-i", "--shell-completion", "-sc"}
SWEEPS = "runs/sweeps"
SWEEP_ROOT = f"run.root={SWEEPS}"
SHARED = ("cache.frontend=true",)  # jobs differ after the front end; a setting on the command line still wins
OK, FAILED, WRONG_INPUT, STOPPED = 0, 1, 2, 75  # exit codes

Kind = TypeVar("Kind")
Job = Callable[[Sequence[str], Path], int]  # settings of a run and its folder; returns the exit code


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
    line = _read(name, kind, overrides, sweeping=flags.multirun)
    if flags.multirun and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        line.problems.append("-m: each of torchrun's processes would run every job; start the sweep without torchrun")
    if flags.multirun and line.recipe_is_known:
        line.problems += _sweep_problems(name, kind, line.overrides)
    if line.problems:
        return _refused(line.problems)
    sweep = Sweep(job, line.overrides) if flags.multirun and job else None
    return _run_hydra(name, kind, main, sweep, [*_flags_for_hydra(flags, line), *map(text, line.overrides)])


@dataclass(frozen=True)
class Sweep:
    """Where the jobs of a sweep run: the same command finds the same folders again."""

    job: Job
    overrides: Sequence[Override]

    @property
    def root(self) -> Path:
        """`run.root` if it was given, else a folder named after the command."""
        given = [override.value() for override in self.overrides if override.key_or_group == "run.root"]
        return Path(str(given[-1])) if given else Path(SWEEPS) / f"sweep-{_hash(map(text, self.overrides))}"

    def run(self, words: Sequence[str]) -> int:
        """One combination; its folder is named after what is swept, and a hash tells equal names apart."""
        swept = {override.key_or_group for override in self.overrides if override.is_sweep_override()}
        told = [word for word in words if word.partition("=")[0] in swept]
        name = "_".join(f"{key.rpartition('.')[2]}={value}" for key, _, value in (word.partition("=") for word in told))
        name = re.sub(r"[^\w=.]+", "-", name).replace("=-", "=").replace("-_", "_").strip("-")
        settings = [word for word in words if not word.startswith("run.root=")]
        return self.job([*SHARED, *settings], self.root / f"{name[:100]}-{_hash(settings)}")


def _hash(words: Iterable[str]) -> str:
    return sha256("\n".join(sorted(words)).encode()).hexdigest()[:8]


def _read(name: str, kind: type, words: Sequence[str], *, sweeping: bool) -> CommandLine:
    defaults = OmegaConf.load(FOLDER / f"{name}.yaml").defaults
    chosen = {group for entry in defaults if isinstance(entry, DictConfig) for group in entry}
    groups = {group: options for group, options in groups_in(FOLDER).items() if group in chosen}
    line = CommandLine(kind, groups, sweeping)
    line.read(words)
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


def _flags_for_hydra(flags: argparse.Namespace, line: CommandLine) -> list[str]:
    if flags.multirun:
        # Of two values for a key the last one counts, so the folder of sweeps is only a default.
        return ["--multirun", *([SWEEP_ROOT] if "run.root" in line.known else [])]
    package = ["--package", flags.package] if flags.package else []
    return ["--cfg", flags.cfg, *package, *(["--resolve"] if flags.resolve else [])]


def _run_hydra(
    name: str, kind: type[Kind], main: Callable[[Kind], int], sweep: Sweep | None, words: Sequence[str]
) -> int:
    """Hand the words to Hydra. Jobs of a sweep that fail do not stop the others; being asked to stop does."""
    codes = []

    @functools.wraps(main)
    def job(composition: DictConfig) -> int:
        run = HydraConfig.get()
        told = [word for word in run.overrides.task if word != SWEEP_ROOT]
        print(f"--- run {run.job.num} of the sweep: {' '.join(told)}", flush=True)
        code = main(_typed(composition, kind)) if sweep is None else sweep.run(told)
        codes.append(code)
        if code == STOPPED:
            sys.exit(STOPPED)
        return code

    _register(name, kind)
    sys.argv[1:] = words
    hydra.main(version_base=HYDRA_VERSION, config_path=str(FOLDER), config_name=name)(job)()
    return FAILED if any(codes) else OK


def _refused(wrong: Sequence[str]) -> int:
    wrong = ConfigError(wrong).problems
    program = Path(sys.argv[0]).name
    if len(wrong) == 1:
        print(f"{program}: {wrong[0]}", file=sys.stderr)
    else:
        listed = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(wrong, start=1))
        print(f"{program}: {len(wrong)} settings are wrong\n{listed}", file=sys.stderr)
    return WRONG_INPUT
