"""The plan of a run: its stages, and where each gets its network, its batches and its maps."""

from dataclasses import replace
from pathlib import Path

from assembly.class_statistics import stage_settings, with_class_statistics
from assembly.code_identity import TRAINING_CODE, made_by
from assembly.data_check import naming_audit
from assembly.feed import Feed
from assembly.memory import Forecaster
from configs.schema import Config
from data.build import meaning
from data.features import file_identity, stamp
from engine.runs.resume import Run
from engine.runs.shared_frontend import SharedFrontend
from engine.training.stages import Plan
from models.build import build_context


def plan_of(config: Config, run: Run, feed: Feed) -> Plan:
    """The plan of a run. Raises UserError, before anything is trained, for what a later stage would refuse."""
    num_classes = feed.train_set.classes.num_classes
    header, shared = with_class_statistics(run, feed), None
    if config.cache.frontend:
        shared = shared_frontend(config, run, feed)
        header = replace(header, frontend_key=shared.key if shared.may_publish else None)
    is_trained_elsewhere = shared is not None and shared.path.exists()
    if run.progress.stage == config.stages[0] and not is_trained_elsewhere:
        with naming_audit():
            feed.check_cache()
    return Plan(
        stages=config.stages,
        settings={stage: stage_settings(stage, getattr(config.stage, stage), header) for stage in config.stages},
        validation=config.validation,
        run=config.run,
        seed=config.seed,
        make_context=lambda seed: build_context(config.model, num_classes, seed),
        train_batches=feed.batches,
        validation_batches=feed.validation_batches,
        kept_maps=feed.kept_maps,
        memory_lines=Forecaster(feed).lines,
        shared_frontend=shared,
        header=header,
    )


def shared_frontend(config: Config, run: Run, feed: Feed) -> SharedFrontend:
    """Where this run's front end lies, or will lie, for other runs.

    A run that was begun under another key, or none, has trained with other settings than this key says: it leaves
    nothing there, nor does any later sitting of it.
    """
    files = [file_identity(images, meaning(config.data)) for images in (feed.train_set, feed.val_set)]
    files += [stamp(Path(file)) for file in (config.model.pretrained, config.init.checkpoint) if file]
    root, made = Path(config.cache.root), {**made_by(TRAINING_CODE), "processor": feed.runtime.processor}
    shared = SharedFrontend.of(root, run.header, files, made, feed.log, feed.check)
    is_its_own = run.resumed is None or run.resumed.get("frontend_key") == shared.key
    return replace(shared, may_publish=is_its_own)
