"""How a sweep is asked to stop: by signals to its processes, and by files from its first process to those elsewhere."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from configs.errors import AGAIN_S
from engine.process.stop import stop_signals

_asked_s: list[float] = []  # when this process was asked


@dataclass(frozen=True)
class StopWish:
    """`process` is the sweep's first; what it is asked counts for all, what another process is asked for that one."""

    file: Path
    process: int

    def listen(self) -> None:
        """From now on signals of this process are wishes. The third one ends it."""
        for number in stop_signals():
            signal.signal(number, self._receive)

    def count(self) -> int:
        """0: go on; 1: jobs save and stop, no other begins; 2: end at once."""
        return max(sum(file.exists() for file in self._files), min(len(_asked_s), 2))

    def forget(self) -> None:
        for file in self._files:
            file.unlink(missing_ok=True)

    @property
    def _files(self) -> tuple[Path, Path]:
        return self.file, self.file.with_name(f"{self.file.name}-at-once")

    def _receive(self, number: int, _: FrameType | None) -> None:
        now_s = time.monotonic()
        if _asked_s and now_s - _asked_s[-1] < AGAIN_S:
            return
        _asked_s.append(now_s)
        if len(_asked_s) > len(self._files):
            os._exit(128 + number)
        if os.getpid() == self.process:
            self._files[len(_asked_s) - 1].touch()
