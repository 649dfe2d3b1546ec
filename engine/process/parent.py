"""Processes that torchrun has started: each leads a session of its own, so nothing ends them where it is killed."""

import os
import signal
import time
from threading import Thread

POLL_S = 0.5


def stop_with_parent() -> None:
    """From now on a SIGTERM comes to this process once the one that started it is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_S)
        os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=watch, daemon=True).start()
