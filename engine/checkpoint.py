"""Checkpoints: plain data in torch's zip format, written atomically, verified as a whole before anything is read.

The SHA-256 of the file stands in the zip archive's own comment, so one flipped bit anywhere is found, and the file
still opens with a plain `torch.load(..., weights_only=True)`.
"""

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import torch

from configs.errors import DamagedFileError, UserError

FORMAT = 1
_END_RECORD = b"PK\x05\x06"  # a zip file without a comment ends in 22 bytes that start so
_END_LENGTH = 22
_LABEL = b"sha256:"
_COMMENT_LENGTH = len(_LABEL) + 64


def save(path: Path, content: dict[str, Any]) -> None:
    """Write `content` so that after any crash `path` holds either the old file or the new one, whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w+b") as file:
            torch.save({"format": FORMAT, **content}, file)
            _seal(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint. Raises UserError if it is none of ours or of a newer format, DamagedFileError if damaged."""
    if not path.is_file():
        raise UserError(f"checkpoint={path}: no such file; give the path of a .pt file that a run has written")
    _verify(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError) as error:
        raise DamagedFileError(f"{path}: not readable as a checkpoint: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise UserError(f"checkpoint={path}: not a checkpoint of this project")
    if content["format"] > FORMAT:
        raise UserError(
            f"checkpoint={path}: written in format {content['format']}, this version reads up to {FORMAT}; update"
        )
    return content


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files of processes that were killed while they saved."""
    for leftover in folder.glob(".*.pt.*.tmp"):
        leftover.unlink(missing_ok=True)


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
