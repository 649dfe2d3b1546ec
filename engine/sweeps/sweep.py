"""A sweep: Hydra makes the combinations and hands them out, here or elsewhere; each has a folder of its own."""

import json
import os
import re
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from hydra.core.override_parser.types import Override, Quote, QuotedString

from configs.command_line import text, typed
from configs.errors import FAILED, INTERRUPTED, OK, STOPPED
from engine.sweeps.plan import GROUPS, SWEEPS, SweepPlan
from engine.sweeps.stop import SweepStop

HYDRA_OF_A_JOB = ("hydra.job.", "hydra.verbose", "hydra.searchpath")  # settings that a job's own process needs
# Settings of Hydra that are ours to tell it: what a sweeper varies stands among the settings.
NOT_FOR_HYDRA = ("hydra.sweeper.params", "hydra.sweep.dir", "hydra.job.chdir")
REPETITION = ("run.", "runtime.", "cache.", "resume")  # where and how a job runs, not what it gives


class JobResult(NamedTuple):
    """Exit code, mean IoU as a fraction, why the job failed, and lines that compare it with the others."""

    code: int
    score: float = 0.0
    reason: str | None = None
    page: Sequence[str] = ()


Job = Callable[
    [Sequence[str], Path, Callable[[], int]], JobResult
]  # the command line of a run, its folder, `SweepStop.count`


