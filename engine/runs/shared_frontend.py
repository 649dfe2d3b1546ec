"""A trained front end that other runs may take instead of training the same once more."""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from configs.errors import DamagedFileError, cannot_write
from engine.runs import checkpoint
from engine.runs.changes import ALWAYS_FREE_CACHE, flatten
from engine.runs.files import CannotWriteError, locked
from engine.runs.header import RunHeader

KEY_LENGTH = 20  # hexadecimal digits of a file's name
# What the front end's training does not depend on; of the machine, `header.runtime` says what matters.
UNRELATED = (
    *("experiment", "stages", "resume", "run.", "runtime.", "data.download"),
    *("model.context.", "stage.context.", "stage.warmup.", "stage.joint."),
    *ALWAYS_FREE_CACHE,
)


@dataclass(frozen=True)
class SharedFrontend:
    """The place of a front end below `root`, named after the hash of all that its training depends on.

    `check` may raise to stop. With `may_publish` false this run may take a front end but leaves none: a part of its own
    training had other settings than those of the name.
    """

    path: Path
    log: Callable[[str], None]
    check: Callable[[], None]
    may_publish: bool = True

    @classmethod
    def of(
        cls,
        root: Path,
        header: RunHeader,
        files: list[str],
        made_by: Mapping[str, str],
        log: Callable[[str], None],
        check: Callable[[], None],
    ) -> "SharedFrontend":
        """`files` identify images and labels, `made_by` code and libraries."""
        config = flatten(header.config)
        related = {key: value for key, value in config.items() if not key.startswith(UNRELATED)}
        content = {"config": related, "files": files, "runtime": header.runtime, "made_by": made_by}
        key = sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:KEY_LENGTH]
        return cls(root / f"frontend-{key}.pt", log, check)

    @property
    def key(self) -> str:
        return self.path.stem

    def locked(self) -> AbstractContextManager[None]:
        """Of the runs that want this front end, one at a time trains it; the others wait, then take it."""
        lock = self.path.with_suffix(".lock")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock.touch()
        except OSError as error:
            advice = "set cache.root elsewhere, or cache.frontend=false"
            raise cannot_write(f"cache.root={self.path.parent}", error, advice) from error
        return locked(lock, lambda: self.log("front end: another run is training it; waiting"), self.check)

    def take(self) -> dict[str, Any] | None:
        """The checkpoint of the trained front end, if there is one."""
        if not self.path.exists():
            return None
        try:
            return checkpoint.load(self.path)
        except DamagedFileError as error:
            self.log(f"warning: {error}; training the front end again")
            return None

    def publish(self, content: dict[str, Any]) -> None:
        """Leave a front end for others, if it is what its name says. One that cannot be left ends no run."""
        if not self.may_publish:
            self.log("the front end is not shared: this run was begun with other settings, versions or files")
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            checkpoint.save(self.path, content)
        except (OSError, CannotWriteError) as error:
            self.log(f"warning: the front end is not shared: {error}")
