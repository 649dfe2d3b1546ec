"""Several sets of one's own images as one: the same classes, files of different layouts and ids."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from configs.errors import UserError
from configs.schema import FolderConfig
from data.dataset import FileSet, LabelReader
from data.faults import Fault, OnFault, refuse
from data.folder import in_groups, open_folder, source_of
from data.folder_labels import class_set
from data.labels import Labels
from data.names import readable


@dataclass(frozen=True)
class Reader:
    """The `LabelReader` of several sets."""

    readers: dict[Path, LabelReader]  # of each label file, its set's

    def __call__(self, path: Path) -> Labels:
        return self.readers[path](path)


def open_joined(root: Path, split: str, config: FolderConfig, on_fault: OnFault = refuse) -> FileSet:
    """The sets of `config.sets` that have the split, in their order; a name begins with that of its set.

    Raises UserError where no set has the split. Faults are a file in two sets, and those of `open_folder`, what it
    raises included, with the set's name.
    """
    readers, pairs, set_of_file, has_split = dict[Path, LabelReader](), [], dict[Path, str](), False
    for name, folder, part in parts_of(root, split, config):
        has_split = True
        images, faults = _opened(folder, split, part)
        for fault in faults:
            on_fault(fault._replace(error=fault.error.saying(f"data.folder.sets.{name}: {fault.error}")))
        if images is None:
            continue
        assert images.read_label is not None, "one's own images have labels"
        for pair in images.pairs:
            files = (pair.image, pair.label)
            for path in (file for file in files if set_of_file.setdefault(file, name) != name):
                error = UserError(
                    f"data.folder.sets: {readable(path)} is in {set_of_file[path]} and in {name}; every file in "
                    "one set is required; correct the roots, patterns or lists of the two"
                )
                on_fault(Fault("in_two_sets", [path], error, f"in {set_of_file[path]} and in {name}"))
            if any(set_of_file[path] != name for path in files):
                continue
            readers[pair.label] = images.read_label
            pairs.append(pair._replace(name=f"{name}/{pair.name}"))
    if not has_split:
        splits = ", ".join(f"{name} has {', '.join(part.splits)}" for name, part in config.sets.items())
        raise UserError(f"data.folder.sets: none has the split {split}: {splits}; add it to the splits of one")
    title = f"sets {', '.join(dict.fromkeys(set_of_file.values()))} below {readable(root)}"
    return in_groups(FileSet(title, split, pairs, class_set(config), Reader(readers)), config.group, on_fault)


def _opened(root: Path, split: str, config: FolderConfig) -> tuple[FileSet | None, list[Fault]]:
    """One of the sets, None where it cannot be opened, and all its faults."""
    faults: list[Fault] = []
    try:
        return open_folder(root, split, config, faults.append), faults
    except UserError as error:
        return None, [*faults, Fault("opening", [root], error)]


def parts_of(root: Path, split: str, config: FolderConfig) -> Iterator[tuple[str, Path, FolderConfig]]:
    """Name, root and settings of every set that has the split."""
    for name, part in config.sets.items():
        if not part.splits or split in part.splits:
            settings = part.model_dump(exclude={"root", "splits"}, exclude_none=True)
            yield name, root / part.root, config.model_copy(update={**settings, "sets": {}, "group": ""})


def sources_of(root: Path, split: str, config: FolderConfig) -> list[Path]:
    """The lists or folders that say which samples a split has."""
    if not config.sets:
        return [source_of(root, split, config)]
    return [source_of(folder, split, part) for _, folder, part in parts_of(root, split, config)]
