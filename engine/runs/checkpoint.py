"""Checkpoints: plain data in torch's zip format, written atomically, verified as a whole before anything is read.

The SHA-256 of the file stands in the zip archive's own comment, so one flipped bit anywhere is found, and the file
still opens with a plain `torch.load(..., weights_only=True)`.
"""

import hashlib
import os
import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch

from configs.errors import DamagedFileError, UserError
from engine.runs.files import replacing

FORMAT = 1
_END_RECORD = b"PK\x05\x06"  # a zip file without a comment ends in 22 bytes that start so
_END_LENGTH = 22
_LABEL = b"sha256:"
_COMMENT_LENGTH = len(_LABEL) + 64
_CALLABLES = ("collections OrderedDict", "torch._utils _rebuild_tensor_v2")  # all that torch.save names for our content
_STORAGE = re.compile(r"torch \w+Storage")
MAX_VALUES = 200_000  # and steps of its pickle, each of which may make one; ours have fewer than ten thousand
MAX_DEPTH = 50  # of containers in containers; ours have fewer than ten


def save(path: Path, content: dict[str, Any], keep_as: Path | None = None) -> None:
    """Write `content` so that after any crash `path` holds either the old file or the new one, whole.

    `keep_as` as in `replacing`. Tensors are stored as a CPU's, so the file opens where there is no GPU. Raises
    CannotWriteError.
    """
    with replacing(path, keep_as) as file:
        sink = _Sink(file)
        try:
            torch.save({"format": FORMAT, **on_cpu(content)}, sink)  # type: ignore[arg-type]  # it only writes
        except RuntimeError:
            if sink.error is not None:
                raise sink.error from None  # torch says no more than that a write failed
            raise
        _seal(file)


def on_cpu(content: Any) -> Any:
    """Nested dicts, lists and tuples with every tensor on the CPU; those that are there are not copied."""
    if isinstance(content, torch.Tensor):
        return content.detach().cpu()
    if isinstance(content, dict):
        return {name: on_cpu(part) for name, part in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(on_cpu(part) for part in content)
    return content


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint. Raises UserError if it is none of ours or of a newer format, DamagedFileError if damaged."""
    if not path.is_file():
        raise UserError(f"checkpoint={path}: no such file; give the path of a .pt file that a run has written")
    _verify(path)
    _check_claims(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # steps of a pickle in an order that no pickler has may raise anything
        raise _not_readable(path, error) from error
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise UserError(f"checkpoint={path}: not a checkpoint of this project")
    _check_content(path, content)
    if content["format"] > FORMAT:
        raise UserError(
            f"checkpoint={path}: written in format {content['format']}, this version reads up to {FORMAT}; "
            "update this project"
        )
    return content


class _Sink:
    """A file for torch to write into, that remembers why it could not."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def _seal(file: Any) -> None:
    """Append the digest of everything before it as the archive's comment."""
    file.seek(-_END_LENGTH, os.SEEK_END)
    end = file.read(_END_LENGTH)
    assert end.startswith(_END_RECORD) and end.endswith(b"\0\0"), "torch.save wrote an archive with a comment"
    file.seek(-2, os.SEEK_END)
    file.write(_COMMENT_LENGTH.to_bytes(2, "little"))
    file.flush()
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0, os.SEEK_END)
    file.write(_LABEL + digest.encode())


def _verify(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            raise DamagedFileError(f"{path}: damaged or not a checkpoint: it does not start as one ({size} bytes)")
        file.seek(max(0, size - _COMMENT_LENGTH))
        comment = file.read()
        if not comment.startswith(_LABEL):
            raise DamagedFileError(f"{path}: damaged, or not written by this project: its checksum is missing")
        digest = hashlib.sha256()
        file.seek(0)
        remaining = size - _COMMENT_LENGTH
        while remaining > 0:
            block = file.read(min(1 << 20, remaining))
            digest.update(block)
            remaining -= len(block)
    if comment[len(_LABEL) :] != digest.hexdigest().encode():
        raise DamagedFileError(f"{path}: damaged: its content does not match its checksum")


def _check_claims(path: Path) -> None:
    """Refuse a file that asks for more memory than it has bytes, or for other things than tensors and plain data.

    A checksum says that a file is what its writer meant, not that he meant well: a compressed record grows a
    thousandfold, and some of the callables that `weights_only` allows make bytes out of a number.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            claimed = sum(record.file_size for record in records)
            is_packed = any(record.compress_type != zipfile.ZIP_STORED for record in records)
            if is_packed or claimed > path.stat().st_size:
                raise DamagedFileError(f"{path}: not written by this project: its records are compressed or overlap")
            pickles = [record for record in records if record.filename.endswith(".pkl")]
            names = {name for record in pickles for name in _callables(archive.read(record))}
    except UserError:
        raise
    except Exception as error:  # what a damaged archive or pickle raises, none of them lists
        raise _not_readable(path, error) from error
    foreign = sorted(name for name in names if name not in _CALLABLES and not _STORAGE.fullmatch(name))
    if foreign:
        raise DamagedFileError(
            f"{path}: not written by this project: it wants to call {', '.join(foreign[:3])}; nothing was executed"
        )


def _not_readable(path: Path, error: Exception) -> DamagedFileError:
    reason = " ".join(str(error).split()[:30]) or type(error).__name__
    return DamagedFileError(f"{path}: not readable as a checkpoint: {reason}")


def _callables(pickled: bytes) -> Iterator[str]:
    """What a pickle imports, as "module name"; nothing is executed. A name that is computed is "None"."""
    for number, (step, argument, _) in enumerate(pickletools.genops(pickled)):
        if number >= MAX_VALUES:
            raise ValueError(f"its pickle has more than {MAX_VALUES} steps")
        if step.name in ("GLOBAL", "STACK_GLOBAL", "INST"):
            yield str(argument)


def _check_content(path: Path, content: dict[str, Any]) -> None:
    """Refuse what is more when it is walked or copied than it was in the file.

    A tensor with a stride of 0 claims gigabytes of four bytes, and lists that hold one list twice, which holds one
    twice, and so on, never end.
    """
    todo: list[tuple[Any, int]] = [(content, 0)]
    num_values = num_bytes = 0
    while todo:
        value, depth = todo.pop()
        num_values += 1
        if num_values + len(todo) > MAX_VALUES or depth > MAX_DEPTH:
            raise DamagedFileError(
                f"{path}: not written by this project: more than {MAX_VALUES} values, or {MAX_DEPTH} containers deep"
            )
        if isinstance(value, dict):
            todo += [(part, depth + 1) for pair in value.items() for part in pair]
        elif isinstance(value, list | tuple):
            todo += [(part, depth + 1) for part in value]
        elif isinstance(value, torch.Tensor):
            num_bytes += value.nbytes
        elif not isinstance(value, str | int | float | None):
            raise DamagedFileError(f"{path}: not written by this project: it holds a {type(value).__name__}")
    size = path.stat().st_size
    if num_bytes > size:
        raise DamagedFileError(
            f"{path}: not written by this project: its tensors claim {num_bytes} bytes, and it has {size}"
        )
