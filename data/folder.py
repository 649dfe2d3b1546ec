"""One's own data set, and the list files that name the samples of a split."""

import os
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

from configs.errors import UserError
from configs.schema import FolderConfig
from data.dataset import FileSet, Pair, read_label
from data.files import SPLIT_HINT, Shelf, missing, pair_folders, pick, read_text, require_files
from data.labels import VOID, ClassSet, ColorDecoder, IdDecoder, id_table
from data.masks import Masks
from data.names import IMAGE_SUFFIXES, readable, without_suffix
from data.palette import Color, distinct_palette


class Line(NamedTuple):
    """One line of a list file: where it stands, and its entries, relative paths that stay below the root."""

    place: str
    entries: list[str]

    @property
    def first(self) -> str:
        """The first entry, for messages."""
        return readable(self.entries[0])


def read_list(path: Path) -> list[Line]:
    """The lines of a list file without byte-order mark, line ends and blank lines.

    Raises UserError, with file and line number, for a file that is not there or empty, for duplicate lines, and for
    absolute paths and "..": a list names samples of its own data set.
    """
    if not os.path.isfile(path):
        raise missing(path, SPLIT_HINT)
    lines: list[Line] = []
    line_numbers: dict[str, int] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        entries, place = line.split(), f"{readable(path)}, line {number}"
        if not entries:
            continue
        for entry in entries:
            parts = entry.replace("\\", "/").split("/")
            if not parts[0] or ".." in parts or parts[0].endswith(":"):
                raise UserError(
                    f"{place}: {readable(entry)} leads out of the data set; a name relative to it, without '..' and "
                    "without leading '/', is required; correct the line"
                )
        if entries[0] in line_numbers:
            earlier = line_numbers[entries[0]]
            raise UserError(f"{place}: {readable(entries[0])} stands in line {earlier} already; remove one")
        line_numbers[entries[0]] = number
        lines.append(Line(place, entries))
    if not lines:
        raise UserError(f"{readable(path)}: the list is empty; one sample a line is required; {SPLIT_HINT}")
    return lines


def read_names(path: Path) -> list[str]:
    """A list of one name a line; an image extension on a name is dropped."""
    places: dict[str, str] = {}
    for line in read_list(path):
        if len(line.entries) > 1:
            entries = readable(" ".join(line.entries))
            raise UserError(f"{line.place}: {entries}; one name a line is required; correct the line")
        name = without_suffix(line.entries[0], "")
        if name in places:
            raise UserError(f"{line.place}: {line.first} is the sample of {places[name]} already; remove one")
        places[name] = f"{line.place} ({line.first})"
    return list(places)


def open_folder(root: Path, split: str, config: FolderConfig) -> FileSet:
    """One's own images, see `FolderConfig`. Raises UserError for a wrong config and for missing files."""
    classes, decoder = _meanings(config)
    images, labels = (root / pattern.replace("{split}", split) for pattern in (config.images, config.labels))
    if config.list_file:
        source = root / config.list_file.replace("{split}", split)
        pairs = require_files(_listed(read_list(source), root, images, labels, config), source)
    else:
        pairs = pair_folders(images, labels, config.image_suffix, config.label_suffix)
    if isinstance(decoder, IdDecoder) and _may_be_masks(config):
        masks = Masks([pair.label for pair in pairs], partial(read_label, decoder=decoder))
        decoder = replace(decoder, masks=masks.evidence)
    return FileSet(f"folder {readable(root)}", split, pairs, classes, partial(read_label, decoder=decoder))


def _listed(lines: Iterable[Line], root: Path, images: Path, labels: Path, config: FolderConfig) -> list[Pair]:
    """The samples of a list. Raises UserError for two lines that mean the same one."""
    image_files, label_files = Shelf(images, config.image_suffix), Shelf(labels, config.label_suffix)
    pairs, places = [], dict[Path, str]()
    for line in lines:
        pair = _sample(line, root, image_files, label_files)
        if pair.image == pair.label:
            raise UserError(f"{line.place}: {readable(pair.image)} is image and label in one; correct the line")
        # A label may serve several images, but a name alone has one label: two such lines would share it.
        for file in (pair.image,) if len(line.entries) == 2 else (pair.image, pair.label):
            if file in places:
                raise UserError(f"{line.place}: {line.first} is the sample of {places[file]} already; remove one")
            places[file] = f"{line.place} ({line.first})"
        pairs.append(pair)
    return pairs


