"""An entry point: Hydra composes, the schema judges, and a command runs, alone or for each job of a sweep."""

import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from configs.command_line import (
    PARSER,
    CommandLine,
    choices,
    comma_problems,
    text,
    typed,
)
from configs.compose import COMPOSITION_ERRORS, Composition, Kind, Source, composed, plain_of, read, register
from configs.errors import OK, WRONG_INPUT, ConfigError, cannot_write
from configs.explain import explained
from configs.files import FOLDER
from configs.schema import Config
from configs.validation import validated
from configs.words import flag_problems, read_flags
from engine.process.terminal import surviving_terminal
from engine.sweeps.plan import (
    SweepPlan,
    cluster_problems,
    folder_problems,
    how_to_sweep_problems,
    in_folder,
    job_folder_problems,
    range_problems,
    shared_folder_problems,
    sweep_plan,
)
from engine.sweeps.sweep import Job, JobResult, Sweep

FULL_ERROR = "HYDRA_FULL_ERROR"  # Hydra then hands errors on, instead of printing and ending
# torchrun's processes have one command line: the first says what is wrong with it. torchrun ends all when one of them
# has ended, so the others wait for that, and speak for themselves where it does not come.
SILENCE_S = 30


@dataclass
class Command(Generic[Kind]):
    """What the function below `@hydra.main` does.

    `kind` is the schema. `run` gets the config and returns the exit code. With -m, `job` gets the words of each
    combination and a folder for its run, in a process of its own; without a `job`, `run` is called for each, and
    `results` says where it writes: jobs that would write to one folder get their own. `is_parallel`: `run` may be
    called by several processes at once, as torchrun starts them, which share the work.
    """

    kind: type[Kind]
    run: Callable[[Kind], int]
    job: Job | None = None
    results: Callable[[Kind], Path] | None = None
    is_parallel: bool = False
    _words: list[str] = field(default_factory=list)  # of the command line
    _sweep: Sweep | None = None
    _exit_code: int = OK

    def __post_init__(self) -> None:
        register(self.kind)

    def start(self, main: Callable[[], Any]) -> int:
        """Call `main`, which is below `@hydra.main`, with this process's command line; returns the exit code.

        Wrong input ends with exit code 2 and a message for every problem, before anything runs.
        """
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while torch is imported ends without a traceback
        os.environ[FULL_ERROR] = "1"
        paths = [str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))  # a launcher's processes import us, too
        try:
            words = self.prepare(sys.argv[1:])
            if self._sweep is not None:
                self._begin(self._sweep)
            with surviving_terminal(), arguments(words):
                main()
        except ConfigError as error:
            return _refuse(error.problems)
        except COMPOSITION_ERRORS as error:
            return _refuse([explained(error, self.kind, [])])
        except Exception:
            if self._sweep is None or not self._sweep.stop.count():
                raise
            return self._sweep.finish()  # a launcher's process died of the signal that stops the sweep
        except SystemExit:  # of a job that was stopped, or Hydra's own
            code = self._sweep.finish() if self._sweep is not None else OK
            if code == OK:
                raise
            return code
        return self._sweep.finish() if self._sweep is not None else self._exit_code

    def task(self, composition: DictConfig) -> float:
        """What Hydra calls, for every job of a sweep, too; returns the job's score, which sweepers look at."""
        if self._sweep is None:
            config = self._in_hydra_folder(validated(self.kind, plain_of(composition, self.kind)))
            with arguments(self._words):
                self._exit_code = self.run(config)
            return 0.0
        hydra = HydraConfig.get()
        varied = self._sweep.varied(hydra.overrides.task)
        if not self._sweep.stop.count():
            print(f"--- run {hydra.job.num} of the sweep: {' '.join(varied)}", flush=True)
        return self._sweep.run(varied, hydra.sweep.subdir)

    def prepare(self, command_line: list[str]) -> list[str]:
        """The words of a command line as Hydra is to see them; decides whether it is a sweep. Raises ConfigError."""
        flags, flag_words, words = read_flags(command_line)
        problems = flag_problems(flags, command_line)
        if problems:
            raise ConfigError(problems)
        if flags.help or flags.hydra_help or flags.info or flags.shell_completion:
            return command_line
        problems = self._process_problems(is_sweep=flags.multirun)
        if problems:
            raise ConfigError(problems)
        source = Source.of(self.kind, flags)
        self._words = [*source.flags, *words]
        line = read(source, self.kind, words)
        composition = Composition.of(source, self.kind, line.single)
        typed_keys = {override.key_or_group for override in line.overrides}
        run_root = getattr(getattr(composition.config, "run", None), "root", None)
        plan = sweep_plan(composition.hydra, run_root, typed_keys)
        if not flags.cfg and (flags.multirun or plan.is_sweep):
            return self._swept(source, line, plan, composition.hydra)
        folder_key = "output" if "output" in self.kind.model_fields else "run.dir"
        is_as_meant = not (line.misses_option or flags.cfg)
        problems = [*line.problems, *comma_problems(line.overrides), *composition.problems(with_rules=is_as_meant)]
        if not flags.cfg:
            problems += how_to_sweep_problems(line.overrides, sweeping=False) + _two_folders(line.overrides, folder_key)
        if problems:
            raise ConfigError(problems)
        if not flags.cfg and folder_key in typed_keys and "hydra.run.dir" not in typed_keys:
            line.overrides.append(PARSER.parse_override("hydra.run.dir=."))  # what is typed wins over a recipe's
        elif not flags.cfg:
            _make_folder(composition.hydra)
        return [*flag_words, *map(text, line.overrides)]

    def _swept(self, source: Source, line: CommandLine, plan: SweepPlan, hydra: DictConfig) -> list[str]:
        varied = read(source, self.kind, [f"{key}={value}" for key, value in plan.params.items()])
        line.overrides = [*varied.overrides, *line.overrides]
        cannot_sweep = how_to_sweep_problems(line.overrides, sweeping=True)
        problems = [*varied.problems, *line.problems, *cannot_sweep, *plan.problems, *folder_problems(line.overrides)]
        problems += range_problems(line.overrides)
        configs = []
        if not (varied.misses_option or line.misses_option or cannot_sweep):
            combinations = list(itertools.product(*map(choices, line.overrides)))
            problems += job_folder_problems(hydra, len(combinations))
            for combination in combinations:
                composition = Composition.of(source, self.kind, combination)
                problems += composition.problems()
                configs += [] if composition.config is None else [composition.config]
        results = self.results
        if results is not None and plan.root is None and len({*map(results, configs)}) == len(configs):
            results = None  # each job writes to a folder of its own
        if results is not None:
            problems += shared_folder_problems(configs, results)
        if problems:
            raise ConfigError(problems)

        def in_this_process(words: Sequence[str], folder: Path, _: object) -> JobResult:
            _, _, settings = read_flags(words)
            config = composed(self.kind, settings, source)
            if results is not None:
                config = in_folder(config, folder if plan.root else results(config) / folder.name)
            return JobResult(self.run(config))

        self._sweep = Sweep(
            self.job or in_this_process, line.overrides, source.flags, line.groups, plan, self.job is not None
        )
        return [*source.flags, *self._sweep.hydra_words]

    def _process_problems(self, *, is_sweep: bool) -> list[str]:
        number = os.environ.get("WORLD_SIZE", "")
        if number in ("", "0", "1") or (self.is_parallel and not is_sweep):
            return []
        what = "the jobs of a sweep are processes of their own" if self.is_parallel else "this command has one process"
        return [
            f"WORLD_SIZE={number}: {what}, and each of torchrun's would do all of the work, into one another's files; "
            "start this without torchrun, or with --nproc-per-node=1"
        ]

    @staticmethod
    def _begin(sweep: Sweep) -> None:
        problems = cluster_problems(sweep.overrides)
        if problems:
            raise ConfigError(problems)
        try:
            sweep.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = cannot_write(f"run.root={sweep.root}", error, "set run.root elsewhere")
            raise ConfigError([str(message)]) from error
        if sweep.has_processes:
            sweep.stop.listen()

    def _in_hydra_folder(self, config: Kind) -> Kind:
        """With `hydra.run.dir`, if it was chosen, as the folder of the run or of the results."""
        if not HydraConfig.initialized() or HydraConfig.get().run.dir == ".":
            return config
        folder = HydraConfig.get().runtime.output_dir
        if "output" in self.kind.model_fields:
            return config.model_copy(update={"output": folder})
        assert isinstance(config, Config), "what has no output is a run"
        return config.model_copy(update={"run": config.run.model_copy(update={"dir": folder})})


