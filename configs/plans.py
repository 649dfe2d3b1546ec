"""What a command line and the recipe that it names say of a sweep, and what is wrong with that."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from configs.overrides import text
from configs.plain import shown
from configs.schema import RunConfig

GROUPS = ("sweep", "launcher")  # groups that only say how to sweep
PLUGINS = {  # option -> the module it needs, and the extra that brings it
    "sweep=optuna": ("hydra_plugins.hydra_optuna_sweeper", "sweep"),
    "launcher=joblib": ("hydra_plugins.hydra_joblib_launcher", "sweep"),
    "launcher=slurm": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
}


@dataclass(frozen=True)
class Plan:
    """`words` are the command line's, and before them what a recipe varies; `root` is the folder of the whole sweep."""

    words: Sequence[str]
    mode: RunMode | None = None  # if it is said in words or in a recipe
    root: str | None = None  # if it is said
    has_params: bool = False  # a recipe varies something
    problems: Sequence[str] = ()


def planned(composition: DictConfig, words: Sequence[str], overrides: Sequence[Override]) -> Plan:
    """The plan of a command line, from what Hydra composes of its settings that do not vary."""
    given = {override.key_or_group for override in overrides}
    params: Any = OmegaConf.to_container(OmegaConf.select(composition, "hydra.sweeper.params") or OmegaConf.create())
    varied = [f"{key}={shown(value)}" for key, value in params.items() if key not in given]
    root, folder = (OmegaConf.select(composition, key) for key in ("run.root", "hydra.sweep.dir"))
    problems = []
    if "hydra.sweep.dir" in given:
        if "run.root" in given and root != folder:
            problems.append(f"run.root={root} and hydra.sweep.dir={folder}: both are the folder of the sweep; give one")
        root = folder
    elif root == RunConfig().root:
        root = None
    return Plan([*varied, *words], composition.hydra.mode, root and os.path.expanduser(root), bool(params), problems)


def unknown_how(key: str) -> str:
    """What to say of a setting of Hydra's that the chosen sweeper or launcher does not have."""
    part = "sweeper" if key.startswith("hydra.sweeper") else "launcher"
    group = {"sweeper": "sweep", "launcher": "launcher"}[part]
    options = " or ".join(choice for choice in PLUGINS if choice.startswith(group))
    return f"{key}: the {part} that is chosen has no such setting; choose another one by {options}"


def how_to_sweep_problems(overrides: Iterable[Override], *, sweeping: bool) -> list[str]:
    """What is wrong with the choices of a sweeper and a launcher."""
    found = []
    for override in overrides:
        choice = text(override)
        if override.key_or_group not in GROUPS or override.value() == "none":
            continue
        if not sweeping:
            found.append(f"{choice}: only a sweep is handed out; add -m")
        module, extra = PLUGINS.get(choice, (None, ""))
        if module and find_spec(module) is None:
            found.append(f'{choice}: {module} is not installed; pip install -e ".[{extra}]"')
    return found


def cluster_problems(overrides: Iterable[Override]) -> list[str]:
    """Whether this machine can hand jobs to Slurm, if it is to."""
    if "launcher=slurm" not in map(text, overrides) or shutil.which("srun"):
        return []
    return [
        "launcher=slurm: there is no srun here; start the sweep on a node of the cluster, or choose launcher=joblib"
    ]


def folder_problems(overrides: Iterable[Override]) -> list[str]:
    """What would take its own folder from the sweep or from one of its jobs."""
    found = []
    for override in overrides:
        if override.key_or_group == "run.dir" and override.value() is not None:
            found.append(
                f"{text(override)}: with -m every run needs a folder of its own; set run.root, the folder of them all"
            )
        if override.key_or_group == "run.root" and override.is_sweep_override():
            found.append(f"{text(override)}: it is the one folder of the sweep, with a folder in it for every run")
    return found


def in_folder(config: Any, folder: Path) -> Any:
    """The config of a job that is to write there."""
    return replace(config, output=str(folder))


def shared_folder_problems(configs: Sequence[Any], results: Callable[[Any], Path]) -> list[str]:
    """Jobs that write to one folder whatever their `output` says."""
    stuck = [results(config) for config in configs if results(in_folder(config, Path("elsewhere"))) == results(config)]
    return [
        f"with -m {count} jobs would write to {folder}, the last one over the others; give one value for each folder"
        for folder, count in Counter(stuck).items()
        if count > 1
    ]
