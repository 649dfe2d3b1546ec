"""A run's own folder: made, locked, found again."""

import fcntl
import json
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from configs.errors import DamagedFileError, UserError
from engine import checkpoint

CONFIG_NAME, SUMMARY_NAME = "config.json", "summary.json"


class RunFolder:
    """One process at a time owns a folder; the lock of a dead process is free by itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last, self.previous, self.best = path / "last.pt", path / "previous.pt", path / "best.pt"
        self.summary = path / SUMMARY_NAME
        self._lock: IO[str] | None = None

    def stage_file(self, stage: str) -> Path:
        return self.path / f"{stage}.pt"

    def confusions_file(self, stage: str) -> Path:
        return self.path / f"confusions-{stage}.npy"

    def acquire(self) -> None:
        """Take the folder for this process and clean up after a killed one. Raises UserError if it is in use."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / "lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"run.dir={self.path} is in use by another process; name another folder") from error
        except OSError as error:
            raise UserError(
                f"run.dir={self.path} cannot be written ({error.strerror}); set run.dir or run.root elsewhere"
            ) from error
        checkpoint.remove_leftovers(self.path)

    def release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def save_last(self, content: dict[str, Any]) -> None:
        """Keep the newest checkpoint and the one before it."""
        if self.last.exists():
            self.previous.unlink(missing_ok=True)
            self.previous.hardlink_to(self.last)
        checkpoint.save(self.last, content)

    def load_newest(self, warn: Any) -> dict[str, Any] | None:
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
            raise damaged
        return None

    def write_config(self, config: dict[str, Any]) -> None:
        write_json(self.path / CONFIG_NAME, config)

    def write_summary(self, summary: dict[str, Any]) -> None:
        write_json(self.summary, summary)

    def say(self, text: str) -> None:
        """Add to the run's own log."""
        with (self.path / "log.txt").open("a") as log:
            log.write(text + "\n")


def write_json(path: Path, content: Any) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    temporary.replace(path)


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
            raise UserError(f"run.root={root} cannot be written ({error.strerror}); set run.root elsewhere") from error
        return path
    raise UserError(f"run.root={root}: no free folder name for {experiment}_{stamp}; set run.dir")


def newest_unfinished(root: Path, same_run: Any) -> Path | None:
    """The newest folder below `root` that has a checkpoint, no summary, and a config for which `same_run` is true."""
    candidates = sorted(root.glob("*/last.pt"), key=lambda path: path.stat().st_mtime, reverse=True)
    for last in candidates:
        config_file = last.parent / CONFIG_NAME
        if (last.parent / SUMMARY_NAME).exists() or not config_file.exists():
            continue
        if same_run(json.loads(config_file.read_text())):
            return last.parent
    return None
