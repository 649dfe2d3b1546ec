"""What the values in the label files of one's own data set mean: ids or colours, each a class or void."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import cast

from configs.errors import UserError
from configs.schema import ClassIds, FolderConfig
from data.labels import VOID, ClassSet, ColorDecoder, IdDecoder, id_table
from data.palette import Color, distinct_palette

MAX_ID = 65_535  # of 16-bit gray


def label_meanings(config: FolderConfig) -> tuple[ClassSet, IdDecoder | ColorDecoder]:
    """The classes, and how a label file is decoded.

    Raises UserError, which names the key, for a wrong config.
    """
    colors, classes = _colors_of_class(config), class_set(config)
    void_colors = _void_colors(config, colors)
    if not config.rgb_labels:
        return classes, _id_decoder(config)
    meanings = {color: train_id for train_id, several in enumerate(colors) for color in several}
    if not colors or len(meanings) < sum(map(len, colors)) or config.label_ids:
        raise UserError(
            f"data.folder.rgb_labels=true with palette={config.palette}, label_ids={config.label_ids}: one colour a "
            "class, or a list of several, all different, and no ids are required; correct these keys, or set "
            "rgb_labels=false"
        )
    hint = (
        "add the colour to data.folder.palette and its name to data.folder.class_names, or to data.folder.void_colors "
        "if it means void, or correct the file"
    )
    return classes, ColorDecoder(meanings | dict.fromkeys(void_colors, VOID), hint)


def class_set(config: FolderConfig) -> ClassSet:
    """The classes, each shown in the first of its colours."""
    palette = tuple(several[0] for several in _colors_of_class(config)) or distinct_palette(len(config.class_names))
    try:
        return ClassSet(tuple(config.class_names), palette)
    except UserError as error:
        raise UserError(f"data.folder.class_names, data.folder.palette: {error}; correct these two keys") from None


def may_be_masks(config: FolderConfig) -> bool:
    """Two classes without `label_ids`: labels of 0 and 255 may be masks of 0 and 1."""
    return len(config.class_names) == 2 and not config.label_ids and 255 in config.ignore_ids


def raw_ids(config: FolderConfig) -> list[int]:
    """The id in the files of each class; where several mean it, the first."""
    return [ids[0] for ids in _ids_of_class(config)]


def _colors_of_class(config: FolderConfig) -> list[list[Color]]:
    colors: list[list[Color]] = []
    for entry in config.palette:
        several = entry if entry and isinstance(entry[0], list) else [entry]
        colors.append([_color("palette", color) for color in cast(list[list[int]], several)])
    return colors


def _color(key: str, color: Sequence[int]) -> Color:
    if len(color) != 3 or not all(0 <= value <= 255 for value in color):
        raise UserError(
            f"data.folder.{key}: three numbers from 0 to 255 are required for each colour; got {list(color)}; correct "
            "the key"
        )
    red, green, blue = color
    return red, green, blue


def _void_colors(config: FolderConfig, colors_of_class: Sequence[Sequence[Color]]) -> list[Color]:
    key = f"data.folder.void_colors={config.void_colors}"
    if config.void_colors and not config.rgb_labels:
        raise UserError(
            f"{key}: data.folder.rgb_labels=false, so labels hold ids; leave it empty and name the ids of void in "
            "data.folder.ignore_ids, or set rgb_labels=true"
        )
    void_colors = [_color(f"void_colors={config.void_colors}", color) for color in config.void_colors]
    for name, colors in zip(config.class_names, colors_of_class, strict=False):  # there may be no palette
        for color in set(void_colors) & set(colors):
            raise UserError(
                f"{key}: {list(color)} is the colour of {name}; a colour is a class or void; take it out of "
                "void_colors or out of palette"
            )
    return void_colors


def _ids_of_class(config: FolderConfig) -> list[list[int]]:
    entries: Sequence[ClassIds] = config.label_ids or range(len(config.class_names))
    return [[entry] if isinstance(entry, int) else entry for entry in entries]


def _id_decoder(config: FolderConfig) -> IdDecoder:
    ids_of_class = _ids_of_class(config)
    class_ids = list(chain(*ids_of_class))
    for key, written, ids in (
        ("label_ids", config.label_ids, class_ids),
        ("ignore_ids", config.ignore_ids, config.ignore_ids),
    ):
        wrong = [i for i, count in Counter(ids).items() if count > 1 or not 0 <= i <= MAX_ID]
        if wrong:
            raise UserError(
                f"data.folder.{key}={written}: different numbers from 0 to {MAX_ID} are required, not {wrong}; correct "
                "the key"
            )
    if len(ids_of_class) != len(config.class_names) or not all(ids_of_class):
        raise UserError(
            f"data.folder.label_ids={config.label_ids}: one raw id, or a list of them, for each of the "
            f"{len(config.class_names)} class_names is required, for example [0,[1,2],7]; correct the key, or leave it "
            "empty for 0, 1, 2, ..."
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
    return IdDecoder(id_table(ids_of_class, config.ignore_ids), hint)
