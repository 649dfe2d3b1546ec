"""Files that are there whole or not at all, and locks that die with their process."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from configs.errors import FAILED, UserError

TEMPORARY = ".*.tmp"
LONGEST_PREFIX = 50  # characters of its target's name in a temporary file's: file systems allow 255 bytes in all
POLL_S = 0.2  # between two looks at a lock that another process holds
_held: set["FileLock"] = set()  # by this process


class CannotWriteError(UserError):
    """A disk is full or a folder is gone; what was there before is untouched."""

    exit_code = FAILED


@contextmanager
def replacing(path: Path, keep_as: Path | None = None) -> Iterator[IO[bytes]]:
    """A binary file that takes the place of `path` when the block ends, written through to the disk.

    At every moment and after any crash `path` holds the old content or the new one, whole. `keep_as`: where the old
    file goes when the new one is complete; on a file system without hard links `path` is then away for a moment, and
    at least `keep_as` is there. Raises CannotWriteError.
    """
    temporary = _temporary(path)
    try:
        with temporary.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if keep_as is not None and path.exists() and not link(keep_as, path):
            path.replace(keep_as)
        temporary.replace(path)
        _write_through(path.parent)
    except OSError as error:
        with suppress(OSError):  # of a name that no file can have
            temporary.unlink(missing_ok=True)
        raise _cannot_write(path, error) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def link(path: Path, source: Path) -> bool:
    """Make `path` a second name of the file `source`, at once; false where the file system has no hard links."""
    temporary = _temporary(path)
    try:
        temporary.hardlink_to(source)
        temporary.replace(path)
    except OSError:
        return False
    finally:
        temporary.unlink(missing_ok=True)  # a rename does nothing where both are names of one file already
    return True


def write_json(path: Path, content: Any) -> None:
    """Raises CannotWriteError, and ValueError for NaN and Inf, which JSON does not have."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files of processes that were killed while they wrote."""
    for leftover in folder.glob(TEMPORARY):
        leftover.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name[:LONGEST_PREFIX]}.{os.getpid()}.tmp")


def _cannot_write(path: Path, error: OSError) -> CannotWriteError:
    return CannotWriteError(
        f"{path} cannot be written ({error.strerror or error}); what was there before is untouched; make room, or "
        "correct the folder"
    )


def _write_through(folder: Path) -> None:
    """Renames are on the disk when their folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def try_lock(file: IO[str]) -> bool:
    """Lock an open file, unless another process has it locked; never waits.

    The lock lasts until every process that has this open file, by a fork or handed over, has closed it.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for(acquire: Callable[[], bool], on_wait: Callable[[], None], gives_up: Callable[[], object]) -> bool:
    """Try until `acquire` succeeds; false where `gives_up` returns something true before that (it may also raise).

    `on_wait` is called once, before the first wait.
    """
    is_waiting = False
    while not acquire():
        if not is_waiting:
            on_wait()
            is_waiting = True
        if gives_up():
            return False
        time.sleep(POLL_S)
    return True


class FileLock:
    """A lock that one process at a time holds; that of a dead process is free at once.

    `flock` belongs to the open file, which forked processes (the workers that read images) share and would hold on to
    for as long as they live, so they close it first of all. Raises OSError where the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        """Whether it is ours now; never waits."""
        file = self._path.open("w")
        try:
            is_ours = try_lock(file)
        except BaseException:
            file.close()
            raise
        if is_ours:
            self._file = file
            _held.add(self)
        else:
            file.close()
        return is_ours

    def release(self) -> None:
        _held.discard(self)
        if self._file is not None:
            self._file.close()
            self._file = None


def _release_inherited() -> None:
    """In a forked process: let go of what the parent holds, and goes on holding."""
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_release_inherited)


@contextmanager
def locked(path: Path, on_wait: Callable[[], None], check: Callable[[], None]) -> Iterator[None]:
    """Hold a lock; where another process has it, call `on_wait` once and wait. `check` may raise to stop waiting.

    Raises CannotWriteError.
    """
    lock = FileLock(path)
    try:
        wait_for(lock.acquire, on_wait, check)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        yield
    finally:
        lock.release()
