"""inputs.jsonl: which results are whole, and of which file each was made."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from configs.errors import UserError, cannot_write
from configs.schema import ResultKind
from data.names import readable
from engine.runs.files import CannotWriteError


class Source(NamedTuple):
    """What tells whether a file is the one that it was."""

    path: str
    num_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, file: Path) -> "Source":
        """Of a file that is not there: one that nothing was made of."""
        try:
            status = file.stat()
        except OSError:
            return cls(os.path.abspath(file), -1, -1)
        return cls(os.path.abspath(file), status.st_size, status.st_mtime_ns)


class Finished:
    """The results that are whole: a line for each input or frame, added when its files have taken their places."""

    def __init__(self, path: Path) -> None:
        """Raises UserError where the file cannot be read or written; lines that are damaged count for nothing."""
        self._path = path
        self._kinds: dict[str, tuple[Source, set[str]]] = {}
        try:
            self._file = path.open("a+", encoding="utf-8", errors="replace")
            self._file.seek(0)
            line = "\n"
            for line in self._file:
                self._read(line)
            if not line.endswith("\n"):  # it broke off
                self._file.write("\n")
        except OSError as error:
            raise cannot_write(f"output: {readable(path)}", error, "set output elsewhere") from error

    def has(self, name: str, source: Source, files: Mapping[ResultKind, Path]) -> bool:
        """Whether these files are there and of this source. Raises UserError where they were made of another one."""
        before, kinds = self._kinds.get(name, (source, set[str]()))
        if before.path != source.path:
            raise UserError(
                f"{readable(source.path)}: the results {readable(name)} were made of {readable(before.path)} and are "
                "kept; set output elsewhere, or overwrite=true to have them of this file"
            )
        return before == source and kinds >= files.keys() and all(map(Path.exists, files.values()))

    def add(self, name: str, source: Source, files: Mapping[ResultKind, Path]) -> None:
        """Raises CannotWriteError."""
        if not files:
            return
        line = json.dumps({"name": name, "source": source, "kinds": list(files)})
        self._read(line)
        try:
            self._file.write(f"{line}\n")
            self._file.flush()
        except OSError as error:
            raise CannotWriteError(
                f"{readable(self._path)} cannot be written ({error.strerror or error}); make room"
            ) from error

    def _read(self, line: str) -> None:
        try:
            entry = json.loads(line)
            path, num_bytes, modified_ns = entry["source"]
            name, source, kinds = str(entry["name"]), Source(path, num_bytes, modified_ns), set(entry["kinds"])
        except (ValueError, LookupError, TypeError, RecursionError):
            return
        before, known = self._kinds.get(name, (source, set[str]()))
        self._kinds[name] = (source, kinds | known if before == source else kinds)
