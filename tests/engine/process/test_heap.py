"""Freed memory stays with the process, unless its environment says otherwise. Each case in a process of its own."""

import os
import subprocess
import sys

import pytest

from engine.process.heap import OWN_SETTINGS

LARGE_BYTES = 2**27  # glibc would give it back at once
LEAST_PAGES = LARGE_BYTES // 2**21  # where the system hands out large ones
COUNT = f"""
import resource, sys
from engine.process.heap import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"x" * {LARGE_BYTES}
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(keep_freed_memory() if len(sys.argv) == 1 else False)
faults()
print(faults())
"""


def kept_and_faults(*words: str, **environment: str) -> tuple[bool, int]:
    """What was promised, and how many pages the system had to hand out for a block like one that was freed before.

    Any word: nothing is requested.
    """
    own = {name: value for name, value in os.environ.items() if name not in OWN_SETTINGS}
    command = [sys.executable, "-c", COUNT, *words]
    done = subprocess.run(command, env={**own, **environment}, capture_output=True, text=True, check=True)
    kept, faults = done.stdout.split()
    return kept == "True", int(faults)


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc alone")
def test_memory_that_was_freed_is_taken_again() -> None:
    kept, faults = kept_and_faults()
    assert kept and faults < LEAST_PAGES / 4
    _, faults = kept_and_faults("as it is")
    assert faults >= LEAST_PAGES, "which is why"


@pytest.mark.parametrize("name", ["MALLOC_MMAP_MAX_", "GLIBC_TUNABLES"])
def test_who_has_set_the_allocator_is_not_overruled(name: str) -> None:
    kept, _ = kept_and_faults(**{name: "65536" if name != "GLIBC_TUNABLES" else "glibc.malloc.mmap_max=65536"})
    assert not kept