def _sample(line: Line, root: Path, images: Shelf, labels: Shelf) -> Pair:
    """What a line means: a name below the two folders, with or without extension, or "image label" below the root."""
    name = without_suffix(line.entries[0], images.suffix)
    match line.entries:
        case [image, label]:
            return Pair(name, root / image, root / label)
        case [entry]:
            label_file = labels.file(name, f"{line.place} means one of them: keep one")
            written = entry[len(name) :]
            if written:
                images_of_name = [
                    file for file in images.files(name) if without_suffix(str(file), written) != str(file)
                ]
            else:  # labels may lie beside their images
                images_of_name = [file for file in images.files(name) if file != label_file]
            hint = f"{line.place} may mean both: write the name there with its extension"
            absent = images.folder / (name + (written or images.suffix or IMAGE_SUFFIXES[0]))
            image_file = pick(images_of_name, written or images.suffix, hint) if images_of_name else absent
            return Pair(name, image_file, label_file)
    raise UserError(
        f"{line.place}: {len(line.entries)} words; 'name' or 'image label' is required, without blanks in names"
    )


def _meanings(config: FolderConfig) -> tuple[ClassSet, IdDecoder | ColorDecoder]:
    """What the values in the label files mean; every message names its key."""
    colors = cast(tuple[Color, ...], tuple(tuple(color) for color in config.palette))
    try:
        classes = ClassSet(tuple(config.class_names), colors or distinct_palette(len(config.class_names)))
    except UserError as error:
        raise UserError(f"data.folder.class_names, data.folder.palette: {error}; correct these two keys") from None
    void_colors = _void_colors(config)
    if not config.rgb_labels:
        return classes, _id_decoder(config)
    if len(set(colors)) < classes.num_classes or config.label_ids:
        raise UserError(
            f"data.folder.rgb_labels=true with palette={config.palette}, label_ids={config.label_ids}: one colour a "
            "class, all different, and no ids are required; correct these keys, or set rgb_labels=false"
        )
    hint = (
        "add the colour to data.folder.palette and its name to data.folder.class_names, or to data.folder.void_colors "
        "if it means void, or correct the file"
    )
    meanings = {color: train_id for train_id, color in enumerate(colors)} | dict.fromkeys(void_colors, VOID)
    return classes, ColorDecoder(meanings, hint)


def _void_colors(config: FolderConfig) -> list[Color]:
    key = f"data.folder.void_colors={config.void_colors}"
    if config.void_colors and not config.rgb_labels:
        raise UserError(
            f"{key}: data.folder.rgb_labels=false, so labels hold ids; leave it empty and name the ids of void in "
            "data.folder.ignore_ids, or set rgb_labels=true"
        )
    for color in config.void_colors:
        if len(color) != 3 or not all(0 <= value <= 255 for value in color):
            raise UserError(f"{key}: three numbers from 0 to 255 are required; got {color}; correct the key")
        if color in config.palette:
            name = config.class_names[config.palette.index(color)]
            raise UserError(
                f"{key}: {color} is the colour of {name}; a colour is a class or void; take it out of void_colors or "
                "out of palette"
            )
    return [(red, green, blue) for red, green, blue in config.void_colors]


def raw_ids(config: FolderConfig) -> list[int]:
    """The id in the files of each class."""
    return config.label_ids or list(range(len(config.class_names)))


def _id_decoder(config: FolderConfig) -> IdDecoder:
    class_ids = raw_ids(config)
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
    hint = (
        "correct the file, or say what its ids mean by data.folder.class_names, label_ids and ignore_ids (two classes "
        "in a 0/255 mask: label_ids=[0,255] ignore_ids=[]; ids 0 and 1 with 255 truly void: label_ids=[0,1])"
    )
    return IdDecoder(id_table(class_ids, config.ignore_ids), hint)


def _may_be_masks(config: FolderConfig) -> bool:
    """Two classes without `label_ids`: labels of 0 and 255 may be masks of 0 and 1."""
    return len(config.class_names) == 2 and not config.label_ids and 255 in config.ignore_ids
