"""How a run is asked to stop: by a signal, which becomes a request that is carried out between two steps."""

import os
import signal
import time
from types import FrameType

from configs.errors import AGAIN_S, STOP_SIGNALS


class Stopped(Exception):
    """A run stops because of the signal of this name; its last step is saved, or is about to be."""


def stop_signals() -> list[signal.Signals]:
    """The signals that ask this process to stop: all of `STOP_SIGNALS`, but SIGHUP where `nohup` has it ignored."""
    is_nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [number for number in STOP_SIGNALS if not (number == signal.SIGHUP and is_nohup)]


class StopRequest:
    """The first signal asks to stop, which `check` then does; a later one ends the process at once.

    What comes within `AGAIN_S` counts as one signal. SIGUSR1 and SIGUSR2 are what clusters send before they take a
    machine away, SIGHUP is a terminal that is gone. The handler only sets a flag: whatever it interrupts may be half
    done, a print included.
    """

    def __init__(self) -> None:
        self.is_requested = False
        self._signal = "a request"
        self._requested_s = 0.0
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        for number in stop_signals():
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """A run that was stopped, here or on another rank, is ending: what still comes must not take its exit code."""
        is_stopped = self.is_requested or kind is Stopped
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_IGN if is_stopped else handler)  # type: ignore[arg-type]
        self._previous.clear()

    def _receive(self, number: int, _: FrameType | None) -> None:
        now_s = time.monotonic()
        if self.is_requested and now_s - self._requested_s > AGAIN_S:
            os._exit(128 + number)
        if not self.is_requested:
            self._signal = signal.Signals(number).name
            self.is_requested, self._requested_s = True, now_s

    def check(self) -> None:
        """Raise `Stopped` if a stop was requested."""
        if self.is_requested:
            raise Stopped(self._signal)
