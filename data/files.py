"""Finding files: all below a folder, those that a list names, and pairs of images and labels."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from configs.errors import UserError
from data.dataset import Pair
from data.faults import Fault, OnFault, refuse
from data.names import readable, without_suffix

SPLIT_HINT = (
    "correct data.root or the split's name (data.train_split, data.val_split, split= of eval.py), or, with "
    "data=folder, the patterns data.folder.images, labels and list_file"
)
TWIN_HINT = (
    "keep one of them, or, with data=folder, tell them apart by data.folder.image_suffix and data.folder.label_suffix"
)


def missing(path: Path, hint: str) -> UserError:
    """The error for a file or folder that is not where the layout has it; it names what lies there instead."""
    nearest = next(folder for folder in path.parents if os.path.isdir(folder))
    try:
        names = sorted(os.listdir(nearest))
    except OSError as error:
        return unreadable(nearest, error)
    listing = ", ".join(map(readable, names[:12])) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return UserError(f"there is no {readable(path)}; {readable(nearest)} holds {listing or 'nothing'}; {hint}")


def unreadable(path: object, error: OSError) -> UserError:
    return UserError(
        f"{readable(path)}: cannot be read ({error.strerror}), and nothing is left out without a word; make it "
        "readable, or move it elsewhere"
    )


def read_text(path: Path) -> str:
    """The text of a list of files, without byte-order mark; bytes that are not UTF-8 as Python has them in file names.

    Raises UserError for a file that cannot be read or is no such text.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise unreadable(path, error) from error
    if "\0" in text:
        raise UserError(f"{readable(path)}: not UTF-8 text, it holds zero bytes as UTF-16 does; save the list as UTF-8")
    return text


def files_below(folder: Path, suffix: str, on_fault: OnFault = refuse) -> dict[str, list[Path]]:
    """Common part of the name (path below `folder`) -> files, for all files with the suffix; "" takes any image."""
    files_by_name: dict[str, list[Path]] = {}
    for file in walk(folder, on_fault=on_fault):
        path = file.relative_to(folder).as_posix()
        name = without_suffix(path, suffix)
        if name != path:
            files_by_name.setdefault(name, []).append(file)
    return files_by_name


def walk(folder: Path, skip: Callable[[Path], bool] = lambda real: False, on_fault: OnFault = refuse) -> Iterator[Path]:
    """Everything below a folder, also behind symbolic links. A folder that cannot be read is a fault.

    Hidden files and folders are passed over, and so is a folder for which `skip` is true, called with its real path.
    A link to a folder that holds the link itself leads to nothing new and is not followed. Folders are yielded,
    too: one that is named like an image is an error when it is read, not a sample silently left out.
    """

    def report(error: OSError) -> None:
        on_fault(Fault("unreadable_folder", [error.filename], unreadable(error.filename, error)))

    # Where a folder and those that led to it really lie.
    chains: dict[str, tuple[Path, ...]] = {str(folder): (Path(os.path.realpath(folder)),)}
    for parent, folders, files in os.walk(folder, onerror=report, followlinks=True):
        chain, followed = chains.pop(parent), []
        for name in sorted(name for name in folders if not name.startswith(".")):
            path = os.path.join(parent, name)
            real = Path(os.path.realpath(path))
            if skip(real):
                continue
            if not os.path.islink(path) or not any(real == place or real in place.parents for place in chain):
                followed.append(name)
                chains[path] = (*chain, real)
            yield Path(path)
        folders[:] = followed
        yield from (Path(parent, name) for name in sorted(files) if not name.startswith("."))


def pick(files: Sequence[Path], suffix: str, hint: str = TWIN_HINT, on_fault: OnFault = refuse) -> Path:
    """The one file; of several, the one whose suffix is spelled like this. A fault if more are left."""
    exact = [file for file in files if str(file).endswith(suffix)] or files
    if len(exact) > 1:
        error = UserError(f"{readable(exact[0])} and {readable(exact[1])} have one name; {hint}")
        on_fault(Fault("same_name", exact, error))
    return exact[0]


