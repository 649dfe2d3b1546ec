"""Finding files: pairs of images and labels by folders or list files, and one's own data set made of them."""

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

from configs.errors import UserError
from configs.schema import FolderConfig
from data.dataset import FileSet, Pair, read_label
from data.labels import ClassSet, ColorDecoder, IdDecoder, id_table
from data.palette import Color, distinct_palette

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
SPLIT_CURE = (
    "correct data.root or the split's name (data.train_split, data.val_split, split= of eval.py), or, with "
    "data=folder, the patterns data.folder.images, labels and list_file"
)


class Line(NamedTuple):
    """One line of a list file: where it stands and its words, all of them relative paths that stay below the root."""

    place: str
    words: list[str]


def read_list(path: Path) -> list[Line]:
    """The lines of a list file without byte-order mark, line ends and blank lines.

    Raises UserError, with file and line number, for a file that is not there or empty, for duplicate lines, and for
    absolute paths and "..": a list names samples of its own data set.
    """
    if not path.is_file():
        raise missing(path, SPLIT_CURE)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save the list as UTF-8"
        ) from None
    lines: list[Line] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        for word in words:
            parts = word.replace("\\", "/").split("/")
            if not parts[0] or ".." in parts or parts[0].endswith(":"):
                raise UserError(
                    f"{path}, line {number}: {word} leads out of the data set; a name relative to it, without '..' and "
                    "without leading '/', is required; correct the line"
                )
        if words[0] in seen:
            raise UserError(f"{path}, line {number}: {words[0]} stands in line {seen[words[0]]} already; remove one")
        seen[words[0]] = number
        lines.append(Line(f"{path}, line {number}", words))
    if not lines:
        raise UserError(f"{path}: the list is empty; one sample a line is required; {SPLIT_CURE}")
    return lines


def read_names(path: Path) -> list[str]:
    """A list of one name a line; an image extension on a name is dropped."""
    lines = read_list(path)
    for line in lines:
        if len(line.words) > 1:
            raise UserError(f"{line.place}: {' '.join(line.words)}; one name a line is required; correct the line")
    return [without_suffix(line.words[0], "") for line in lines]


def missing(wanted: Path, cure: str) -> UserError:
    """The error for a file or folder that is not where the layout has it; it tells what lies there instead."""
    nearest = next(folder for folder in wanted.parents if folder.is_dir())
    names = sorted(entry.name for entry in nearest.iterdir())
    found = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return UserError(f"there is no {wanted}; {nearest} holds {found or 'nothing'}; {cure}")


def without_suffix(name: str, suffix: str) -> str:
    """The common part of a file's name; with no suffix given, any image extension is dropped."""
    if suffix:
        return name.removesuffix(suffix)
    stem, extension = os.path.splitext(name)
    return stem if extension.lower() in IMAGE_SUFFIXES else name


def list_files(folder: Path, suffix: str, cure: str = SPLIT_CURE) -> dict[str, Path]:
    """Common part of the name (path below `folder`) -> file, for all files with the suffix; "" takes any image."""
    if not folder.is_dir():
        raise missing(folder, cure)
    files: dict[str, Path] = {}
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        # Folders match, too: one that is named like an image is an error when read, not a sample silently left out.
        for file in (Path(parent, name) for name in folders + names if not name.startswith(".")):
            path = file.relative_to(folder).as_posix()
            name = without_suffix(path, suffix)
            if name == path:
                continue
            if name in files:
                raise UserError(f"{files[name]} and {file} have one name; tell them apart by data.folder.image_suffix")
            files[name] = file
    if not files:
        raise UserError(f"{folder} holds no {suffix or 'image'} files; {cure}")
    return files


def pair_files(images: dict[str, Path], labels: dict[str, Path]) -> list[Pair]:
    """Images and labels of the same name, sorted by name. Raises UserError where one has no partner."""
    _refuse_lonely("image", "label", images, labels)
    _refuse_lonely("label", "image", labels, images)
    return [Pair(name, images[name], labels[name]) for name in sorted(images)]


def _refuse_lonely(kind: str, partner: str, files: dict[str, Path], partners: dict[str, Path]) -> None:
    lonely = sorted(files.keys() - partners.keys())
    if lonely:
        raise UserError(
            f"{len(lonely)} of {len(files)} {kind}s have no {partner}, the first is {files[lonely[0]]}; every {kind} "
            f"needs the {partner} of the same name (others are like {min(partners.values())}); add or remove files"
        )


def pair_folders(images: Path, labels: Path, image_suffix: str = "", label_suffix: str = ".png") -> list[Pair]:
    return pair_files(list_files(images, image_suffix), list_files(labels, label_suffix))


