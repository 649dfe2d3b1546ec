"""The front-end stage of a run that shares its front end with others."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from configs.schema import StageConfig
from engine.listener import Listener
from engine.runs.progress import Progress
from engine.runs.shared_frontend import SharedFrontend
from engine.training.optimizers import build_optimizer
from engine.training.saver import Saver


def take_or_train(
    shared: SharedFrontend,
    saver: Saver,
    config: StageConfig,
    listener: Listener,
    train: Callable[[], None],
    *,
    may_take: bool,
) -> None:
    """Take the front end that another run has trained, or train it for this run and the others.

    Of the runs that want it, one at a time trains it. A run that has begun its own front end must not take another's.
    """
    ranks = saver.runtime.ranks
    with ExitStack() as lock:
        ranks.agree(lambda: lock.enter_context(shared.locked()) if ranks.is_first else None)
        content = ranks.of_first(shared.take) if may_take else None
        if content is None:
            train()
            if ranks.is_first:
                shared.publish({**saver.read_best("frontend"), "progress": saver.progress.to_plain()})
            return
    listener.log(f"\n== frontend: taken from {shared.path}, where another run left it")
    _adopt(content, saver, config)
    listener.stage_ended("frontend", saver.progress.results["frontend"])


def _adopt(content: dict[str, Any], saver: Saver, config: StageConfig) -> None:
    """Load the other run's front end and write the files that this run would have at the end of that stage."""
    model, progress = saver.model, saver.progress
    model.load_state_dict(content["model"])
    progress.take_over(Progress.from_plain(content["progress"]))
    saver.start_clock(progress.seconds)
    saver.save_best(is_best_of_run=True)
    model.freeze(frontend=False, blocks=config.frozen_blocks)
    saver.save_last(build_optimizer(config.optimizer, model.named_parameters()))  # so that this run can go on, too
