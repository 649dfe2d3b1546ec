"""A sweep: Hydra makes the combinations and hands them out, here or elsewhere; each has a folder of its own."""

import os
import re
import sys
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.types import RunMode

from configs.errors import FAILED, INTERRUPTED, OK, STOPPED
from configs.overrides import text
from configs.plans import GROUPS, Plan

SWEEPS = "runs/sweeps"


class Done(NamedTuple):
    """What is left of a job: its exit code and the mean IoU it reached, 0 if none."""

    code: int
    score: float = 0.0


Job = Callable[[Sequence[str], Path], Done]  # settings of a run and its folder


@dataclass(frozen=True)
class Sweep:
    """Where the jobs of a sweep run: the same command finds the same folders again."""

    job: Job
    overrides: Sequence[Override]
    groups: Collection[str]  # names of the groups of YAML files
    plan: Plan
    notes: str | None = None  # where Hydra leaves its notes; none: in the sweep's folder
    process: int = field(default_factory=os.getpid)  # that the user started
    began_ns: int = field(default_factory=time.time_ns)

    @property
    def root(self) -> Path:
        """The folder that was given, else one named after the command."""
        return Path(self.plan.root or self.notes or f"{SWEEPS}/sweep-{_hash(map(text, self._settings))}")

    @property
    def words(self) -> list[str]:
        """What Hydra is told: the settings that vary, recipes, how to sweep, and where to leave its notes.

        What else is the same for all jobs does not pass through it: Optuna's sweeper would write null as None.
        """
        told = [
            text(one)
            for one in self.overrides
            if one.is_sweep_override() or not self._is_for_jobs(one) or one.key_or_group in self.groups
        ]
        folder = QuotedString(str(self.root), Quote.single).with_quotes()
        params = ["hydra.sweeper.params=null"] if self.plan.has_params else []  # they stand among the words
        return ["--multirun", *told, f"hydra.sweep.dir={folder}", *params]

    def varied(self, words: Sequence[str]) -> list[str]:
        """The words of a job without those that all jobs share."""
        fixed = {one.key_or_group for one in self.overrides if not one.is_sweep_override()}
        return [word for word in words if word.partition("=")[0] not in fixed]

    def run(self, varied: Sequence[str]) -> float:
        """One combination, by the words that vary. Returns its score; its exit code goes to a file."""
        name = "_".join(
            f"{key.rpartition('.')[2]}={value}" for key, _, value in (word.partition("=") for word in varied)
        )
        name = re.sub(r"[^\w=.]+", "-", name).replace("=-", "=").replace("-_", "_").strip("-")
        fixed = [text(one) for one in self._settings if not one.is_sweep_override()]
        settings = [*(word for word in fixed if not word.startswith("run.root=")), *varied]
        # A recipe may ask for a sweep; its jobs are single runs.
        single = ["hydra.mode=RUN"] if self.plan.mode is RunMode.MULTIRUN else []
        done = self.job([*settings, *single], self.root / f"{name[:100]}-{_hash(settings)}")
        with self._codes_file.open("a") as file:
            file.write(f"{done.code}\n")
        if done.code in (STOPPED, INTERRUPTED) and os.getpid() == self.process:
            self._codes_file.unlink()
            sys.exit(done.code)  # the jobs after it are not begun
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


def _hash(words: Iterable[str]) -> str:
    return sha256("\n".join(sorted(words)).encode()).hexdigest()[:8]
