"""A run's own folder: made, locked, found again."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from configs.errors import DamagedFileError, UserError, cannot_write
from configs.schema import VOID
from engine.runs import checkpoint
from engine.runs.files import FileLock, link, remove_leftovers, replacing, write_json

CONFIG_NAME, SUMMARY_NAME, LOG_NAME, LOCK_NAME = "config.json", "summary.json", "log.txt", "lock"
LAST_NAME, PREVIOUS_NAME, BEST_NAME = "last.pt", "previous.pt", "best.pt"
TENSORBOARD_PREFIX = "events.out."  # TensorBoard gives the rest of its files' names


def stage_name(stage: str) -> str:
    """The file of a stage's best weights."""
    return f"{stage}.pt"


def confusions_name(stage: str) -> str:
    """The file of the confusion matrices (N, K, K) of every validation image, at the stage's best weights."""
    return f"confusions-{stage}.npy"


def read_confusions(path: Path) -> NDArray[np.int64]:
    """What `RunFolder.save_confusions` wrote, (N, K, K). Raises DamagedFileError for anything else."""
    try:
        # Mapped, so that a header that claims more than the file holds is refused before memory is taken for it.
        counts_NKK = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # a header may claim a size that is no number of this machine
        raise DamagedFileError(f"{path} cannot be read ({error})") from error
    is_square = counts_NKK.ndim == 3 and 0 < counts_NKK.shape[1] == counts_NKK.shape[2] <= VOID
    if not is_square or counts_NKK.dtype != np.int64 or len(counts_NKK) == 0 or counts_NKK.min() < 0:
        raise DamagedFileError(
            f"{path}: counts of pixels (images, classes, classes) are required; it holds {counts_NKK.dtype} of the "
            f"shape {counts_NKK.shape}"
        )
    return np.array(counts_NKK)


class RunFolder:
    """The files of a run, and the lock by which one process at a time owns them.

    `is_new`: the folder was made for this run, and nothing of another lies in it.
    """

    def __init__(self, path: Path, is_new: bool = False) -> None:
        self.path = path
        self.is_new = is_new
        self.last, self.previous, self.best = path / LAST_NAME, path / PREVIOUS_NAME, path / BEST_NAME
        self.summary = path / SUMMARY_NAME
        self._lock = FileLock(path / LOCK_NAME)
        self._log_works = True

    def stage_file(self, stage: str) -> Path:
        return self.path / stage_name(stage)

    def acquire(self) -> None:
        """Take the folder for this process and clean up after a killed one. Raises UserError if it is in use."""
        try:
            self.is_new = self.is_new or not self.path.exists()
            self.path.mkdir(parents=True, exist_ok=True)
            is_ours = self._lock.acquire()
        except OSError as error:
            raise cannot_write(f"run.dir={self.path}", error, "set run.dir or run.root elsewhere") from error
        if not is_ours:
            raise UserError(
                f"run.dir={self.path} is in use by another process; wait for its end, or name another folder"
            )
        remove_leftovers(self.path)

    def close(self, is_used: bool = True) -> None:
        """Let go of the folder; one that was made for this run and holds nothing of use is removed."""
        names = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        has_only_notes = all(
            name in (CONFIG_NAME, LOG_NAME, LOCK_NAME) or name.startswith(TENSORBOARD_PREFIX) for name in names
        )
        if self.is_new and not is_used and names and has_only_notes:
            for name in names:
                (self.path / name).unlink()
            self.path.rmdir()
        self._lock.release()

    @property
    def holds_a_run(self) -> bool:
        return any(file.exists() for file in (self.last, self.previous, self.best, self.summary))

    def save_last(self, content: dict[str, Any]) -> None:
        """Keep the newest checkpoint and the one before it."""
        checkpoint.save(self.last, content, keep_as=self.previous)

    def save_stage(self, stage: str, content: dict[str, Any], is_best_of_run: bool) -> None:
        """The best weights of a stage; those of the run are the same file under another name where there are links."""
        checkpoint.save(self.stage_file(stage), content)
        if is_best_of_run and not link(self.best, self.stage_file(stage)):
            checkpoint.save(self.best, content)

    def save_confusions(self, stage: str, confusions_NKK: Tensor) -> None:
        """Of every validation image, at the stage's best weights; replaces what was there, whole."""
        with replacing(self.path / confusions_name(stage)) as file:
            np.save(file, confusions_NKK.numpy())

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary, which says that the run is finished; the checkpoint before the last has served."""
        write_json(self.summary, summary)
        self.previous.unlink(missing_ok=True)

    def reopen(self) -> None:
        """A finished run goes on: it counts as unfinished again."""
        self.summary.unlink(missing_ok=True)

    def load_newest(self, warn: Callable[[str], None]) -> dict[str, Any] | None:
        """The newest valid checkpoint of this run, or None if there never was one."""
        damaged: DamagedFileError | None = None
        for path in (self.last, self.previous):
            if not path.exists():
                continue
            try:
                content = checkpoint.load(path)
            except DamagedFileError as error:
                damaged = error
                continue
            if damaged is not None:
                warn(f"{damaged}; going on from {path}, the one before it")
            return content
        if damaged is not None:
            raise damaged.saying(f"{damaged}; no other checkpoint of this run is left; start afresh in another run.dir")
        return None

    def write_config(self, config: dict[str, Any]) -> None:
        write_json(self.path / CONFIG_NAME, config)

    def log(self, text: str) -> None:
        """Add to the run's own log. A log that cannot be written, on a full disk, ends no training."""
        if not self._log_works:
            return
        try:
            with (self.path / LOG_NAME).open("a", encoding="utf-8", errors="backslashreplace") as log:
                log.write(text + "\n")
        except OSError as error:
            self._log_works = False
            print(f"warning: {self.path / LOG_NAME} cannot be written ({error.strerror}); training goes on without it")


def fresh_path(root: Path, experiment: str) -> Path:
    """A new folder below `root`; runs that start in one second get folders of their own."""
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for number in range(1, 1000):
        path = root / (f"{experiment}_{stamp}" if number == 1 else f"{experiment}_{stamp}_{number}")
        try:
            path.mkdir(parents=True, exist_ok=False)
        except FileExistsError:
            continue
        except OSError as error:
            raise cannot_write(f"run.root={root}", error, "set run.root elsewhere") from error
        return path
    raise UserError(f"run.root={root}: no free folder name for {experiment}_{stamp}; set run.dir")


def newest_unfinished(
    root: Path, same_run: Callable[[Mapping[str, Any]], bool], warn: Callable[[str], None]
) -> Path | None:
    """The newest folder below `root` that has a checkpoint, no summary, and a config for which `same_run` is true."""
    newest: dict[Path, float] = {}
    for name in (LAST_NAME, PREVIOUS_NAME):
        for file in root.glob(f"*/{name}"):
            newest[file.parent] = max(file.stat().st_mtime, newest.get(file.parent, 0.0))
    for folder in sorted(newest, key=newest.__getitem__, reverse=True):
        config_file = folder / CONFIG_NAME
        if (folder / SUMMARY_NAME).exists() or not config_file.exists():
            continue
        try:
            config = json.loads(config_file.read_text())
            if not isinstance(config, dict):
                raise ValueError("no settings in it")
        except (OSError, ValueError) as error:
            warn(f"warning: resume=auto passes over {folder}: {CONFIG_NAME} cannot be read ({error}); run.dir names it")
            continue
        if same_run(config):
            return folder
    return None
