"""Train the stages of an experiment, then show what each of them scored.

python train.py                                            the built-in scenes, all three stages
python train.py experiment=camvid data.root=DIR            a complete recipe on real images
python train.py 'model.context.dilations=[1,1,2,4,1]'      another dilation schedule
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from configs.compose import entry_point, to_plain
from configs.protocol import deviations
from configs.schema import Config


def main(config: Config) -> int:
    # Imported here and below, so that a typo on the command line is answered before torch is loaded.
    from engine.exits import guarded

    return guarded(lambda: train(config))


def job(words: Sequence[str], folder: Path) -> int:
    """One run of a sweep, in a process of its own; the leaderboard beside its folder is brought up to date."""
    from engine.leaderboard import write_leaderboard
    from engine.sweep import run_job

    code = run_job(Path(__file__), words, folder)
    write_leaderboard(folder.parent)
    return code


def train(config: Config) -> int:
    """Build, run, report; returns the exit code."""
    from data.build import digest, leaks, open_images
    from data.features import file_identity, stamp
    from data.loaders import validation_batches
    from engine import resume
    from engine.exits import OK, STOPPED
    from engine.report import Reporter, relative
    from engine.runtime import Stopped, StopRequest, choose_runtime
    from engine.shared import SharedFrontend
    from engine.stages import Plan, StageRunner
    from engine.summary import header, last_page, resume_command, write_summary
    from feed import Feed
    from models.build import build_context, build_initial
    from models.describe import network_geometry, network_line, schedule_figures, schedule_verdict

    runtime = choose_runtime(config.runtime)
    learned = open_images(config.data, config.data.train_split)
    scored = open_images(config.data, config.data.val_split)
    classes, workers = learned.classes, config.runtime.workers
    head = header(to_plain(config), classes.names, classes.palette, runtime)
    head["data"] = {"samples": [digest(learned), digest(scored)], "sizes": [len(learned), len(scored)]}
    head["geometry"] = network_geometry(config.model)
    later = [getattr(config.stage, stage) for stage in config.stages if stage != "frontend"]
    if later:
        head["schedule"] = schedule_figures(config.model, classes.num_classes, later[0].crop_px)

    folder, resumed = resume.open_run(config, head)
    progress = resume.progress_of(resumed, config.stages)
    report = Reporter(folder, classes.names, classes.palette, progress.global_step + 1)
    report.say(f"{config.experiment} in {relative(folder.path)} on {runtime.describe()}, seed {config.seed}")
    for line in (learned.describe(), scored.describe(), network_line(config.model)):
        report.say(line)
    for line in schedule_verdict(config.model, later[0].crop_px) if later else []:
        report.say(line)
    for line in deviations(config):
        report.say(f"protocol: {line}")
    shared = leaks(learned, scored)
    if shared:
        report.say(f"warning: {len(shared)} images are in both splits, so the score flatters; first: {shared[0]}")
    initial = resume.initial_weights(resumed, config, head)
    model, weights = build_initial(config.model, classes.num_classes, config.data.mean_rgb, config.seed, initial)
    model.to(runtime.device)
    if weights is not None:
        report.say(str(weights))
    report.config(json.dumps(head["config"], indent=2).splitlines())

    shared_frontend = None
    if config.cache.frontend:
        files = [file_identity(images, config.data.shapes) for images in (learned, scored)]
        files += [stamp(Path(file)) for file in (config.model.pretrained, config.init.checkpoint) if file]
        shared_frontend = SharedFrontend.of(Path(config.cache.root), head, files, report.say)
    stop = StopRequest()
    plan = Plan(
        stages=config.stages,
        settings={stage: getattr(config.stage, stage) for stage in config.stages},
        validation=config.validation,
        run=config.run,
        seed=config.seed,
        make_context=lambda seed: build_context(config.model, classes.num_classes, seed),
        train_batches=Feed(config, learned, model, runtime, report.say, stop.check).batches,
        shared_frontend=shared_frontend,
        validation_batches=lambda: validation_batches(scored, batch=config.validation.batch, workers=workers),
        header=head,
    )
    try:
        with stop:
            StageRunner(plan, model, progress, folder, runtime, report, stop).run(resumed)
    except Stopped:
        report.say(f"stopped at {progress.stage} step {progress.step}; resume with\n{resume_command(folder)}")
        return STOPPED
    finally:
        report.close()
        folder.release()
    write_summary(folder, progress, head)
    report.say(last_page(folder, progress, classes.names))
    return OK


if __name__ == "__main__":
    sys.exit(entry_point("train", Config, main, job))
