"""A sweep: Hydra makes the combinations and hands them out, here or elsewhere; each runs in a folder of its own."""

import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from hydra.core.override_parser.types import Override, Quote, QuotedString
from omegaconf import OmegaConf

from configs.errors import FAILED, OK, STOPPED
from configs.overrides import text

SWEEPS = "runs/sweeps"
SHARED = ("cache.frontend=true",)  # jobs differ after the front end; a setting on the command line still wins
GROUPS = ("sweep", "launcher")  # groups that only say how to sweep
PLUGINS = {  # option -> the module it needs, and the extra that brings it
    "sweep=optuna": ("hydra_plugins.hydra_optuna_sweeper", "sweep"),
    "launcher=joblib": ("hydra_plugins.hydra_joblib_launcher", "sweep"),
    "launcher=slurm": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
}


class Done(NamedTuple):
    """What is left of a job: its exit code and the mean IoU it reached, 0 if none."""

    code: int
    score: float


Job = Callable[[Sequence[str], Path], Done]  # settings of a run and its folder


@dataclass(frozen=True)
class Sweep:
    """Where the jobs of a sweep run: the same command finds the same folders again."""

    job: Job
    overrides: Sequence[Override]
    process: int = field(default_factory=os.getpid)  # that the user started
    began_ns: int = field(default_factory=time.time_ns)

    @property
    def root(self) -> Path:
        """`run.root` if it was given, else a folder named after the command."""
        given = [override.value() for override in self.overrides if override.key_or_group == "run.root"]
        return Path(str(given[-1])) if given else Path(SWEEPS) / f"sweep-{_hash(map(text, self._settings))}"

    @property
    def words(self) -> list[str]:
        """What Hydra is told: the settings that vary, how to sweep, and where to leave its notes.

        What is the same for all jobs does not pass through it: Optuna's sweeper would write null as None.
        """
        varied = [text(one) for one in self.overrides if one.is_sweep_override() or not self._is_for_jobs(one)]
        folder = QuotedString(str(self.root), Quote.single).with_quotes()
        has_preset = any(one.key_or_group == "sweep" for one in self.overrides)  # `with_preset` has read its params
        return [*varied, f"hydra.sweep.dir={folder}", *(["hydra.sweeper.params=null"] if has_preset else [])]

    def run(self, words: Sequence[str]) -> float:
        """One combination, by the words that vary. Returns its score; its exit code goes to a file."""
        varied = [word for word in words if word.partition("=")[0] not in GROUPS]
        name = "_".join(
            f"{key.rpartition('.')[2]}={value}" for key, _, value in (word.partition("=") for word in varied)
        )
        name = re.sub(r"[^\w=.]+", "-", name).replace("=-", "=").replace("-_", "_").strip("-")
        fixed = [text(one) for one in self._settings if not one.is_sweep_override()]
        settings = [*(word for word in fixed if not word.startswith("run.root=")), *varied]
        done = self.job([*SHARED, *settings], self.root / f"{name[:100]}-{_hash(settings)}")
        with self._codes_file.open("a") as file:
            file.write(f"{done.code}\n")
        if done.code == STOPPED and os.getpid() == self.process:
            self._codes_file.unlink()
            sys.exit(STOPPED)  # the jobs after it are not begun
        return done.score

    def exit_code(self) -> int:
        """Of the whole sweep, when it is over."""
        codes = self._codes_file.read_text().split() if self._codes_file.exists() else []
        self._codes_file.unlink(missing_ok=True)
        return OK if all(code == str(OK) for code in codes) else FAILED

    @property
    def _settings(self) -> list[Override]:
        return [override for override in self.overrides if self._is_for_jobs(override)]

    @staticmethod
    def _is_for_jobs(override: Override) -> bool:
        return not override.is_hydra_override() and override.key_or_group not in GROUPS

    @property
    def _codes_file(self) -> Path:
        return self.root / f".exit-codes-{self.process}-{self.began_ns}"


def with_preset(words: Sequence[str], folder: Path) -> list[str]:
    """The words, and before them what `sweep=NAME` varies, but for the keys that they set themselves."""
    given = {word.partition("=")[0].lstrip("+~") for word in words}
    varied: dict[str, str] = {}
    for name in [word.removeprefix("sweep=") for word in words if word.startswith("sweep=")][-1:]:
        file = folder / "sweep" / f"{name}.yaml"
        varied = (OmegaConf.select(OmegaConf.load(file), "hydra.sweeper.params") if file.is_file() else None) or {}
    return [*(f"{key}={value}" for key, value in varied.items() if key not in given), *words]


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


def _hash(words: Iterable[str]) -> str:
    return sha256("\n".join(sorted(words)).encode()).hexdigest()[:8]
