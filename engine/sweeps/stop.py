"""How a sweep is asked to stop: by signals to its processes, and by files from its first process to those elsewhere."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from configs.errors import AGAIN_S
from engine.process.stop import stop_signals

_signals_s: list[float] = []  # when this process received signals; those of one request count once


@dataclass(frozen=True)
class SweepStop:
    """Whether a sweep is to stop. `process` is the id of its first process.

    Signals to that one are noted in files beside `file` and count for every process of the sweep, wherever it runs;
    signals to another process count for that process alone.
    """

    file: Path
    process: int

    def listen(self) -> None:
        """Count stop signals to this process from now on; the third one ends it."""
        for number in stop_signals():
            signal.signal(number, self._receive)

    def count(self) -> int:
        """0: go on; 1: jobs save and stop, no other begins; 2: end at once."""
        return max(sum(file.exists() for file in self._files), min(len(_signals_s), 2))

    def forget(self) -> None:
        """Remove the files."""
        for file in self._files:
            file.unlink(missing_ok=True)

    @property
    def _files(self) -> tuple[Path, Path]:
        return self.file, self.file.with_name(f"{self.file.name}-at-once")

    def _receive(self, number: int, _: FrameType | None) -> None:
        now_s = time.monotonic()
        if _signals_s and now_s - _signals_s[-1] < AGAIN_S:
            return
        _signals_s.append(now_s)
        if len(_signals_s) > len(self._files):
            os._exit(128 + number)
        if os.getpid() == self.process:
            self._files[len(_signals_s) - 1].touch()
