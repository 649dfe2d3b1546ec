"""Measured work sets up a process of its own; the process of the tests stays as it is."""

import pytest

from benchmarks import answers, steps


@pytest.fixture(autouse=True)
def freed_memory_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (answers, steps):
        monkeypatch.setattr(module, "keep_freed_memory", lambda: False)
