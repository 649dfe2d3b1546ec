"""Memory that a step has freed stays with the process, and the next step takes it again.

glibc gives large blocks back at once, and the system hands out zeroed pages for the next ones, one by one: a third of a
step of the paper's front end on small crops (docs/experiments.md).
"""

import ctypes
import os
from collections.abc import Callable

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # names of parameters in glibc's malloc.h
NEVER, NONE = -1, 0
OWN_SETTINGS = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Have this process, and those forked from it, keep what they free; False where that cannot be had.

    The largest moment takes up to a fifth more, for large blocks now leave gaps, too. Who has set an environment
    variable for glibc's allocator, such as MALLOC_MMAP_MAX_, has decided otherwise.
    """
    if any(name in os.environ for name in OWN_SETTINGS):
        return False
    mallopt = _of_glibc("mallopt")
    return mallopt is not None and bool(mallopt(MMAP_MAX, NONE)) and bool(mallopt(TRIM_THRESHOLD, NEVER))


def give_back_freed_memory() -> None:
    """To the system, between works of different kinds: what one has left would not fit the next."""
    malloc_trim = _of_glibc("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    """None: the C library is another."""
    return getattr(ctypes.CDLL(None), name, None)
