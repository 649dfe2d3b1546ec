"""Which folder a run works in, what it goes on from, and what may have changed since."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from configs.errors import UserError
from configs.schema import Config
from engine.runs import checkpoint
from engine.runs.folder import RunFolder, fresh_path, newest_unfinished
from engine.runs.progress import Progress

# Where files lie, the machine, what is kept and shown: of no consequence to a run that has begun.
ALWAYS_FREE = ("run.", "runtime.", "cache.", "resume", "model.pretrained", "init.checkpoint")
ALWAYS_FREE_DATA = ("data.root", "data.sbd_root", "data.download")
BY_NAME = ("stage.", "data.augment.")  # may change when `resume_changes` names them
BUILT_IN = ("optimizer.name", "optimizer.momentum_form", "frozen_blocks")  # a begun stage's optimizer is made for these

Say = Callable[[str], None]


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
        if before[key] != now[key] and not key.startswith(ALWAYS_FREE) and key not in ALWAYS_FREE_DATA
    ]


def refusal(change: Change, old: Mapping[str, Any], new: Mapping[str, Any], progress: Progress) -> str | None:
    """Why a run that has come so far cannot go on with this change; None if it can."""
    key, then, now = change
    if key == "stages":
        extends = now[: len(then)] == then
        return None if extends else f"{change}; stages can only be added after those of the run"
    stage, _, setting = key.removeprefix("stage.").partition(".")
    is_of_stage = key.startswith("stage.") and bool(setting)
    if is_of_stage and (stage not in old["stages"] or setting == "validate_steps"):
        return None
    is_done = is_of_stage and _is_done(stage, old, progress)
    if is_done and not (setting == "steps" and stage == progress.stage):
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


def _is_done(stage: str, old: Mapping[str, Any], progress: Progress) -> bool:
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


def open_run(config: Config, header: dict[str, Any], say: Say) -> tuple[RunFolder, dict[str, Any] | None]:
    """The run's folder, locked, and the checkpoint to go on from; `header` gets the run's history.

    The folder is `run.dir`; or with resume=auto the newest unfinished run of the same config; or a fresh one.
    """
    wants_resume = config.resume == "auto"
    root = Path(config.run.root)
    path = Path(config.run.dir) if config.run.dir else None
    if path is None and wants_resume:
        path = newest_unfinished(root, lambda old: _is_the_same(old, header["config"]), say)
    elif path is not None and wants_resume and not path.exists():
        say(f"resume=auto: there is no {path} to go on with; the run begins there")
    folder = RunFolder(path or fresh_path(root, config.experiment), is_new=path is None)
    folder.acquire()
    try:
        if folder.holds_a_run and not wants_resume:
            raise UserError(
                f"run.dir={folder.path} already holds a run; resume=auto continues it, another run.dir starts afresh"
            )
        resumed = folder.load_newest(say) if wants_resume else None
        if resumed is not None:
            accepted = check_same_run(resumed, header, say)
            header["history"] = [*resumed.get("history", []), sitting(resumed, header, accepted)]
            header["config"] = _as_it_was_run(resumed, header)
    except BaseException:
        folder.close(is_used=False)
        raise
    return folder, resumed


def begin(folder: RunFolder, resumed: Mapping[str, Any] | None, header: Mapping[str, Any]) -> None:
    """Nothing stands in the way any more: the folder tells these settings, and is unfinished if there is more to do."""
    if resumed is not None and folder.summary.exists() and _has_more_to_do(resumed, header):
        folder.reopen()
    folder.write_config(header["config"])


def _is_the_same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether an unfinished run with this config is the one that is wanted; how far it has come is not known yet."""
    return all(
        change.key in new["resume_changes"] or change.key.endswith((".steps", ".validate_steps"))
        for change in changes(old, new)
    )


def _has_more_to_do(resumed: Mapping[str, Any], header: Mapping[str, Any]) -> bool:
    progress, config = resumed["progress"], header["config"]
    stage = progress["stage"]
    return bool(config["stages"][-1] != stage or config["stage"][stage]["steps"] > progress["step"])


def _as_it_was_run(resumed: Mapping[str, Any], header: Mapping[str, Any]) -> dict[str, Any]:
    """The settings from now on, and of the finished stages those that they had."""
    config, old, progress = header["config"], resumed["config"], Progress.from_plain(resumed["progress"])
    finished = [stage for stage in old["stages"] if stage != progress.stage and _is_done(stage, old, progress)]
    return {**config, "stage": {**config["stage"], **{stage: old["stage"][stage] for stage in finished}}}


