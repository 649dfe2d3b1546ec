"""Train the stages of an experiment, then show what each of them scored.

python train.py                                            the built-in scenes, all three stages
python train.py experiment=camvid data.root=DIR            a complete recipe on real images
python train.py 'model.context.dilations=[1,1,2,4,1]'      another dilation schedule
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import hydra
from omegaconf import DictConfig

from assembly.command import Command
from configs.compose import HYDRA_VERSION
from configs.schema import Config
from engine.sweeps.sweep import JobResult

# What a job of a sweep imports, once for all of them.
JOB_MODULES = (
    "assembly.introduction",
    "assembly.plan",
    "engine.reporting.reporter",
    "models.build",
)

SHARED = ("cache.frontend=true",)  # jobs differ after the front end; a setting on the command line still wins


@hydra.main(version_base=HYDRA_VERSION, config_path="configs", config_name="train")
def main(composition: DictConfig) -> float:
    return COMMAND.task(composition)


def run(config: Config) -> int:
    # Imported here and below, so that a typo on the command line is answered before torch is loaded.
    from engine.process.exits import guarded

    return guarded(lambda: train(config), "lower stage.*.crop_px or stage.*.batch, or raise stage.*.accumulation")


def job(words: Sequence[str], folder: Path, stops: Callable[[], int]) -> JobResult:
    """One run of a sweep, in a process of its own; the leaderboard beside its folder is brought up to date."""
    from configs.errors import OK, STOPPED
    from engine.reporting.leaderboard import NAME, best_line, final_score, write_leaderboard
    from engine.sweeps.job import reason_of, run_job

    code = run_job(Path(__file__), [*SHARED, *words], folder, JOB_MODULES, stops)
    rows = write_leaderboard(folder.parent)
    page = f"{folder.parent / NAME}.md"
    print(f"    leaderboard so far: {page}", flush=True)
    reason = None if code in (OK, STOPPED) else reason_of(folder)
    return JobResult(code, final_score(folder), reason, [f"leaderboard: {page}", *filter(None, [best_line(rows)])])


def train(config: Config) -> int:
    """Open data and folder, build, feed, run the stages, report; returns the exit code. Raises Stopped, UserError."""
    from assembly.data_check import open_sets
    from assembly.feed import Feed
    from assembly.header import run_header
    from assembly.introduction import introduction
    from assembly.plan import plan_of
    from assembly.shared_run import open_shared_run
    from configs.errors import OK
    from engine.process.ranks import ranks_of_torchrun
    from engine.process.stop import StopRequest
    from engine.reporting.reporter import reporter_of
    from engine.runs.resume import begin, initial_weights
    from engine.runtime import choose_runtime
    from engine.training.stages import StageRunner
    from models.build import build_initial

    with StopRequest() as stop, ranks_of_torchrun(stop) as ranks:
        runtime = choose_runtime(config.runtime, ranks, config.cache)
        train_set, val_set = open_sets(config.data)
        run = open_shared_run(config, run_header(config, train_set, val_set, runtime), ranks)
        with reporter_of(run, runtime, config.run) as reporter:
            for line in introduction(config, train_set, val_set):
                reporter.log(line)
            ranks.check(stop)
            num_classes, mean_rgb = train_set.classes.num_classes, config.data.mean_rgb
            weights = initial_weights(config, run)
            model, loading_report = build_initial(config.model, num_classes, mean_rgb, config.seed, weights)
            if loading_report is not None:
                reporter.log(str(loading_report))
            reporter.log_config()
            ranks.copy_first(model.to(runtime.device).state_dict().values())
            feed = Feed(config, train_set, val_set, model, runtime, reporter.log, stop.check)
            runner = StageRunner(plan_of(config, run, feed), model, run.progress, run.folder, runtime, reporter, stop)
            runner.check()
            if ranks.is_first:
                begin(run)
            runner.run(run.resumed)
            reporter.finish(run.progress, runtime)
    return OK


COMMAND = Command(Config, run, job, is_parallel=True)

if __name__ == "__main__":
    sys.exit(COMMAND.start(main))