@contextmanager
def arguments(words: Sequence[str]) -> Iterator[None]:
    """The words as those of this process's command line."""
    before = sys.argv[1:]
    sys.argv[1:] = words
    try:
        yield
    finally:
        sys.argv[1:] = before


def _make_folder(hydra: DictConfig) -> None:
    """Of `hydra.run.dir`, which Hydra makes without saying why it could not. Raises ConfigError."""
    try:
        Path(hydra.run.dir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = cannot_write(f"hydra.run.dir={hydra.run.dir}", error, "name another folder")
        raise ConfigError([str(message)]) from error


def _two_folders(overrides: Sequence[Override], folder_key: str) -> list[str]:
    keys = (folder_key, "hydra.run.dir")
    folders = {typed(override) for override in overrides if override.key_or_group in keys}
    if len({folder.partition("=")[2] for folder in folders}) < 2:
        return []
    return [f"{' and '.join(sorted(folders, reverse=True))}: both are the folder of results; name one"]


def _refuse(problems: Sequence[str]) -> int:
    problems = ConfigError(problems).problems
    if os.environ.get("RANK", "0") != "0":
        time.sleep(SILENCE_S)
    program = Path(sys.argv[0]).name
    if len(problems) == 1:
        print(f"{program}: {problems[0]}", file=sys.stderr)
    else:
        listed = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(problems, start=1))
        print(f"{program}: {len(problems)} settings are wrong\n{listed}", file=sys.stderr)
    return WRONG_INPUT
