"""What is to be labelled: an image, a video, a folder of them, a pattern, or a list; and the names of the results."""

import fnmatch
import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from configs.errors import UserError
from data.files import read_text, walk
from data.names import IMAGE_SUFFIXES, VIDEO_SUFFIXES, readable
from data.results import is_results_folder

LIST_SUFFIX = ".txt"
KNOWN = f"known are {', '.join(IMAGE_SUFFIXES)}, and of videos {', '.join(VIDEO_SUFFIXES)}"


class Input(NamedTuple):
    """An image or a video. `name` is that of its results: its path below the input, without extension."""

    file: Path
    name: str

    @property
    def is_video(self) -> bool:
        return self.file.suffix.lower() in VIDEO_SUFFIXES


class Found(NamedTuple):
    """A file, and its path below the input."""

    file: Path
    path: str


def find_inputs(source: str) -> list[Input]:
    """Everything that `source` means, sorted by name; none is opened. Results of `predict.py` are no input.

    Files that share a name keep their extensions in it: a.jpg, a.png. Raises UserError where there is nothing to label,
    or where two files would share their results.
    """
    path = Path(source)
    if path.is_dir():
        found = list(_below(path))
    elif not path.exists() and glob.has_magic(source):
        found = list(_matching(source))
    elif path.suffix.lower() == LIST_SUFFIX:
        found = _listed(path)
    elif _is_known(path):
        found = [Found(path, path.name)]
    else:
        raise UserError(f"input={readable(path)}: an image, a video, a folder or a list (.txt) is required; {KNOWN}")
    return _named(found)


def _is_known(file: Path) -> bool:
    return file.suffix.lower() in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)


def _below(folder: Path) -> Iterator[Found]:
    files = [file for file in walk(folder, _is_result(folder)) if _is_known(file)]
    if not files:
        raise UserError(f"{readable(folder)} holds no image and no video; give a folder that holds some; {KNOWN}")
    return (Found(file, file.relative_to(folder).as_posix()) for file in files)


def _matching(pattern: str) -> Iterator[Found]:
    """The files that a shell's pattern means; "**" stands for any number of folders.

    Paths begin after the last folder without a sign of a pattern. `glob` alone would walk in circles of links.
    """
    parts = Path(pattern).parts
    first = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    if ".." in parts[first:]:
        raise UserError(f"input={readable(pattern)}: '..' after a sign of a pattern; begin with the folder itself")
    base = Path(*parts[:first])
    is_result, deep = _is_result(base), parts.index("**") if "**" in parts else len(parts)
    matches = [Path(match) for match in glob.glob(str(Path(*parts[:deep])))]
    if deep < len(parts):
        matches = [
            file
            for folder in matches
            if folder.is_dir()
            for file in walk(folder, is_result)
            if _matches(file.relative_to(folder).parts, parts[deep:])
        ]
    results = {folder for folder in {file.parent for file in matches} if is_result(Path(os.path.realpath(folder)))}
    files = [file for file in matches if _is_known(file) and file.parent not in results]
    if not files:
        what = f"{len(matches)} files match, none is an image or a video" if matches else "nothing matches this pattern"
        raise UserError(f"input={readable(pattern)}: {what}; correct it; {KNOWN}")
    return (Found(file, file.relative_to(base).as_posix()) for file in files)


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[start:], pattern[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _is_result(base: Path) -> Callable[[Path], bool]:
    """Whether the folder at a real path lies among results. `base` was named, so it and those above it are none."""
    real_base = Path(os.path.realpath(base))
    named = {real_base, *real_base.parents}
    return lambda real: any(is_results_folder(place) for place in (real, *real.parents) if place not in named)


def _listed(path: Path) -> list[Found]:
    """The files that a list names, one a line, relative to its folder; whether they are there is seen on reading.

    Their paths are those below the list's folder, or, where one lies elsewhere, below the folder that holds all.
    """
    lines = dict.fromkeys(filter(None, map(str.strip, read_text(path).splitlines())))
    if not lines:
        raise UserError(f"{readable(path)}: the list is empty; the path of one image or video a line is required")
    files = {os.path.abspath(path.parent / line): path.parent / line for line in lines}
    base = os.path.abspath(path.parent)
    if os.path.commonpath([base, *files]) != base:
        base = os.path.commonpath([os.path.dirname(file) for file in files])
    return [Found(file, Path(absolute).relative_to(base).as_posix()) for absolute, file in files.items()]


def _named(found: Iterable[Found]) -> list[Input]:
    found_by_name: dict[str, list[Found]] = {}
    for item in found:
        name = os.path.splitext(item.path)[0] if _is_known(item.file) else item.path
        found_by_name.setdefault(name, []).append(item)
    inputs = [
        Input(item.file, name if len(items) == 1 else item.path)
        for name, items in sorted(found_by_name.items())
        for item in items
    ]
    _refuse_shared(inputs)
    return inputs


def _refuse_shared(inputs: Sequence[Input]) -> None:
    owners: dict[str, Path] = {}
    videos = {item.name: item.file for item in inputs if item.is_video}  # each has a folder of this name
    for file, name in inputs:
        folders = map(str, PurePosixPath(name).parents)
        other = owners.get(name) or next((videos[folder] for folder in folders if folder in videos), None)
        if other is not None:
            raise UserError(
                f"{readable(other)} and {readable(file)} would share the results {readable(name)}; rename one"
            )
        owners[name] = file
