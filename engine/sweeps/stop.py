"""How a sweep is asked to stop: by signals to its processes, and by files from its first process to those elsewhere."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from configs.errors import AGAIN_S
from engine.process.stop import stop_signals


class _Received(NamedTuple):
    number: int
    time_s: float


signals_received: list[_Received] = []  # of this process; those of one request count once
handlers: dict[int, Callable[[int, FrameType | None], object]] = {}  # of the launcher whose process this is


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
            before = signal.getsignal(number)
            is_python_own = before == signal.default_int_handler
            if callable(before) and not is_python_own and before != self._receive and os.getpid() != self.process:
                handlers[number] = before
            signal.signal(number, self._receive)

    def count(self) -> int:
        """0: go on; 1: jobs save and stop, no other begins; 2: end at once."""
        return max(sum(file.exists() for file in self._files), min(len(signals_received), 2))

    def hand_on(self) -> None:
        """Let the launcher answer the signal to this process that has stopped its job, if it answers such signals.

        submitit requeues the job and ends the process. A sweep that is to stop as a whole is not begun anew.
        """
        handler = handlers.get(signals_received[0].number) if signals_received else None
        if handler is not None and not any(file.exists() for file in self._files):
            handler(signals_received[0].number, None)

    def forget(self) -> None:
        """Remove the files."""
        for file in self._files:
            file.unlink(missing_ok=True)

    @property
    def _files(self) -> tuple[Path, Path]:
        return self.file, self.file.with_name(f"{self.file.name}-at-once")

    def _receive(self, number: int, _: FrameType | None) -> None:
        now_s = time.monotonic()
        if signals_received and now_s - signals_received[-1].time_s < AGAIN_S:
            return
        signals_received.append(_Received(number, now_s))
        if len(signals_received) > len(self._files):
            os._exit(128 + number)
        if os.getpid() == self.process:
            self._files[len(signals_received) - 1].touch()
