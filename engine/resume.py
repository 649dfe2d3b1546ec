"""Which folder a run works in, and what it goes on from."""

from pathlib import Path
from typing import Any

from torch import Tensor

from configs.errors import UserError
from configs.schema import Config, Resume
from engine import checkpoint
from engine.folder import RunFolder, fresh_path, newest_unfinished
from engine.progress import Progress

FREE_KEYS = ("run.", "runtime.", "resume", "data.root", "data.sbd_root")  # may differ between two sittings of one run
FREE_ENDINGS = (".steps", ".validate_steps")


def flatten(plain: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts to dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in plain.items():
        if isinstance(value, dict) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Keys whose values would make the rest of a run another run, as readable lines."""
    before, now = flatten(old), flatten(new)
    return [
        f"{key}: {before.get(key)} then, {now.get(key)} now"
        for key in sorted({**before, **now})
        if before.get(key) != now.get(key) and not key.startswith(FREE_KEYS) and not key.endswith(FREE_ENDINGS)
    ]


def open_run(config: Config, header: dict[str, Any]) -> tuple[RunFolder, dict[str, Any] | None]:
    """The run's folder, locked, and the checkpoint to go on from.

    The folder is `run.dir`; or with resume=auto the newest unfinished run of the same config; or a fresh one.
    """
    wants_resume = config.resume is Resume.auto
    root = Path(config.run.root)
    path = Path(config.run.dir) if config.run.dir else None
    if path is None and wants_resume:
        path = newest_unfinished(root, lambda old: not differences(old, header["config"]))
    folder = RunFolder(path or fresh_path(root, config.experiment))
    folder.acquire()
    try:
        if folder.last.exists() and not wants_resume:
            raise UserError(
                f"run.dir={folder.path} already holds a run; resume=auto continues it, another run.dir starts afresh"
            )
        resumed = folder.load_newest(print)
        if resumed is not None:
            check_same_run(resumed, header, print)
        folder.write_config(header["config"])
    except BaseException:
        folder.release()
        raise
    return folder, resumed


def check_same_run(resumed: dict[str, Any], header: dict[str, Any], warn: Any) -> None:
    """Refuse to go on where the rest of the run would be another run; warn where bits may differ."""
    changed = differences(resumed["config"], header["config"])
    if changed:
        raise UserError(
            "resume=auto: the run in this folder was started with other settings:\n  "
            + "\n  ".join(changed)
            + "\nrepeat the command it was started with, or start afresh in another run.dir"
        )
    if resumed["data"]["samples"] != header["data"]["samples"]:
        raise UserError(
            f"resume=auto: the lists of samples have changed since this run began ({resumed['data']['sizes']} then, "
            f"{header['data']['sizes']} now); restore the files or start afresh in another run.dir"
        )
    missing = [name for name in ("model", "optimizer", "rng", "progress") if name not in resumed]
    if missing:
        raise UserError(f"resume=auto: the checkpoint has no {', '.join(missing)}; it cannot be continued")
    for group, keys in (("runtime", ("threads", "precision", "device")), ("versions", ("torch",))):
        for key in keys:
            if resumed[group][key] != header[group][key]:
                warn(f"warning: {key} was {resumed[group][key]} and is {header[group][key]}: bits may differ")


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
