"""Processes that read for another one end with it: it may be killed, and nobody else would end them."""

import multiprocessing
import os
import sys
import time
from threading import Thread

from configs.errors import FAILED

POLL_S = 0.5


def end_with_parent(grace_s: float = 0.0) -> None:
    """Watch the parent of this process from now on; end `grace_s` after it, unless that has happened by then.

    By its number as it was when this process began. multiprocessing's pipe to the parent would not do: processes that
    were begun later hold its other end, too.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, "one of several"
    if os.getppid() != parent.pid:
        sys.exit(FAILED)  # in good order, while it may

    def watch() -> None:
        while os.getppid() == parent.pid:
            time.sleep(POLL_S)
        time.sleep(grace_s)
        os._exit(FAILED)

    Thread(target=watch, daemon=True).start()
