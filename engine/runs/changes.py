"""Which settings may change between two sittings of a run, depending on how far it has come."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from engine.runs.progress import Progress

# Where files lie, the machine, what is kept and shown: of no consequence to a run that has begun.
ALWAYS_FREE = ("run.", "runtime.", "resume", "model.pretrained", "init.checkpoint")
ALWAYS_FREE_CACHE = ("cache.root", "cache.frontend", "cache.images", "cache.max_gb")
ALWAYS_FREE_DATA = ("data.root", "data.sbd_root", "data.coco_root", "data.download")
BY_NAME = ("stage.", "data.augment.")  # may change when `resume_changes` names them
WITHOUT_CONSEQUENCE = ("validate_steps", "checkpoint_activations")  # of a stage's settings: to its weights
# A begun stage's optimizer is made for these.
BUILT_IN = ("optimizer.name", "optimizer.momentum_form", "optimizer.ema_decay", "frozen_blocks")


class Change(NamedTuple):
    """A setting that is another than when the run began."""

    key: str
    then: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key}: {self.then} then, {self.now} now"


def flatten(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts to dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in plain.items():
        if isinstance(value, dict) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Every setting that differs and is not always free, in the order of the keys.

    A key that one of the two lacks (of another version of this program) has changed nothing.
    """
    before, now = flatten(old), flatten(new)
    return [
        Change(key, before[key], now[key])
        for key in sorted(before.keys() & now.keys())
        if before[key] != now[key]
        and not key.startswith(ALWAYS_FREE)
        and key not in (*ALWAYS_FREE_CACHE, *ALWAYS_FREE_DATA)
    ]


def refusal(change: Change, old: Mapping[str, Any], new: Mapping[str, Any], progress: Progress) -> str | None:
    """Why a run that has come so far cannot go on with this change; None if it can."""
    key, then, now = change
    if key == "stages":
        extends = now[: len(then)] == then
        return None if extends else f"{change}; stages can only be added after those of the run"
    stage, _, setting = key.removeprefix("stage.").partition(".")
    is_of_stage = key.startswith("stage.") and bool(setting)
    if is_of_stage and (stage not in old["stages"] or setting in WITHOUT_CONSEQUENCE):
        return None
    is_over = is_of_stage and is_finished(stage, old, progress)
    if is_over and not (setting == "steps" and stage == progress.stage):
        return f"{change}; {stage} is finished, its settings cannot change any more"
    if is_of_stage and setting == "steps":
        return _refusal_of_steps(change, stage, new, progress)
    if is_of_stage and setting in BUILT_IN and stage == progress.stage and progress.step > 0:
        return f"{change}; {stage} has begun with it, and its momenta fit nothing else"
    if key in new["resume_changes"]:
        return None if key.startswith(BY_NAME) else f"{change}; this is another run's setting, resume_changes or not"
    if key.startswith(BY_NAME):
        return f"{change}; if it is meant, say so by name: 'resume_changes=[{key}]'"
    return str(change)


def is_finished(stage: str, old: Mapping[str, Any], progress: Progress) -> bool:
    order = old["stages"]
    reached = order.index(progress.stage)
    return order.index(stage) < reached or (stage == progress.stage and progress.step >= old["stage"][stage]["steps"])


def _refusal_of_steps(change: Change, stage: str, new: Mapping[str, Any], progress: Progress) -> str | None:
    step = progress.step if stage == progress.stage else 0
    if change.now < step:
        return f"{change}; {step} steps are done already, so at least {step} are required"
    has_begun, named = step > 0, change.key in new["resume_changes"]
    if has_begun and not named and new["stage"][stage]["schedule"]["name"] == "poly":
        return (
            f"{change}; the learning rate of this stage (schedule poly) falls to 0 over all its steps and would jump; "
            f"if it is meant, say so by name: 'resume_changes=[{change.key}]'"
        )
    return None
