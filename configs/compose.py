"""From a command line to a checked config: what every entry point starts with.

A single run is composed here and handed on as a dataclass. Hydra itself runs only what needs it: sweeps (-m), `--cfg`,
`--help` and its other flags. Its run folders, log files and changes of directory are not ours: a run owns one folder.
"""

import functools
import itertools
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import hydra
import yaml  # type: ignore[import-untyped]
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from configs.check import problems
from configs.errors import OK, WRONG_INPUT
from configs.jobs import Done, Job, Sweep
from configs.keys import ConfigError, groups_in, keys_in, known_keys, unknown_key
from configs.overrides import CommandLine, choices, text
from configs.plain import from_plain, to_plain, with_changes
from configs.plans import (
    Plan,
    cluster_problems,
    folder_problems,
    how_to_sweep_problems,
    in_folder,
    planned,
    shared_folder_problems,
    unknown_how,
)
from configs.schema import Config
from configs.words import flag_problems, flags_for_hydra, read_flags

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


def entry_point(
    name: str,
    kind: type[Kind],
    main: Callable[[Kind], int],
    job: Job | None = None,
    results: Callable[[Kind], Path] | None = None,
) -> int:
    """Call `main` with the config of this process's command line, with -m once for each combination of a sweep.

    If there is a `job`, -m calls it instead, with the settings of each combination and a folder for its run. Else
    `results` says where `main` writes: jobs that would write to one folder get their own below it, by `output`. Returns
    the exit code. Wrong input ends with exit code 2 and a message for every problem, before any `main` or `job`.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while torch is imported ends without a traceback
    words = sys.argv[1:]
    if any(word.partition("=")[0] in HYDRA_FLAGS for word in words):
        return _run_hydra(name, kind, main, words)
    flags, overrides = read_flags(words)
    wrong = flag_problems(flags, words) + _process_problems()
    if wrong:
        return _refused(wrong)
    if flags.cfg:
        line = _read(name, kind, overrides, sweeping=False)
        told = [*flags_for_hydra(flags), *map(text, line.overrides)]
        return _refused(line.problems) if line.problems else _run_hydra(name, kind, main, told)
    plan = _plan(name, kind, overrides)
    try:
        if flags.multirun or plan.mode is RunMode.MULTIRUN:
            return _sweep(name, kind, main, plan, job, results)
        config = composed(name, kind, overrides)
    except ConfigError as error:
        return _refused(error.problems)
    return main(config)


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


def _plan(name: str, kind: type, words: Sequence[str]) -> Plan:
    """What is wrong with a run as well is left to whoever composes that."""
    line = _read(name, kind, words, sweeping=True)
    fixed = [text(override) for override in line.overrides if not override.is_sweep_override()]
    _register(name, kind)
    try:
        with hydra.initialize_config_dir(str(FOLDER), version_base=HYDRA_VERSION):
            return planned(hydra.compose(name, fixed, return_hydra_config=True), words, line.overrides)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        key = re.search(r"override '(hydra\.\S+)'", str(error))
        return Plan(words, problems=[unknown_how(key[1])] if key else [])


def _sweep(
    name: str,
    kind: type[Kind],
    main: Callable[[Kind], int],
    plan: Plan,
    job: Job | None,
    results: Callable[[Kind], Path] | None,
) -> int:
    """Raises ConfigError."""
    line = _read(name, kind, plan.words, sweeping=True)
    line.problems += plan.problems
    configs: list[Kind] = []
    if line.recipe_is_known:
        configs, wrong = _judged(name, kind, line.overrides)
        line.problems += cluster_problems(line.overrides) + wrong
    apart = results if results and len(set(map(results, configs))) < len(configs) else None
    if apart:
        line.problems += shared_folder_problems(configs, apart)
    if line.problems:
        raise ConfigError(line.problems)

    def in_this_process(words: Sequence[str], folder: Path, _: object) -> Done:
        GlobalHydra.instance().clear()  # it has handed out this job, and composes one thing at a time
        config = composed(name, kind, words)
        return Done(main(in_folder(config, apart(config) / folder.name) if apart else config))

    sweep = Sweep(job or in_this_process, line.overrides, line.groups, plan, has_processes=job is not None)
    try:
        sweep.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            [f"run.root={sweep.root} cannot be written ({error.strerror}); set run.root elsewhere"]
        ) from error
    if sweep.has_processes:
        sweep.stop.listen()
    return _run_hydra(name, kind, main, sweep.words, sweep)


def _sweep_problems(name: str, kind: type, overrides: Sequence[Override]) -> list[str]:
    return _judged(name, kind, overrides)[1]


def _judged(name: str, kind: type[Kind], overrides: Sequence[Override]) -> tuple[list[Kind], list[str]]:
    """The combinations, and what is wrong with any of them, so that none starts in vain."""
    wrong, configs = folder_problems(overrides), []
    for combination in itertools.product(*map(choices, overrides)):
        config, found = _checked(name, kind, combination)
        wrong += found
        configs += [] if config is None else [config]
    return configs, wrong


def _process_problems() -> list[str]:
    number = os.environ.get("WORLD_SIZE", "")
    if number in ("", "0", "1"):
        return []
    return [
        f"WORLD_SIZE={number}: each of torchrun's processes would do all of the work, into one another's files; start "
        f"this without torchrun, or with --nproc-per-node=1"
    ]


def _run_hydra(
    name: str, kind: type[Kind], main: Callable[[Kind], int], words: Sequence[str], sweep: Sweep | None = None
) -> int:
    """Hand the words to Hydra, which calls back for every job of a sweep."""

    @functools.wraps(main)
    def task(_: DictConfig) -> float:
        assert sweep is not None, "all else that Hydra is handed runs nothing"
        hydra_job = HydraConfig.get()
        varied = sweep.varied(hydra_job.overrides.task)
        if not sweep.stop.count():
            print(f"--- run {hydra_job.job.num} of the sweep: {' '.join(varied)}", flush=True)
        return sweep.run(varied)

    _register(name, kind)
    paths = [str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))  # a launcher's processes import us, too
    sys.argv[1:] = words
    try:
        hydra.main(version_base=HYDRA_VERSION, config_path=str(FOLDER), config_name=name)(task)()
    except SystemExit:  # of a job that was stopped, or Hydra's own
        code = sweep.finish() if sweep is not None else OK
        if code == OK:
            raise
        return code
    return sweep.finish() if sweep is not None else OK


def _refused(wrong: Sequence[str]) -> int:
    wrong = ConfigError(wrong).problems
    program = Path(sys.argv[0]).name
    if len(wrong) == 1:
        print(f"{program}: {wrong[0]}", file=sys.stderr)
    else:
        listed = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(wrong, start=1))
        print(f"{program}: {len(wrong)} settings are wrong\n{listed}", file=sys.stderr)
    return WRONG_INPUT
