"""Random files for readers: what each of them must end in, how fast, and in how much memory."""

import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from configs.errors import UserError

EXAMPLES = "FUZZ_EXAMPLES"  # environment variable: how many files of a kind; other ones than the tests' where it is set
MOST_EXTRA_KIB = 48 * 1024  # beside the file itself
STATUS, RESET_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")

fuzzed = settings(
    max_examples=int(os.environ.get(EXAMPLES, "100")),
    derandomize=EXAMPLES not in os.environ,
    deadline=timedelta(seconds=20),  # of wall time, on a machine that may be busy: no file hangs a reader
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    database=None,
)


@st.composite
def damaged_copies(draw: st.DrawFn, whole: bytes) -> bytes:
    """The file with up to four of its parts overwritten, removed, repeated, or preceded by others."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(content)))
        end = draw(st.integers(begin, min(begin + draw(st.sampled_from([1, 4, 64, 1000])), len(content))))
        new = draw(st.one_of(st.binary(max_size=12), st.just(bytes(content[begin:end]) * 2), st.just(b"\xff" * 8)))
        content[begin:end] = new
    return bytes(content)


def result_or_refusal(read: Callable[[], Any], name: str) -> Any:
    """What `read` returns; None where it raises a UserError, which must name the file. Nothing else may be raised.

    Nor may it take more memory than a few images of usual size do.
    """
    RESET_PEAK.write_text("5")
    before_kib = _kib("VmRSS")
    try:
        return read()
    except UserError as error:
        assert name in str(error), f"the file is not named: {error}"
        return None
    finally:
        extra_kib = _kib("VmHWM") - before_kib
        assert extra_kib < MOST_EXTRA_KIB, f"{extra_kib} KiB"


def _kib(key: str) -> int:
    found = re.search(rf"{key}:\s+(\d+)", STATUS.read_text())
    assert found is not None
    return int(found[1])


def json_values() -> st.SearchStrategy[Any]:
    """Whatever JSON can say, huge numbers included."""
    scalars = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**20), 10**20),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
        st.just(10**400),
    )
    return st.recursive(
        scalars, lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text(max_size=6), parts, max_size=4)
    )
