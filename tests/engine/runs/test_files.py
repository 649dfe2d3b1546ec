"""Files are replaced whole, and locks die with their process."""

import json
import os
import resource
import signal
import time
from pathlib import Path

import pytest

from engine.runs.files import CannotWriteError, FileLock, locked, replacing, write_json
from tests.helpers.programs import start_code

HOLD_AND_FORK = """
import os, sys, time
from pathlib import Path
from engine.runs.files import FileLock
assert FileLock(Path(sys.argv[1])).acquire()
if os.fork() == 0:
    print(os.getpid(), flush=True)
time.sleep(60)
"""


def test_a_forked_process_holds_no_lock_of_its_parent(tmp_path: Path) -> None:
    """The processes that read images live on for seconds after a kill -9; a resume must not wait for them."""
    path = tmp_path / "lock"
    parent = start_code(HOLD_AND_FORK, path)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert not FileLock(path).acquire()
    parent.kill()
    parent.wait()
    lock = FileLock(path)
    assert lock.acquire()
    os.kill(child, signal.SIGKILL)  # it was alive all the time
    lock.release()


def test_who_waits_says_so_once_and_can_be_stopped(tmp_path: Path) -> None:
    said: list[str] = []

    class StoppedError(Exception):
        pass

    def third_look() -> None:
        said.append("look")
        if len(said) == 4:
            raise StoppedError

    with (
        locked(tmp_path / "lock", lambda: None, lambda: None),
        pytest.raises(StoppedError),
        locked(tmp_path / "lock", lambda: said.append("waits"), third_look),
    ):
        pass
    assert said == ["waits", "look", "look", "look"]
    began_s = time.monotonic()
    with locked(tmp_path / "lock", lambda: None, lambda: None):
        assert time.monotonic() - began_s < 0.1


def test_the_old_file_moves_on_and_there_is_no_moment_without_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An evaluation may read last.pt at any moment of a training."""
    path, previous = tmp_path / "a", tmp_path / "b"
    rename = Path.replace

    def watched(self: Path, target: Path) -> Path:
        renamed = rename(self, target)
        assert path.exists()
        return renamed

    path.write_bytes(b"0")
    monkeypatch.setattr(Path, "replace", watched)
    previous.hardlink_to(path)  # as a crash between the two renames leaves them
    for number in (1, 2):
        with replacing(path, keep_as=previous) as file:
            file.write(b"%d" % number)
        assert (path.read_bytes(), previous.read_bytes()) == (b"%d" % number, b"%d" % (number - 1))
        assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_the_old_file_moves_on_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    path, previous = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"old")
    with replacing(path, keep_as=previous) as file:
        file.write(b"new")
    assert (path.read_bytes(), previous.read_bytes(), sorted(os.listdir(tmp_path))) == (b"new", b"old", ["a", "b"])


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_fails_while_it_is_written_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(error), replacing(path) as file:
        file.write(b"new")
        raise error
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]


def test_a_full_disk_is_one_message_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        with pytest.raises(CannotWriteError, match=r"a\.json cannot be written \(File too large\); what was there"):
            write_json(path, {"a": "x" * 1000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert json.loads(path.read_text()) == {"a": 1} and os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127])
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path, name: str) -> None:
    with replacing(tmp_path / name) as file:
        file.write(b"new")
    assert os.listdir(tmp_path) == [name]


def test_a_name_that_is_too_long_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(CannotWriteError, match=r"cannot be written \(File name too long\)"):
        write_json(tmp_path / ("n" * 256), {})


def test_json_holds_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert os.listdir(tmp_path) == []
