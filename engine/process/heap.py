"""Memory that a step has freed stays with the process, and the next step takes it again.

glibc gives large blocks back at once, and the system hands out zeroed pages for the next ones, one by one: a third of a
step of the paper's front end on small crops (docs/experiments.md).
"""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # names of parameters in glibc's malloc.h
NEVER, NONE = -1, 0
# glibc's thresholds grow as blocks are freed, but not once one was set. These let images of usual size come from the
# heap again, and each of the 16-MiB blocks that Pillow makes of a large one from the system, which need not touch it.
ORDINARY = {MMAP_MAX: 2**16, MMAP_THRESHOLD: 2**22, TRIM_THRESHOLD: 2**26}
OWN_SETTINGS = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")

_keeps = False  # this process


def keep_freed_memory() -> bool:
    """Have this process keep what it frees from now on; False where that cannot be had. What it forks does not.

    The largest moment takes up to a quarter more, for large blocks now leave gaps, too. Who has set an environment
    variable for glibc's allocator, such as MALLOC_MMAP_MAX_, has decided otherwise.
    """
    global _keeps
    if any(name in os.environ for name in OWN_SETTINGS):
        return False
    mallopt = _of_glibc("mallopt")
    _keeps = mallopt is not None and bool(mallopt(MMAP_MAX, NONE)) and bool(mallopt(TRIM_THRESHOLD, NEVER))
    return _keeps


def _keep_no_more() -> None:
    global _keeps
    mallopt = _of_glibc("mallopt")
    if _keeps and mallopt is not None:
        for name, value in ORDINARY.items():
            mallopt(name, value)
    _keeps = False


os.register_at_fork(after_in_child=_keep_no_more)


@contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Within the block, where it can be had.

    Not for longer: a file that claims to be a large image gets pages of zeros that it never touches from the system,
    and kept memory would have to be filled with them.
    """
    keep_freed_memory()
    try:
        yield
    finally:
        _keep_no_more()
        give_back_freed_memory()


def give_back_freed_memory() -> None:
    """To the system, between works of different kinds: what one has left would not fit the next."""
    malloc_trim = _of_glibc("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    """None: the C library is another."""
    return getattr(ctypes.CDLL(None), name, None)
