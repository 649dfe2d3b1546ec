"""Opening a run: its folder, the checkpoint that it goes on from, and whether it still is the same run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from configs.errors import UserError
from configs.schema import Config
from engine.runs.changes import Change, changes, is_finished, refusal
from engine.runs.folder import RunFolder, fresh_path, newest_unfinished
from engine.runs.header import DataDigest, RunHeader
from engine.runs.network_file import read_network
from engine.runs.progress import Progress

Log = Callable[[str], None]
OF_GPUS = ("gpu", "driver", "cuda", "cudnn")  # in the header of runs on one


@dataclass(frozen=True)
class Run:
    """A run whose folder this process holds.

    `header` has the history, and the settings as they were run. `resumed` is the checkpoint that the run goes on from;
    None: it begins. `notes` are for people, from before there was a log.
    """

    folder: RunFolder
    header: RunHeader
    resumed: dict[str, Any] | None
    progress: Progress
    notes: list[str]


def open_run(config: Config, header: RunHeader) -> Run:
    """Lock the run's folder and read what it goes on from. Raises UserError, having printed the notes.

    The folder is `run.dir`; or with resume=auto the newest unfinished run of the same config; or a fresh one.
    """
    notes: list[str] = []
    try:
        folder = _folder(config, header, notes.append)
        folder.acquire()
        try:
            return _opened(config, header, folder, notes)
        except BaseException:
            folder.close(is_used=False)
            raise
    except UserError:
        for note in notes:
            print(note)
        raise


def _opened(config: Config, header: RunHeader, folder: RunFolder, notes: list[str]) -> Run:
    wants_resume = config.resume == "auto"
    if folder.holds_a_run and not wants_resume:
        raise UserError(
            f"run.dir={folder.path} already holds a run; resume=auto continues it, another run.dir starts afresh"
        )
    resumed = folder.load_newest(notes.append) if wants_resume else None
    if resumed is None:
        return Run(folder, header, None, Progress(config.stages[0]), notes)
    accepted = check_same_run(resumed, header, notes.append)
    progress = Progress.from_plain(resumed["progress"])
    progress.finished = False
    return Run(folder, header_of_sitting(header, resumed, accepted), resumed, progress, notes)


def _folder(config: Config, header: RunHeader, log: Log) -> RunFolder:
    root = Path(config.run.root)
    path = Path(config.run.dir) if config.run.dir else None
    if config.resume == "auto" and path is None:
        path = newest_unfinished(root, lambda old: _is_the_same(old, header.config), log)
    elif config.resume == "auto" and path is not None and not path.exists():
        log(f"resume=auto: there is no {path} to go on with; the run begins there")
    return RunFolder(path or fresh_path(root, config.experiment), is_new=path is None)


def begin(run: Run) -> None:
    """Write config.json, and mark a finished run that has more to do as unfinished. Call it when nothing can refuse."""
    if run.resumed is not None and run.folder.summary.exists() and _has_more_to_do(run.resumed, run.header.config):
        run.folder.reopen()
    run.folder.write_config(run.header.config)


def _is_the_same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether an unfinished run with this config is the one to go on with; how far it has come is not known yet."""
    return all(
        change.key in new["resume_changes"] or change.key.endswith((".steps", ".validate_steps"))
        for change in changes(old, new)
    )


