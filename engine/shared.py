"""A trained front end that other runs may take instead of training the same once more."""

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from configs.errors import DamagedFileError, UserError
from engine import checkpoint
from engine.resume import flatten

KEY_LENGTH = 20  # hexadecimal digits of a file's name
# What the front end's training does not depend on; of the machine, `header["runtime"]` says what matters.
UNRELATED = (
    *("experiment", "stages", "resume", "run.", "cache.", "runtime.", "data.download"),
    *("model.context.", "stage.context.", "stage.joint."),
)


@dataclass(frozen=True)
class SharedFrontend:
    """The place of a front end below `root`, named after the hash of all that its training depends on."""

    path: Path
    say: Callable[[str], None]

    @classmethod
    def of(
        cls, root: Path, header: Mapping[str, Any], files: list[str], say: Callable[[str], None]
    ) -> "SharedFrontend":
        """`header` is what the run's checkpoints say of themselves, `files` identify images and labels."""
        config = flatten(header["config"])
        related = {key: value for key, value in config.items() if not key.startswith(UNRELATED)}
        content = {
            "config": related,
            "files": files,
            "runtime": header["runtime"],
            "torch": header["versions"]["torch"],
        }
        key = sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:KEY_LENGTH]
        return cls(root / f"frontend-{key}.pt", say)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Of the runs that want this front end, one at a time trains it; the others wait, then take it."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = self.path.with_suffix(".lock").open("w")
        except OSError as error:
            raise UserError(
                f"cache.root={self.path.parent} cannot be written ({error.strerror}); set cache.root elsewhere, or "
                "cache.frontend=false"
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.say("front end: another run is training it; waiting")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def take(self) -> dict[str, Any] | None:
        """The checkpoint of the trained front end, if there is one."""
        if not self.path.exists():
            return None
        try:
            return checkpoint.load(self.path)
        except DamagedFileError as error:
            self.say(f"warning: {error}; training the front end again")
            return None

    def publish(self, content: dict[str, Any]) -> None:
        checkpoint.save(self.path, content)
