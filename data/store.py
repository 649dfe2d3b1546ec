"""Folders of computed files, shared by all runs that would compute the same.

A folder is named after the hash of all that determines its files; index.json holds the hash's content and the files'
checksums. It is written beside its place and renamed when whole, under a lock: of two runs that want it, one waits.
Remove the folder to be rid of it.
"""

import errno
import json
import os
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from configs.errors import UserError
from configs.schema import CacheConfig

INDEX = "index.json"
CHUNK_BYTES = 2**24
INDEX_SHARE = 1.1  # of the bytes of the files: they, their indices, and what rounding to two digits takes
KEY_LENGTH = 20  # hexadecimal digits of a folder's name

Kind = Literal["maps", "images", "counts"]  # what the names of folders begin with
# How to do without them; cache.max_gb bounds the kinds that can be done without.
OTHERWISE: dict[str, str] = {
    "maps": "set maps=computed in the stages that keep them",
    "images": "set cache.images=false",
}
# A lack of memory, open files or processes, which whoever computes has met.
OF_THE_MACHINE = (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN)
Claim = Callable[[int], None]  # of so many bytes in all, before they are written; raises UserError if it is too much
Log = Callable[[str], None]
# The lock of a file; where another process holds it, the function is called once, and it is waited for.
Locked = Callable[[Path, Callable[[], None]], AbstractContextManager[None]]


class CacheTooSmall(UserError):
    """`required_gb` is a `cache.max_gb` that would do, for what is there and what is to come."""

    def __init__(self, message: str, required_gb: float) -> None:
        super().__init__(message)
        self.required_gb = required_gb


def kept_folder(
    config: CacheConfig,
    identity: Mapping[str, Any],
    build: Callable[[Path, Claim], None],
    log: Log,
    locked: Locked,
    what: str,
    kind: Kind = "maps",
) -> Path:
    """The folder of this identity (JSON data); `build` fills it where there is none yet.

    `what` names the content in the log. Raises UserError where it would exceed `config.max_gb` with all others, or
    cannot be written.
    """
    root, text = Path(config.root), _text(identity)
    folder = root / _name(text, kind)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_suffix(".lock"), lambda: log(f"{what}: another run computes them; waiting")):
            complaint = _complaint(folder, text)
            if complaint is None:
                log(f"{what}: read from {folder}")
            else:
                if folder.exists():
                    log(f"warning: {folder}: {complaint}; computing the {kind} again")
                    shutil.rmtree(folder)
                _fill(folder, text, build, claim_of(config, [kind]))
                log(f"{what}: computed, {_shown(_size(folder))} in {folder}")
    except OSError as error:
        if isinstance(error, ConnectionError) or error.errno in OF_THE_MACHINE:
            raise  # of what is computed, not of where it is kept
        raise UserError(
            f"cache.root={root}: the {kind} cannot be kept there ({error.strerror or error}); set cache.root elsewhere"
            + (f", or {OTHERWISE[kind]}" if kind in OTHERWISE else "")
        ) from error
    return folder


def to_keep(config: CacheConfig, identity: Mapping[str, Any], num_bytes: int, kind: Kind = "maps") -> dict[str, int]:
    """The name of this identity's folder, with its bytes; nothing if it is there."""
    return {} if is_kept(config, identity, kind) else {_name(_text(identity), kind): num_bytes}


def is_kept(config: CacheConfig, identity: Mapping[str, Any], kind: Kind = "maps") -> bool:
    """Whether there is a folder of this identity; whether it is whole, `kept_folder` sees."""
    return (Path(config.root) / _name(_text(identity), kind)).exists()


def refuse_too_many(config: CacheConfig, needed: Mapping[str, int]) -> None:
    """`needed` are the bytes of folders to come, whose names begin with their kinds. See `claim_of`."""
    if needed:
        kinds = sorted({name.partition("-")[0] for name in needed}, reverse=True)
        claim_of(config, kinds)(sum(needed.values()))


def _text(identity: Mapping[str, Any]) -> str:
    return json.dumps(identity, sort_keys=True)


def _name(identity: str, kind: Kind) -> str:
    return f"{kind}-{sha256(identity.encode()).hexdigest()[:KEY_LENGTH]}"


def _fill(folder: Path, identity: str, build: Callable[[Path, Claim], None], claim: Claim) -> None:
    temporary = folder.with_suffix(".part")
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    temporary.mkdir()
    try:
        build(temporary, claim)
        checksums = {path.name: _checksum(path) for path in sorted(temporary.iterdir())}
        (temporary / INDEX).write_text(json.dumps({"identity": identity, "checksums": checksums}))
        for path in temporary.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def claim_of(config: CacheConfig, kinds: Sequence[str]) -> Claim:
    """What refuses more bytes than the cache may still take, with all maps and images that are there now."""
    root = Path(config.root)
    folders = (folder for bounded in OTHERWISE for folder in root.glob(f"{bounded}-*"))
    used_bytes = sum(_size(folder) for folder in folders if folder.is_dir() and folder.suffix != ".part")

    def claim(needed_bytes: int) -> None:
        if used_bytes + needed_bytes > config.max_gb * 1e9:
            required_gb = float(f"{INDEX_SHARE * (used_bytes + needed_bytes) / 1e9:.2g}")
            raise CacheTooSmall(
                f"cache.max_gb={config.max_gb:g}: the {' and '.join(kinds)} need {needed_bytes / 1e9:.3g} GB and "
                f"{root} holds {used_bytes / 1e9:.3g} already; set cache.max_gb={required_gb:g}, remove folders there, "
                f"or {', or '.join(OTHERWISE[kind] for kind in kinds)}",
                required_gb,
            )

    return claim


def _complaint(folder: Path, identity: str) -> str | None:
    """Why a folder cannot be used; None if it can."""
    if not folder.is_dir():
        return "not there"
    try:
        index = json.loads((folder / INDEX).read_text())
        if index["identity"] != identity:
            return "made of something else"
        for name, checksum in index["checksums"].items():
            if _checksum(folder / name) != checksum:
                return f"{name} is damaged"
    except (OSError, ValueError, LookupError, TypeError) as error:
        return f"damaged ({error})"
    return None


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            value = zlib.crc32(chunk, value)
    return value


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _shown(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e7 else f"{num_bytes / 1e3:.0f} kB"