@dataclass(frozen=True)
class Sweep:
    """Where the jobs of a sweep run: the same command finds the same folders again."""

    job: Job
    overrides: Sequence[Override]  # of the command line, and what a recipe varies
    flags: Sequence[str]  # that name the YAML files
    groups: Collection[str]  # names of the groups of YAML files
    plan: SweepPlan
    has_processes: bool  # one for each job, which works in the sweep's folder
    process: int = field(default_factory=os.getpid)  # that the user started
    began_ns: int = field(default_factory=time.time_ns)

    @property
    def root(self) -> Path:
        """The folder that was named, else one named after the command; Hydra's notes alone need no name."""
        if self.plan.root or not self.has_processes:
            return Path(self.plan.root or SWEEPS)
        swept = [typed(override) for override in self._settings if override.is_sweep_override()]
        return _named(Path(SWEEPS), "sweep", [*self.flags, *self._fixed], swept)

    @property
    def hydra_words(self) -> list[str]:
        """The command line for Hydra: the settings that vary, recipes, how to sweep, and where to leave its notes.

        Other settings that all jobs share do not pass through Hydra: Optuna's sweeper would write null as None.
        """
        words = [
            text(override)
            for override in self.overrides
            if (override.is_sweep_override() or not self._is_for_jobs(override) or override.key_or_group in self.groups)
            and not override.key_or_group.startswith(NOT_FOR_HYDRA)
        ]
        folder = QuotedString(str(self.root), Quote.single).with_quotes()
        params = ["hydra.sweeper.params=null"] if self.plan.params else []
        # Paths are those of the folder in which the command was typed.
        return ["--multirun", *words, f"hydra.sweep.dir={folder}", "hydra.job.chdir=false", *params]

    def varied(self, task_overrides: Sequence[str]) -> list[str]:
        """The words of a job, as Hydra has made them, without those that all jobs share."""
        fixed = {override.key_or_group for override in self.overrides if not override.is_sweep_override()}
        words = [word.removeprefix("++") for word in task_overrides]
        return [word for word in words if word.lstrip("+~").partition("=")[0] not in fixed]

    def run(self, varied: Sequence[str], subfolder: str = ".") -> float:
        """Run one combination, named by the words that vary, and note its result in a file. Returns its score.

        `subfolder` is `hydra.sweep.subdir`: "." leaves the name to us.
        """
        if self.has_processes:
            self.stop.listen()  # here: a launcher has processes of its own
        if self.stop.count():
            return self._stopped(STOPPED)
        folder = self._folder_of_job(varied, subfolder)
        result = self.job(self._words_of_job(varied), folder, self.stop.count)
        with self._done_file.open("a") as file:
            file.write(json.dumps([folder.name, result]) + "\n")
        return self._stopped(result.code) if result.code in (STOPPED, INTERRUPTED) else result.score

    def _words_of_job(self, varied: Sequence[str]) -> list[str]:
        fixed = [word for word in self._fixed if not word.startswith("run.root=")]
        passed_on = [text(override) for override in self.overrides if override.key_or_group.startswith(HYDRA_OF_A_JOB)]
        # A recipe may ask for a sweep; its jobs are single runs.
        single = ["hydra.mode=RUN"] if self.plan.is_sweep else []
        return [*self.flags, *fixed, *varied, *passed_on, *single]

    def _folder_of_job(self, varied: Sequence[str], subfolder: str) -> Path:
        if subfolder != ".":
            return self.root / subfolder
        pairs = (word.partition("=") for word in varied)
        name = "_".join(f"{key.rpartition('.')[2]}={value}" for key, _, value in pairs)
        name = re.sub(r"[^\w=.]+", "-", name).replace("=-", "=").replace("-_", "_").strip("-")
        fixed = [word for word in self._fixed if not word.startswith("run.root=")]
        return _named(self.root, name[:100], [*self.flags, *fixed], varied)

    def _stopped(self, code: int) -> float:
        """End the sweep, if this is its first process: the jobs that are left are not begun.

        In a launcher's process the launcher decides; submitit requeues a job whose time is up, which then goes on.
        """
        if os.getpid() == self.process:
            sys.exit(code)
        try:
            self.stop.hand_on()
        except Exception as error:  # noted as stopped; the other jobs go on
            print(f"    {error}", flush=True)
        return 0.0

    def finish(self) -> int:
        """Print how the sweep ended and remove the files by which its processes talk; returns the exit code."""
        lines = self._done_file.read_text().splitlines() if self._done_file.exists() else []
        jobs = {name: JobResult(*fields) for name, fields in map(json.loads, lines)}
        codes = [result.code for result in jobs.values()]
        was_asked = bool(self.stop.count())
        self._done_file.unlink(missing_ok=True)
        self.stop.forget()
        if jobs or was_asked:
            print("\n".join(self._last_page(jobs, was_asked=was_asked)), flush=True)
        if was_asked:
            return STOPPED
        return next((code for code in (INTERRUPTED, FAILED, STOPPED) if code in map(_kind, codes)), OK)

    def _last_page(self, jobs: Mapping[str, JobResult], *, was_asked: bool) -> list[str]:
        counts = Counter(_kind(result.code) for result in jobs.values())
        num_stopped = counts[STOPPED] + counts[INTERRUPTED]
        was_stopped = was_asked or num_stopped > 0
        outcome = f"{counts[OK]} {'job' if counts[OK] == 1 else 'jobs'} finished, {counts[FAILED]} failed"
        page = [f"\nstopped: {outcome}, {num_stopped} stopped" if was_stopped else f"\ndone: {outcome}"]
        for name, result in jobs.items():
            if _kind(result.code) == FAILED:
                reason = f": {result.reason}" if result.reason else ""
                page.append(f"  failed (exit code {result.code}): {name}{reason}")
        page += [*jobs.values()][-1].page if jobs else []
        if was_stopped:
            page.append("the same command goes on from here")
        elif self.has_processes:
            root = shlex.quote(f"run.root={self.root}")
            page.append(f"the same command with more values and {root} goes on from here: finished jobs are skipped")
        return page

    @property
    def _settings(self) -> list[Override]:
        return [override for override in self.overrides if self._is_for_jobs(override)]

    @property
    def _fixed(self) -> list[str]:
        """The words that are the same for all jobs, as one types them."""
        return [typed(override) for override in self._settings if not override.is_sweep_override()]

    @staticmethod
    def _is_for_jobs(override: Override) -> bool:
        return not override.is_hydra_override() and override.key_or_group not in GROUPS

    @property
    def stop(self) -> SweepStop:
        return SweepStop(self.root / f".stop-{self.process}-{self.began_ns}", self.process)

    @property
    def _done_file(self) -> Path:
        return self.root / f".done-{self.process}-{self.began_ns}"


def _kind(code: int) -> int:
    """The exit code without the differences between failures."""
    return code if code in (OK, STOPPED, INTERRUPTED) else FAILED


def _named(parent: Path, name: str, fixed: Sequence[str], varied: Sequence[str]) -> Path:
    """A folder that the same settings find again, whatever varied when it was made, and however a run is repeated.

    Folders from before that distinction are found by all the words.
    """
    of_results = [word for word in fixed if not word.lstrip("+").startswith(REPETITION)]
    keys = [_hash([*of_results, *varied]), _hash([*fixed, *varied])]
    folders = [folder for key in keys for folder in sorted(parent.glob(f"*-{key}"))]
    return folders[0] if folders else parent / f"{name}-{keys[0]}"


def _hash(words: Iterable[str]) -> str:
    return sha256("\n".join(sorted(words)).encode()).hexdigest()[:8]
