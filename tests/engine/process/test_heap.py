"""Freed memory stays with the process, unless its environment says otherwise. Each case in a process of its own."""

import os
import subprocess
import sys

import pytest

from engine.process.heap import OWN_SETTINGS

LARGE_BYTES = 2**27  # glibc would give it back at once
LEAST_PAGES = LARGE_BYTES // 2**21  # where the system hands out large ones
COUNT = f"""
import os, resource, sys
from engine.process.heap import give_back_freed_memory, keep_freed_memory, keeping_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    b"x" * {LARGE_BYTES}
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

requests = sys.argv[1:]
print(keep_freed_memory() if "keep" in requests else False, flush=True)
faults()
if "give back" in requests:
    give_back_freed_memory()
if "block" in requests:
    with keeping_freed_memory():
        faults()
        if "fork" in requests:
            if os.fork():
                os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
            faults()
            print(faults(), flush=True)
            os._exit(0)
print(faults())
"""


def kept_and_faults(*requests: str, **environment: str) -> tuple[bool, int]:
    """What was promised, and how many pages the system had to hand out for a block like one that was freed before.

    Of requests there are "keep", "give back", "block" (measured behind it) and "fork" (measured in a child within it).
    """
    own = {name: value for name, value in os.environ.items() if name not in OWN_SETTINGS}
    command = [sys.executable, "-c", COUNT, *requests]
    done = subprocess.run(command, env={**own, **environment}, capture_output=True, text=True, check=True)
    kept, faults = done.stdout.split()
    return kept == "True", int(faults)


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc alone")
def test_memory_that_was_freed_is_taken_again_until_it_is_given_back() -> None:
    kept, faults = kept_and_faults("keep")
    assert kept and faults < LEAST_PAGES / 4
    for requests in ([], ["keep", "give back"], ["block"], ["block", "fork"]):
        _, faults = kept_and_faults(*requests)
        assert faults >= LEAST_PAGES


@pytest.mark.parametrize("name", ["MALLOC_MMAP_MAX_", "GLIBC_TUNABLES"])
def test_who_has_set_the_allocator_is_not_overruled(name: str) -> None:
    kept, _ = kept_and_faults("keep", **{name: "65536" if name != "GLIBC_TUNABLES" else "glibc.malloc.mmap_max=65536"})
    assert not kept
