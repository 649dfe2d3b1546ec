"""The list of finished results: what it costs where it cannot be written."""

import resource
import signal
from pathlib import Path

import pytest

from assembly.finished import Finished, Source
from engine.runs.files import CannotWriteError


def test_a_full_disk_is_one_message_and_the_line_is_lost_alone(tmp_path: Path) -> None:
    path, image = tmp_path / "inputs.jsonl", tmp_path / "a.png"
    image.touch()
    Finished(path).add("first", Source.of(image), {"ids": image})
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5, limits[1]))
        with pytest.raises(CannotWriteError, match=r"inputs\.jsonl cannot be written \(File too large\); make room"):
            Finished(path).add("second", Source.of(image), {"ids": image})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    finished = Finished(path)
    assert finished.has("first", Source.of(image), {"ids": image})
    assert not finished.has("second", Source.of(image), {"ids": image})
