"""Train the stages of an experiment, then show what each of them scored.

python train.py                                            the built-in scenes, all three stages
python train.py experiment=camvid data.root=DIR            a complete recipe on real images
python train.py 'model.context.dilations=[1,1,2,4,1]'      another dilation schedule
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig

from assembly.command import Command
from configs.compose import HYDRA_VERSION
from configs.notices import notices
from configs.schema import Config
from engine.sweeps.sweep import Done

# What a job of a sweep imports, once for all of them.
JOB_MODULES = (
    "assembly.protocol",
    "assembly.feed",
    "engine.training.stages",
    "engine.reporting.summary",
    "models.build",
    "models.describe",
)

SHARED = ("cache.frontend=true",)  # jobs differ after the front end; a setting on the command line still wins

if TYPE_CHECKING:
    from assembly.feed import Feed
    from data.dataset import ImageSet
    from engine.runs.shared_frontend import SharedFrontend
    from engine.runtime import Runtime
    from engine.training.stages import Plan


@hydra.main(version_base=HYDRA_VERSION, config_path="configs", config_name="train")
def main(composition: DictConfig) -> float:
    return COMMAND.task(composition)


def run(config: Config) -> int:
    # Imported here and below, so that a typo on the command line is answered before torch is loaded.
    from engine.process.exits import guarded

    return guarded(lambda: train(config), "lower stage.*.crop_px or stage.*.batch, or raise stage.*.accumulation")


def job(words: Sequence[str], folder: Path, stops: Callable[[], int]) -> Done:
    """One run of a sweep, in a process of its own; the leaderboard beside its folder is brought up to date."""
    from configs.errors import OK, STOPPED
    from engine.reporting.leaderboard import NAME, best_line, final_score, write_leaderboard
    from engine.sweeps.job import reason_of, run_job

    code = run_job(Path(__file__), [*SHARED, *words], folder, JOB_MODULES, stops)
    rows = write_leaderboard(folder.parent)
    page = f"{folder.parent / NAME}.md"
    print(f"    leaderboard so far: {page}", flush=True)
    reason = None if code in (OK, STOPPED) else reason_of(folder)
    return Done(code, final_score(folder), reason, [f"leaderboard: {page}", *filter(None, [best_line(rows)])])


def train(config: Config) -> int:
    """Build, run, report; returns the exit code."""
    from assembly.feed import Feed
    from configs.errors import OK, STOPPED, UserError
    from data.build import open_images
    from engine.process.stop import Stopped, StopRequest
    from engine.reporting.reporter import Reporter, relative
    from engine.reporting.summary import hparams, last_page, resume_command, write_summary
    from engine.runs import resume
    from engine.runtime import choose_runtime
    from engine.training.stages import StageRunner
    from models.build import build_initial

    with StopRequest() as stop:
        runtime = choose_runtime(config.runtime)
        learned = open_images(config.data, config.data.train_split)
        scored = open_images(config.data, config.data.val_split)
        classes = learned.classes
        head = run_header(config, learned, scored, runtime)
        notes: list[str] = []
        try:
            folder, resumed = resume.open_run(config, head, notes.append)
        except UserError:
            for line in notes:
                print(line)
            raise
        progress = resume.progress_of(resumed, config.stages)
        begun_at = progress.global_step
        report = Reporter(folder, classes.names, classes.palette, progress.global_step + 1)
        try:
            for line in notes:
                report.say(line)
            report.say(f"{config.experiment} in {relative(folder.path)} on {runtime.describe()}, seed {config.seed}")
            for line in introduction(config, learned, scored):
                report.say(line)
            stop.check()
            initial = resume.initial_weights(resumed, config, head)
            model, weights = build_initial(
                config.model, classes.num_classes, config.data.mean_rgb, config.seed, initial
            )
            model.to(runtime.device)
            if weights is not None:
                report.say(str(weights))
            report.config(json.dumps(head["config"], indent=2).splitlines())
            feed = Feed(config, learned, scored, model, runtime, report.say, stop.check)
            plan = plan_of(config, head, feed, resumed)
            runner = StageRunner(plan, model, progress, folder, runtime, report, stop)
            runner.check()
            resume.begin(folder, resumed, head)
            runner.run(resumed)
            if "schedule" in head:
                report.hparams(*hparams(progress, head, runtime))
            write_summary(folder, progress, head, runtime)
            report.say(last_page(folder, progress, classes.names))
            return OK
        except Stopped as stopped:
            report.say(
                f"stopped by {stopped} at {progress.stage} step {progress.step}; resume with\n{resume_command(folder)}"
            )
            return STOPPED
        except Exception:
            if progress.global_step > begun_at:
                report.say(f"what was learned up to the last save is safe; go on with\n{resume_command(folder)}")
            raise
        finally:
            report.close()
            folder.close(is_used=progress.global_step > 0)


def run_header(config: Config, learned: "ImageSet", scored: "ImageSet", runtime: "Runtime") -> dict[str, Any]:
    """What every checkpoint of the run says of itself: plain data."""
    from data.build import content_digest, digest
    from engine.reporting.summary import header
    from models.describe import network_geometry, schedule_figures

    head = header(config.model_dump(), learned.classes.names, learned.classes.palette, runtime)
    sets = (learned, scored)
    head["data"] = {
        "samples": [digest(images) for images in sets],
        "sizes": [len(images) for images in sets],
        "files": [content_digest(images) for images in sets],
    }
    head["geometry"] = network_geometry(config.model)
    crop_px = context_crop_px(config)
    if crop_px:
        head["schedule"] = schedule_figures(config.model, learned.classes.num_classes, crop_px)
    return head


def plan_of(config: Config, head: dict[str, Any], feed: "Feed", resumed: dict[str, Any] | None) -> "Plan":
    """The stages and what each is made from; refuses what cannot come to its end before anything is trained."""
    from data.loaders import validation_batches
    from engine.training.stages import Plan
    from models.build import build_context

    scored, num_classes = feed.scored, feed.images.classes.num_classes
    shared = shared_frontend(config, head, feed, resumed) if config.cache.frontend else None
    has_frontend = shared is not None and shared.path.exists()
    stage = resumed["progress"]["stage"] if resumed is not None else config.stages[0]
    if stage == "frontend" and not has_frontend and "context" in config.stages:
        feed.check_kept_maps(config.stage.context)
    return Plan(
        stages=config.stages,
        settings={stage: getattr(config.stage, stage) for stage in config.stages},
        validation=config.validation,
        run=config.run,
        seed=config.seed,
        make_context=lambda seed: build_context(config.model, num_classes, seed),
        train_batches=feed.batches,
        shared_frontend=shared,
        validation_batches=lambda: validation_batches(
            scored, batch=config.validation.batch, workers=config.runtime.workers
        ),
        kept_maps=feed.kept_maps,
        header=head,
    )


def context_crop_px(config: Config) -> list[int]:
    """Height and width that the context module is first trained on; empty if it is not."""
    stages = [getattr(config.stage, stage) for stage in config.stages if stage != "frontend"]
    return stages[0].crop_px if stages else []


def introduction(config: Config, learned: "ImageSet", scored: "ImageSet") -> Iterator[str]:
    """What a run says of its data, its network, and how it stands to the paper."""
    from assembly.protocol import deviations
    from data.build import leaks
    from models.describe import network_line, schedule_verdict

    yield from (learned.describe(), scored.describe(), network_line(config.model))
    crop_px = context_crop_px(config)
    if crop_px:
        yield from schedule_verdict(config.model, crop_px)
    yield from (f"protocol: {line}" for line in deviations(config))
    yield from notices(config)
    shared = leaks(learned, scored)
    if shared:
        yield f"warning: {len(shared)} images are in both splits, so the score flatters; first: {shared[0]}"


def shared_frontend(
    config: Config, head: dict[str, Any], feed: "Feed", resumed: dict[str, Any] | None
) -> "SharedFrontend":
    """Where this run's front end lies, or will lie, for other runs; the header gets its key.

    A run that was begun under another key, or none, has trained with other settings than this key says: it leaves
    nothing there, nor does any later sitting of it.
    """
    from assembly.feed import TRAINING_CODE, made_by
    from data.build import meaning
    from data.features import file_identity, stamp
    from engine.runs.shared_frontend import SharedFrontend

    files = [file_identity(images, meaning(config.data)) for images in (feed.images, feed.scored)]
    files += [stamp(Path(file)) for file in (config.model.pretrained, config.init.checkpoint) if file]
    shared = SharedFrontend.of(Path(config.cache.root), head, files, made_by(TRAINING_CODE), feed.say, feed.check)
    is_its_own = resumed is None or resumed.get("frontend_key") == shared.key
    head["frontend_key"] = shared.key if is_its_own else None
    return replace(shared, may_publish=is_its_own)


COMMAND = Command(Config, run, job)

if __name__ == "__main__":
    sys.exit(COMMAND.start(main))