def sitting(resumed: Mapping[str, Any], header: Mapping[str, Any], accepted: Sequence[Change]) -> dict[str, Any]:
    """What a run's history says of going on: when, from where, with what changes; plain data."""
    before = {f"{group}.{name}": value for group in ("runtime", "versions") for name, value in resumed[group].items()}
    now = {f"{group}.{name}": value for group in ("runtime", "versions") for name, value in header[group].items()}
    machine = [Change(key, before.get(key), now[key]) for key in now if before.get(key) != now[key]]
    return {
        "resumed_at": datetime.now().isoformat(timespec="seconds"),
        "stage": resumed["progress"]["stage"],
        "step": resumed["progress"]["step"],
        "changes": {key: [then, now] for key, then, now in [*accepted, *machine]},
    }


def check_same_run(resumed: Mapping[str, Any], header: Mapping[str, Any], say: Say) -> list[Change]:
    """The changes that the run goes on with, each said; warns where bits may differ.

    Raises UserError where the rest of the run would be another run.
    """
    missing = [name for name in ("model", "optimizer", "rng", "progress") if name not in resumed]
    if missing:
        raise UserError(f"resume=auto: the checkpoint has no {', '.join(missing)}; it cannot be continued")
    old, new, progress = resumed["config"], header["config"], Progress.from_plain(resumed["progress"])
    found = changes(old, new)
    refused = [reason for change in found if (reason := refusal(change, old, new, progress))]
    if refused:
        raise UserError(
            "resume=auto: the run in this folder was started with other settings:\n  "
            + "\n  ".join(refused)
            + "\nrepeat the command it was started with, or start afresh in another run.dir"
        )
    _check_data(resumed["data"], header["data"])
    for change in found:
        say(f"from here on {change}")
    for group, keys in (("runtime", ("threads", "precision", "device")), ("versions", ("torch",))):
        for key in keys:
            if resumed[group][key] != header[group][key]:
                say(f"warning: {key} was {resumed[group][key]} and is {header[group][key]}: bits may differ")
    return found


def _check_data(then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    cure = "restore the files or start afresh in another run.dir"
    if then["samples"] != now["samples"]:
        raise UserError(
            f"resume=auto: the lists of samples have changed since this run began ({then['sizes']} then, "
            f"{now['sizes']} now); {cure}"
        )
    if "files" in then and then["files"] != now["files"]:
        raise UserError(
            f"resume=auto: the images or labels have changed since this run began: the same names, other files; {cure}"
        )


def progress_of(resumed: dict[str, Any] | None, stages: list[str]) -> Progress:
    if resumed is None:
        return Progress(stages[0])
    progress = Progress.from_plain(resumed["progress"])
    progress.finished = False
    return progress


def initial_weights(resumed: dict[str, Any] | None, config: Config, header: dict[str, Any]) -> dict[str, Tensor] | None:
    """The weights a run begins or goes on with, if they come from a checkpoint."""
    if resumed is not None:
        weights: dict[str, Tensor] = resumed["model"]
        return weights
    if config.init.checkpoint is None:
        return None
    content = checkpoint.load(Path(config.init.checkpoint))
    if content["classes"]["names"] != header["classes"]["names"]:
        raise UserError(
            f"init.checkpoint={config.init.checkpoint} was trained on the classes {content['classes']['names']}, "
            f"the data has {header['classes']['names']}; both must be the same, in the same order"
        )
    weights = content["model"]
    has_context = any(name.startswith("context.") for name in weights)
    trained, wanted = content["config"]["model"], header["config"]["model"]
    for key in ("frontend", "padding", "context") if has_context else ("frontend", "padding"):
        # Shapes alone would not tell: every Basic schedule of one length has the same.
        if trained[key] != wanted[key]:
            raise UserError(
                f"init.checkpoint={config.init.checkpoint} was trained with model.{key}={trained[key]}, this run has "
                f"{wanted[key]}; both must be the same"
            )
    if config.stages[0] == "frontend" and has_context:
        raise UserError(
            f"init.checkpoint={config.init.checkpoint} has a context module, but stages={config.stages} begin with "
            "the front end; start from the frontend.pt of that run, or set stages=[joint]"
        )
    return weights