def _has_more_to_do(resumed: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    progress = resumed["progress"]
    stage = progress["stage"]
    return bool(config["stages"][-1] != stage or config["stage"][stage]["steps"] > progress["step"])


def header_of_sitting(header: RunHeader, resumed: Mapping[str, Any], accepted: Sequence[Change]) -> RunHeader:
    """The header with the history up to now, and of the finished stages the settings that they had."""
    old, progress = resumed["config"], Progress.from_plain(resumed["progress"])
    finished = [stage for stage in old["stages"] if stage != progress.stage and is_finished(stage, old, progress)]
    stages = {**header.config["stage"], **{stage: old["stage"][stage] for stage in finished}}
    history = [*resumed.get("history", []), _history_entry(header, resumed, accepted)]
    return replace(header, config={**header.config, "stage": stages}, history=history)


def _history_entry(header: RunHeader, resumed: Mapping[str, Any], accepted: Sequence[Change]) -> dict[str, Any]:
    """When the run goes on, from where, and with what changes; plain data."""
    now = header.to_plain()
    machine = [
        Change(f"{part}.{name}", resumed[part].get(name), value)
        for part in ("runtime", "versions")
        for name, value in now[part].items()
        if resumed[part].get(name) != value
    ]
    return {
        "resumed_at": datetime.now().isoformat(timespec="seconds"),
        "stage": resumed["progress"]["stage"],
        "step": resumed["progress"]["step"],
        "changes": {key: [then, now] for key, then, now in [*accepted, *machine]},
    }


def check_same_run(resumed: Mapping[str, Any], header: RunHeader, log: Log) -> list[Change]:
    """The changes that the run goes on with, each of them logged; warns where bits may differ.

    Raises UserError where the rest of the run would be another run.
    """
    missing = [name for name in ("model", "optimizer", "rng", "progress") if name not in resumed]
    if missing:
        raise UserError(
            f"resume=auto: the checkpoint has no {', '.join(missing)}, without which the run would go on otherwise; "
            "start afresh in another run.dir"
        )
    _check_random_state(resumed["rng"])
    old, new, progress = resumed["config"], header.config, Progress.from_plain(resumed["progress"])
    changed = changes(old, new)
    refused = [reason for change in changed if (reason := refusal(change, old, new, progress))]
    if refused:
        raise UserError(
            "resume=auto: the run in this folder was started with other settings:\n  "
            + "\n  ".join(refused)
            + "\nrepeat the command it was started with, or start afresh in another run.dir"
        )
    _check_data(resumed["data"], header.data)
    for change in changed:
        log(f"from here on {change}")
    now = header.to_plain()
    for part, keys in (("runtime", ("threads", "precision", "device", *OF_GPUS)), ("versions", ("torch",))):
        for key in keys:
            before, after = resumed[part].get(key), now[part].get(key)
            if before != after and not (key in OF_GPUS and None in (before, after)):  # then another device
                log(f"warning: {key} was {before} and is {after}: bits may differ")
    return changed


def _check_random_state(state: Any) -> None:
    now = torch.get_rng_state()
    then = state.get("torch") if isinstance(state, Mapping) else None
    if not isinstance(then, Tensor) or then.dtype != now.dtype or then.shape != now.shape:
        raise UserError(
            f"resume=auto: the checkpoint's random state is none of torch's, which has {len(now)} bytes; the run would "
            "go on with other random numbers; start afresh in another run.dir"
        )


def _check_data(then: Mapping[str, Any], now: DataDigest) -> None:
    advice = "restore the files or start afresh in another run.dir"
    if then["samples"] != now.samples:
        sizes = [f"{train} to train and {val} to validate" for train, val in (then["sizes"], now.sizes)]
        what = "as many, other names" if sizes[0] == sizes[1] else f"{sizes[0]} then, {sizes[1]} now"
        raise UserError(f"resume=auto: the lists of samples have changed since this run began ({what}); {advice}")
    if "files" in then and then["files"] != now.files:
        raise UserError(
            "resume=auto: the images or labels have changed since this run began: the same names, other files; "
            f"{advice}"
        )


def initial_weights(config: Config, run: Run) -> dict[str, Tensor] | None:
    """The weights a run begins or goes on with, if they come from a checkpoint or an exported file."""
    if run.resumed is not None:
        weights: dict[str, Tensor] = run.resumed["model"]
        return weights
    if config.init.checkpoint is None:
        return None
    initial = read_network(Path(config.init.checkpoint))
    if initial.description.class_names != run.header.classes.names:
        raise UserError(
            f"init.checkpoint={config.init.checkpoint} was trained on the classes {initial.description.class_names}, "
            f"the data has {run.header.classes.names}; both must be the same, in the same order"
        )
    weights = initial.weights
    has_context = any(name.startswith("context.") for name in weights)
    trained, required = initial.description.config["model"], run.header.config["model"]
    for key in ("frontend", "padding", "context") if has_context else ("frontend", "padding"):
        # Shapes alone would not tell: every Basic schedule of one length has the same.
        if trained[key] != required[key]:
            raise UserError(
                f"init.checkpoint={config.init.checkpoint} was trained with model.{key}={trained[key]}, this run has "
                f"{required[key]}; both must be the same"
            )
    if config.stages[0] == "frontend" and has_context:
        raise UserError(
            f"init.checkpoint={config.init.checkpoint} has a context module, but stages={config.stages} begin with "
            "the front end; start from the frontend.pt of that run, or set stages=[joint]"
        )
    return weights
