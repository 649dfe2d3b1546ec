"""Several sets of one's own images as one: the same classes, files of different layouts and ids."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from configs.errors import UserError
from configs.schema import FolderConfig
from data.dataset import FileSet, LabelReader
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


def open_joined(root: Path, split: str, config: FolderConfig) -> FileSet:
    """The sets of `config.sets` that have the split, in their order; a name begins with that of its set.

    Raises UserError where no set has the split, for a file in two sets, and as `open_folder`, with the set's name.
    """
    readers, pairs, set_of_file = dict[Path, LabelReader](), [], dict[Path, str]()
    for name, folder, part in parts_of(root, split, config):
        try:
            images = open_folder(folder, split, part)
        except UserError as error:
            raise type(error)(f"data.folder.sets.{name}: {error}") from None
        assert images.read_label is not None, "one's own images have labels"
        for pair in images.pairs:
            for path in (pair.image, pair.label):
                if set_of_file.setdefault(path, name) != name:
                    raise UserError(
                        f"data.folder.sets: {readable(path)} is in {set_of_file[path]} and in {name}; every file in "
                        "one set is required; correct the roots, patterns or lists of the two"
                    )
            readers[pair.label] = images.read_label
            pairs.append(pair._replace(name=f"{name}/{pair.name}"))
    if not pairs:
        splits = ", ".join(f"{name} has {', '.join(part.splits)}" for name, part in config.sets.items())
        raise UserError(f"data.folder.sets: none has the split {split}: {splits}; add it to the splits of one")
    title = f"sets {', '.join(dict.fromkeys(set_of_file.values()))} below {readable(root)}"
    return in_groups(FileSet(title, split, pairs, class_set(config), Reader(readers)), config.group)


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