def require_files(pairs: Iterable[Pair], source: Path) -> list[Pair]:
    """The pairs that the list `source` names. Raises UserError where files are missing."""
    kept = list(pairs)
    for kind, paths in (("image", [pair.image for pair in kept]), ("label", [pair.label for pair in kept])):
        absent = [path for path in paths if not path.exists()]
        if absent:
            raise UserError(
                f"{source}: the {kind}s of {len(absent)} of {len(kept)} samples are missing, the first is {absent[0]}; "
                "add the files, or take the samples out of the list"
            )
    return kept


def open_folder(root: Path, split: str, config: FolderConfig) -> FileSet:
    """One's own images, see `FolderConfig`. Raises UserError for a wrong config and for missing files."""
    classes, decoder = _meanings(config)
    images, labels = (root / pattern.replace("{split}", split) for pattern in (config.images, config.labels))
    if config.list_file:
        source = root / config.list_file.replace("{split}", split)
        found = [_listed(line, root, images, labels, config) for line in read_list(source)]
        pairs = require_files(found, source)
    else:
        pairs = pair_folders(images, labels, config.image_suffix, config.label_suffix)
    return FileSet(f"folder {root}", split, pairs, classes, partial(read_label, decoder=decoder))


def _listed(line: Line, root: Path, images: Path, labels: Path, config: FolderConfig) -> Pair:
    """The sample of a line: a name below the two folders, or "image label", both below the root."""
    name = without_suffix(line.words[0], config.image_suffix)
    match line.words:
        case [image, label]:
            return Pair(name, root / image, root / label)
        case [_]:
            suffixes = (
                [config.image_suffix] if config.image_suffix else [*IMAGE_SUFFIXES, *map(str.upper, IMAGE_SUFFIXES)]
            )
            files = [images / (name + suffix) for suffix in suffixes]
            image_file = next((file for file in files if file.exists()), files[0])
            return Pair(name, image_file, labels / (name + config.label_suffix))
    raise UserError(
        f"{line.place}: {len(line.words)} words; 'name' or 'image label' is required, without blanks in names"
    )


def _meanings(config: FolderConfig) -> tuple[ClassSet, IdDecoder | ColorDecoder]:
    """What the values in the label files mean; every message names its key."""
    colors = cast(tuple[Color, ...], tuple(tuple(color) for color in config.palette))
    try:
        classes = ClassSet(tuple(config.class_names), colors or distinct_palette(len(config.class_names)))
    except UserError as error:
        raise UserError(f"data.folder.class_names, data.folder.palette: {error}; correct these two keys") from None
    if not config.rgb_labels:
        return classes, _id_decoder(config)
    if len(set(colors)) < classes.num_classes or config.label_ids:
        raise UserError(
            f"data.folder.rgb_labels=true with palette={config.palette}, label_ids={config.label_ids}: one colour a "
            "class, all different, and no ids are required; correct these keys, or set rgb_labels=false"
        )
    cure = "add the colour to data.folder.palette and its name to data.folder.class_names, or correct the file"
    return classes, ColorDecoder({color: train_id for train_id, color in enumerate(colors)}, cure)


def _id_decoder(config: FolderConfig) -> IdDecoder:
    class_ids = config.label_ids or list(range(len(config.class_names)))
    for key, ids in (("label_ids", class_ids), ("ignore_ids", config.ignore_ids)):
        if len(set(ids)) < len(ids) or not all(0 <= i <= 255 for i in ids):
            raise UserError(f"data.folder.{key}={ids}: different numbers from 0 to 255 are required; correct the key")
    if len(class_ids) != len(config.class_names):
        raise UserError(
            f"data.folder.label_ids={class_ids}: one raw id for each of the {len(config.class_names)} class_names is "
            "required; correct the key, or leave it empty for 0, 1, 2, ..."
        )
    both = sorted(set(class_ids) & set(config.ignore_ids))
    if both:
        raise UserError(
            f"data.folder.ignore_ids={config.ignore_ids}: {both} are raw ids of classes, too; an id is one or the "
            "other; take them out of ignore_ids or of label_ids"
        )
    cure = (
        "correct the file, or say what its ids mean by data.folder.class_names, label_ids and ignore_ids (two classes "
        "in a 0/255 mask: label_ids=[0,255] ignore_ids=[]; ids 0 and 1 with 255 truly void: label_ids=[0,1])"
    )
    unsaid = len(class_ids) == 2 and not config.label_ids and 255 in config.ignore_ids
    return IdDecoder(id_table(class_ids, config.ignore_ids), cure, refuse_masks=unsaid)
