"""One's own data set: which image and which label are a sample."""

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from configs.errors import UserError
from configs.schema import FolderConfig
from data.dataset import FileSet, Pair, read_label
from data.faults import Fault, OnFault, refuse
from data.files import Shelf, pair_folders, pick, require_files
from data.folder_labels import label_meanings, may_be_masks
from data.labels import IdDecoder
from data.lists import QUOTED_HINT, Line, read_list
from data.masks import Masks
from data.names import IMAGE_SUFFIXES, readable, without_suffix


def open_folder(root: Path, split: str, config: FolderConfig, on_fault: OnFault = refuse) -> FileSet:
    """One's own images, see `FolderConfig`. Raises UserError for a wrong config and a missing folder or list."""
    classes, decoder = label_meanings(config)
    images, labels = (root / pattern.replace("{split}", split) for pattern in (config.images, config.labels))
    if config.list_file:
        source = source_of(root, split, config)
        shelves = Shelf(images, config.image_suffix, on_fault), Shelf(labels, config.label_suffix, on_fault)
        pairs = _listed(read_list(source, on_fault), root, *shelves, on_fault)
        pairs = require_files(pairs, source, on_fault=on_fault)
    else:
        pairs = pair_folders(images, labels, config.image_suffix, config.label_suffix, on_fault)
    if isinstance(decoder, IdDecoder) and may_be_masks(config):
        masks = Masks([pair.label for pair in pairs], partial(read_label, decoder=decoder))
        decoder = replace(decoder, masks=masks.evidence)
    images_of_split = FileSet(f"folder {readable(root)}", split, pairs, classes, partial(read_label, decoder=decoder))
    return in_groups(images_of_split, config.group, on_fault)


def in_groups(images: FileSet, pattern: str, on_fault: OnFault = refuse) -> FileSet:
    """The set with what `FolderConfig.group` finds in its names. Names without a group are a fault."""
    if not pattern:
        return images
    group_of, kept, errors = partial(_group_of, re.compile(pattern)), list[Pair](), dict[str, UserError]()
    for pair in images.pairs:
        try:
            group_of(pair.name)
        except UserError as error:
            errors[pair.name] = error
            continue
        kept.append(pair)
    if errors:
        on_fault(Fault("group", list(errors), next(iter(errors.values()))))
    return replace(images, pairs=kept, group_of=group_of) if kept else images


def source_of(root: Path, split: str, config: FolderConfig) -> Path:
    """What says which samples a split has: its list, or else its folder of images."""
    return root / (config.list_file or config.images).replace("{split}", split)


def _group_of(pattern: re.Pattern[str], name: str) -> str:
    match = pattern.search(name)
    if not match or not match[1]:
        raise UserError(
            f"data.folder.group={pattern.pattern}: it finds no group in the name {readable(name)}, and every sample "
            "needs one; correct the expression, or the name"
        )
    return readable(match[1])


def _listed(lines: Iterable[Line], root: Path, images: Shelf, labels: Shelf, on_fault: OnFault) -> list[Pair]:
    """The samples of a list. Two lines that mean the same one are a fault."""
    pairs, places = [], dict[Path, str]()
    for line in lines:
        try:
            pair = _sample(line, root, images, labels)
            if pair.image == pair.label:
                raise UserError(f"{line.place}: {readable(pair.image)} is image and label in one; correct the line")
            # A label may serve several images, but a name alone has one label: two such lines would share it.
            files = (pair.image,) if len(line.entries) == 2 else (pair.image, pair.label)
            for file in files:
                if file in places:
                    raise UserError(f"{line.place}: {line.first} is the sample of {places[file]} already; remove one")
        except UserError as error:
            on_fault(Fault("list_line", [line.place], error))
            continue
        places |= dict.fromkeys(files, f"{line.place} ({line.first})")
        pairs.append(pair)
    return pairs


def _sample(line: Line, root: Path, images: Shelf, labels: Shelf) -> Pair:
    """What a line means: a name below the two folders, with or without extension, or "image label" below the root.

    Raises UserError where it may mean several.
    """
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
    raise UserError(f"{line.place}: {len(line.entries)} words; 'name' or 'image label' is required; {QUOTED_HINT}")
