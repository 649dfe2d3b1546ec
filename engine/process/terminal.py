"""Output that survives its terminal: `| head` may close the pipe, `| less` may block it, a window may be shut."""

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

PATIENCE_S = 10.0  # how long a reader may take before its text is dropped; the run's log has it all
CHUNK = 4096  # bytes that a pipe takes without blocking once it takes any


class SurvivingStream:
    """A text stream like the given one, whose troubles never reach the program: what cannot be written is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._patience_s = PATIENCE_S

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            for first in range(0, len(text), CHUNK // 4):  # a character has up to 4 bytes
                if not self._takes_more():
                    break
                self._stream.write(text[first : first + CHUNK // 4])
                self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed
            self._give_up()
        return len(text)

    def flush(self) -> None:
        """Every write has flushed."""

    def _takes_more(self) -> bool:
        try:
            descriptor = self._stream.fileno()
        except (OSError, ValueError):
            return True  # no file behind it: a text in memory
        _, writable, _ = select.select([], [descriptor], [], self._patience_s)
        self._patience_s = PATIENCE_S if writable else 0.0
        return bool(writable)

    def _give_up(self) -> None:
        """The reader is gone. What still lies in the stream's buffer must not fail again when the program ends."""
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        except (OSError, ValueError):
            self._stream = open(os.devnull, "w")  # noqa: SIM115 -- it is written to until the program ends


@contextmanager
def surviving_terminal() -> Iterator[None]:
    """Stdout and stderr as `SurvivingStream`s; a sign that the terminal cannot show (in a path) becomes an escape.

    Streams that were closed before the program began (`>&-`) take everything and show nothing.
    """
    streams = sys.stdout, sys.stderr
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Files that are written to until the program ends.
    present = (stream if stream is not None else open(os.devnull, "w") for stream in streams)  # noqa: SIM115
    sys.stdout, sys.stderr = (cast(TextIO, SurvivingStream(stream)) for stream in present)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
