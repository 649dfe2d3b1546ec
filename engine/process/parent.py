"""Processes that torchrun has started: each leads a session of its own, so nothing ends them where it is killed."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from engine.process.stop import StopRequest

POLL_S = 0.5


@contextmanager
def stopping_with_parent(stop: StopRequest) -> Iterator[None]:
    """Within the block a SIGTERM comes to this process once the one that started it is gone.

    But for one that is asked to stop already: it may be saving, and a second signal would end it at once.
    """
    parent, is_over = os.getppid(), Event()

    def watch() -> None:
        while not is_over.wait(POLL_S):
            if os.getppid() != parent:
                if not stop.is_requested:
                    os.kill(os.getpid(), signal.SIGTERM)
                return

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:  # a thread that still ran when the interpreter ends could abort the process (seen with Python 3.11)
        is_over.set()
        watcher.join()
