"""Train the stages of an experiment, then show what each of them scored.

python train.py                                            the built-in scenes, all three stages
python train.py experiment=camvid data.root=DIR            a complete recipe on real images
python train.py 'model.context.dilations=[1,1,2,4,1]'      another dilation schedule
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.compose import entry_point, to_plain
from configs.jobs import Done
from configs.protocol import deviations
from configs.schema import Config

# What a job of a sweep imports, once for all of them.
JOB_MODULES = ("configs.protocol", "feed", "engine.stages", "engine.summary", "models.build", "models.describe")

if TYPE_CHECKING:
    from data.dataset import ImageSet
    from engine.shared import SharedFrontend


def main(config: Config) -> int:
    # Imported here and below, so that a typo on the command line is answered before torch is loaded.
    from engine.exits import guarded

    return guarded(lambda: train(config))


def job(words: Sequence[str], folder: Path) -> Done:
    """One run of a sweep, in a process of its own; the leaderboard beside its folder is brought up to date."""
    from engine.leaderboard import NAME, final_score, write_leaderboard
    from engine.sweep import run_job

    code = run_job(Path(__file__), words, folder, JOB_MODULES)
    write_leaderboard(folder.parent)
    print(f"    leaderboard so far: {folder.parent / NAME}.md", flush=True)
    return Done(code, final_score(folder))


def train(config: Config) -> int:
    """Build, run, report; returns the exit code."""
    from configs.errors import OK, STOPPED
    from data.build import digest, open_images
    from data.loaders import validation_batches
    from engine import resume
    from engine.report import Reporter, relative
    from engine.runtime import Stopped, StopRequest, choose_runtime
    from engine.stages import Plan, StageRunner
    from engine.summary import header, hparams, last_page, resume_command, write_summary
    from feed import Feed
    from models.build import build_context, build_initial
    from models.describe import network_geometry, schedule_figures

    runtime = choose_runtime(config.runtime)
    learned = open_images(config.data, config.data.train_split)
    scored = open_images(config.data, config.data.val_split)
    classes, workers = learned.classes, config.runtime.workers
    head = header(to_plain(config), classes.names, classes.palette, runtime)
    head["data"] = {"samples": [digest(learned), digest(scored)], "sizes": [len(learned), len(scored)]}
    head["geometry"] = network_geometry(config.model)
    crop_px = context_crop_px(config)
    if crop_px:
        head["schedule"] = schedule_figures(config.model, classes.num_classes, crop_px)

    folder, resumed = resume.open_run(config, head)
    progress = resume.progress_of(resumed, config.stages)
    report = Reporter(folder, classes.names, classes.palette, progress.global_step + 1)
    report.say(f"{config.experiment} in {relative(folder.path)} on {runtime.describe()}, seed {config.seed}")
    for line in introduction(config, learned, scored):
        report.say(line)
    initial = resume.initial_weights(resumed, config, head)
    model, weights = build_initial(config.model, classes.num_classes, config.data.mean_rgb, config.seed, initial)
    model.to(runtime.device)
    if weights is not None:
        report.say(str(weights))
    report.config(json.dumps(head["config"], indent=2).splitlines())

    stop = StopRequest()
    feed = Feed(config, learned, scored, model, runtime, report.say, stop.check)
    plan = Plan(
        stages=config.stages,
        settings={stage: getattr(config.stage, stage) for stage in config.stages},
        validation=config.validation,
        run=config.run,
        seed=config.seed,
        make_context=lambda seed: build_context(config.model, classes.num_classes, seed),
        train_batches=feed.batches,
        shared_frontend=shared_frontend(config, head, learned, scored, report.say) if config.cache.frontend else None,
        validation_batches=lambda: validation_batches(scored, batch=config.validation.batch, workers=workers),
        kept_maps=feed.kept_maps,
        header=head,
    )
    try:
        with stop:
            StageRunner(plan, model, progress, folder, runtime, report, stop).run(resumed)
        if crop_px:
            report.hparams(*hparams(progress, head))
    except Stopped:
        report.say(f"stopped at {progress.stage} step {progress.step}; resume with\n{resume_command(folder)}")
        return STOPPED
    finally:
        report.close()
        folder.release()
    write_summary(folder, progress, head)
    report.say(last_page(folder, progress, classes.names))
    return OK


def context_crop_px(config: Config) -> list[int]:
    """Height and width that the context module is first trained on; empty if it is not."""
    stages = [getattr(config.stage, stage) for stage in config.stages if stage != "frontend"]
    return stages[0].crop_px if stages else []


def introduction(config: Config, learned: "ImageSet", scored: "ImageSet") -> Iterator[str]:
    """What a run says of its data, its network, and how it stands to the paper."""
    from data.build import leaks
    from models.describe import network_line, schedule_verdict

    yield from (learned.describe(), scored.describe(), network_line(config.model))
    crop_px = context_crop_px(config)
    if crop_px:
        yield from schedule_verdict(config.model, crop_px)
    yield from (f"protocol: {line}" for line in deviations(config))
    shared = leaks(learned, scored)
    if shared:
        yield f"warning: {len(shared)} images are in both splits, so the score flatters; first: {shared[0]}"


def shared_frontend(
    config: Config, head: dict[str, Any], learned: "ImageSet", scored: "ImageSet", say: Callable[[str], None]
) -> "SharedFrontend":
    """Where this run's front end lies, or will lie, for other runs."""
    from data.features import file_identity, stamp
    from engine.shared import SharedFrontend

    files = [file_identity(images, config.data.shapes) for images in (learned, scored)]
    files += [stamp(Path(file)) for file in (config.model.pretrained, config.init.checkpoint) if file]
    return SharedFrontend.of(Path(config.cache.root), head, files, say)


if __name__ == "__main__":
    sys.exit(entry_point("train", Config, main, job))