def list_files(folder: Path, suffix: str, on_fault: OnFault = refuse) -> dict[str, Path]:
    """As `files_below`, one file for each name. Raises UserError where there are none; several of one are a fault."""
    if not os.path.isdir(folder):
        raise missing(folder, SPLIT_HINT)
    files_by_name = files_below(folder, suffix, on_fault)
    if not files_by_name:
        raise UserError(f"{readable(folder)} holds no {suffix or 'image'} files; {SPLIT_HINT}")
    return {name: pick(files, suffix, on_fault=on_fault) for name, files in files_by_name.items()}


class Shelf:
    """The files below a folder that a list names. Each folder is listed once, when a name first asks for it."""

    def __init__(self, folder: Path, suffix: str, on_fault: OnFault = refuse) -> None:
        self.folder, self.suffix, self._on_fault = folder, suffix, on_fault
        self._below = suffix[: suffix.rfind("/") + 1]  # "/image.png" means a folder for each name
        self._places: dict[Path, dict[str, list[Path]]] = {}

    def files(self, name: str) -> list[Path]:
        """All files of this name with the suffix; "" takes any image."""
        below, common = os.path.split(name + self._below)
        place = self.folder / below
        if place not in self._places:
            self._places[place] = self._listed(place)
        return self._places[place].get(common, [])

    def file(self, name: str, hint: str = TWIN_HINT) -> Path:
        """The file of this name, or where it is missing. Several are a fault."""
        files = self.files(name)
        return pick(files, self.suffix, hint, self._on_fault) if files else self.folder / (name + self.suffix)

    def _listed(self, place: Path) -> dict[str, list[Path]]:
        try:
            entries = sorted(os.listdir(place))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            self._on_fault(Fault("unreadable_folder", [place], unreadable(place, error)))
            return {}
        files_by_name: dict[str, list[Path]] = {}
        for entry in entries:
            name = without_suffix(entry, self.suffix[len(self._below) :])
            if name != entry:
                files_by_name.setdefault(name, []).append(place / entry)
        return files_by_name


def pair_files(images: dict[str, Path], labels: dict[str, Path], on_fault: OnFault = refuse) -> list[Pair]:
    """Images and labels of the same name, sorted by name. Those without a partner are a fault."""
    _report_lonely("image", "label", images, labels, on_fault)
    _report_lonely("label", "image", labels, images, on_fault)
    return [Pair(name, images[name], labels[name]) for name in sorted(images.keys() & labels.keys())]


def _report_lonely(
    kind: str, partner: str, files: dict[str, Path], partners: dict[str, Path], on_fault: OnFault
) -> None:
    lonely = sorted(files.keys() - partners.keys())
    if lonely:
        error = UserError(
            f"{len(lonely)} of {len(files)} {kind}s have no {partner}, the first is {readable(files[lonely[0]])}; "
            f"every {kind} needs the {partner} of the same name (others are like {readable(min(partners.values()))}); "
            "add or remove files"
        )
        on_fault(Fault("missing_partner", [files[name] for name in lonely], error, f"no {partner}"))


def pair_folders(
    images: Path, labels: Path, image_suffix: str = "", label_suffix: str = ".png", on_fault: OnFault = refuse
) -> list[Pair]:
    files = list_files(images, image_suffix, on_fault), list_files(labels, label_suffix, on_fault)
    return pair_files(*files, on_fault)


def require_files(
    pairs: Iterable[Pair], source: Path, *, with_labels: bool = True, on_fault: OnFault = refuse
) -> list[Pair]:
    """The pairs that the list `source` names. Those whose files are missing are a fault."""
    kept = list(pairs)
    files = {"image": [pair.image for pair in kept], "label": [pair.label for pair in kept] if with_labels else []}
    missing_files = set[Path]()
    for kind, paths in files.items():
        absent = [path for path in paths if not os.path.exists(path)]
        if absent:
            first = str(absent[0])
            hint = "" if readable(first) == first else " (is it saved as UTF-8?)"
            hint = hint if absent[0].suffix else " (a name with blanks stands in quotes)"
            error = UserError(
                f"{readable(source)}: the {kind}s of {len(absent)} of {len(kept)} samples are missing, the first is "
                f"{readable(first)}; add the files, or correct the list{hint}, or take the samples out of it"
            )
            on_fault(Fault("missing_file", absent, error, f"the {kind} is missing"))
            missing_files.update(absent)
    return [pair for pair in kept if missing_files.isdisjoint((pair.image, pair.label))]
