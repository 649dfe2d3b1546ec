"""What a command line and the recipe that it names decide of a sweep, and what is wrong with that."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from configs.command_line import typed
from configs.schema import RunConfig
from configs.validation import shown

SWEEPS = "runs/sweeps"  # hydra.sweep.dir of the primary YAML files: no folder was chosen
GROUPS = ("sweep", "launcher")  # groups that only say how to sweep
PLUGINS = {  # option -> the module it needs, and the extra that brings it
    "sweep=optuna": ("hydra_plugins.hydra_optuna_sweeper", "sweep"),
    "launcher=joblib": ("hydra_plugins.hydra_joblib_launcher", "sweep"),
    "launcher=slurm": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
}


@dataclass(frozen=True)
class SweepPlan:
    """What a command line decides of a sweep beside its combinations."""

    mode: RunMode | None = None  # if words or a recipe name it
    root: str | None = None  # the folder of the whole sweep, if words or a recipe name it
    params: Mapping[str, str] = field(default_factory=dict)  # what a recipe varies
    problems: Sequence[str] = ()

    @property
    def is_sweep(self) -> bool:
        return self.mode is RunMode.MULTIRUN


def sweep_plan(hydra: DictConfig, run_root: str | None, typed_keys: Collection[str]) -> SweepPlan:
    """The plan of a command line, from Hydra's own settings, the config's `run.root`, and which keys are typed."""
    params: Any = OmegaConf.to_container(OmegaConf.select(hydra, "sweeper.params") or OmegaConf.create())
    varied = {key: shown(value) for key, value in params.items() if key not in typed_keys}
    folder = OmegaConf.select(hydra, "sweep.dir")
    root = None if run_root == RunConfig().root else run_root
    if folder in (None, SWEEPS):
        return SweepPlan(hydra.mode, root, varied)
    problems = []
    if "run.root" in typed_keys and root != folder:
        problems.append(f"run.root={root} and hydra.sweep.dir={folder}: both are the folder of the sweep; give one")
    return SweepPlan(hydra.mode, os.path.expanduser(folder), varied, problems)


def how_to_sweep_problems(overrides: Iterable[Override], *, sweeping: bool) -> list[str]:
    """What is wrong with the choices of a sweeper and a launcher."""
    problems = []
    for override in overrides:
        choice = typed(override)
        if override.key_or_group not in GROUPS or override.value() == "none":
            continue
        if not sweeping:
            problems.append(f"{choice}: only a sweep is handed out; add -m")
        module, extra = PLUGINS.get(choice, (None, ""))
        if module and find_spec(module) is None:
            problems.append(f'{choice}: {module} is not installed; pip install -e ".[{extra}]"')
    return problems


def cluster_problems(overrides: Iterable[Override]) -> list[str]:
    """Whether this machine can hand jobs to Slurm, if it is to."""
    if "launcher=slurm" not in map(typed, overrides) or shutil.which("srun"):
        return []
    return [
        "launcher=slurm: there is no srun here; start the sweep on a node of the cluster, or choose launcher=joblib"
    ]


def folder_problems(overrides: Iterable[Override]) -> list[str]:
    """What would take its own folder from the sweep or from one of its jobs."""
    problems = []
    for override in overrides:
        if override.key_or_group in ("run.dir", "hydra.run.dir") and override.value() is not None:
            problems.append(
                f"{typed(override)}: with -m every run needs a folder of its own; set run.root, the folder of them all"
            )
        if override.key_or_group == "run.root" and override.is_sweep_override():
            problems.append(f"{typed(override)}: it is the one folder of the sweep, with a folder in it for every run")
    return problems


def job_folder_problems(hydra: DictConfig, num_jobs: int) -> list[str]:
    """A name that all jobs would have in common."""
    if num_jobs < 2 or "sweep" not in hydra or OmegaConf.is_interpolation(hydra.sweep, "subdir"):
        return []
    name = hydra.sweep.subdir
    if name in (None, "."):
        return []
    hint = "'hydra.sweep.subdir=${hydra.job.num}'"
    return [f"hydra.sweep.subdir={name}: {num_jobs} jobs would share this folder; write for example {hint}"]


def range_problems(overrides: Iterable[Override]) -> list[str]:
    """What gives a sweep nothing to run, or only a search such as Optuna's something."""
    overrides = list(overrides)
    searches = any(typed(override).startswith(("sweep=optuna", "hydra/sweeper=")) for override in overrides)
    problems = []
    for override in overrides:
        if override.is_interval_sweep() and not searches:
            problems.append(f"{typed(override)}: only a search takes an interval; add sweep=optuna, or list the values")
        if override.is_range_sweep() and not list(override.sweep_string_iterator()):
            problems.append(f"{typed(override)}: no value in this range; END is above FIRST in range(FIRST,END)")
    return problems


def in_folder(config: Any, folder: Path) -> Any:
    """The config with `output` set to the folder."""
    return config.model_copy(update={"output": str(folder)})


def shared_folder_problems(configs: Sequence[Any], results: Callable[[Any], Path]) -> list[str]:
    """Jobs that write to one folder whatever their `output` says."""
    stuck = [results(config) for config in configs if results(in_folder(config, Path("elsewhere"))) == results(config)]
    return [
        f"with -m {count} jobs would write to {folder}, the last one over the others; give one value for each folder"
        for folder, count in Counter(stuck).items()
        if count > 1
    ]
