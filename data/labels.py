"""Class sets (names, colours) and the two ways from a label file's raw values to train ids: by id and by colour."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import UserError
from configs.schema import VOID as VOID
from configs.schema import DataName
from data.names import readable
from data.palette import MAX_CLASSES, Color, voc_palette

MOST_VALUES = 256  # that an error counts; a photograph among the labels holds thousands of colours
NOT_ALLOWED = 254  # in an id table: a raw id that the data set does not have

Labels = NDArray[np.uint8]
RawIds = NDArray[np.uint8] | NDArray[np.uint16]
CODE_OF_RGB = np.array([1 << 16, 1 << 8, 1], dtype=np.float32)  # exact below 2^24, and a fast product


@dataclass(frozen=True)
class ClassSet:
    """Names and RGB colours of the train ids 0..C-1. Raises UserError unless they fit together."""

    names: tuple[str, ...]
    palette: tuple[Color, ...]

    def __post_init__(self) -> None:
        if not 2 <= len(self.names) <= MAX_CLASSES:
            raise UserError(f"{len(self.names)} class names: from 2 to {MAX_CLASSES} are required")
        if len(self.palette) != len(self.names):
            raise UserError(f"{len(self.palette)} colours for {len(self.names)} classes: one each is required")
        if len(set(self.names)) < len(self.names) or not all(self.names):
            raise UserError(f"class names {list(self.names)}: each must be there and differ from the others")
        for color in self.palette:
            if len(color) != 3 or not all(0 <= value <= 255 for value in color):
                raise UserError(f"colour {list(color)}: three numbers from 0 to 255 are required")

    @property
    def num_classes(self) -> int:
        return len(self.names)


VOC = ClassSet(
    (
        "background",
        "aeroplane",
        "bicycle",
        "bird",
        "boat",
        "bottle",
        "bus",
        "car",
        "cat",
        "chair",
        "cow",
        "diningtable",
        "dog",
        "horse",
        "motorbike",
        "person",
        "pottedplant",
        "sheep",
        "sofa",
        "train",
        "tvmonitor",
    ),
    voc_palette(21),
)

# name, labelId (cityscapesScripts), colour; the position is the trainId. Every other id from 0 to 33 is void.
_CITYSCAPES: tuple[tuple[str, int, Color], ...] = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
CITYSCAPES = ClassSet(tuple(row[0] for row in _CITYSCAPES), tuple(row[2] for row in _CITYSCAPES))
CITYSCAPES_LABEL_IDS = tuple(row[1] for row in _CITYSCAPES)  # labelId of each trainId

# The authors' order and colours, the same for both sets (fyu/dilation, datasets/*.json).
_AUTHORS: dict[str, Color] = {
    "Building": (128, 0, 0),
    "Tree": (128, 128, 0),
    "Sky": (128, 128, 128),
    "Car": (64, 0, 128),
    "Sign": (192, 128, 128),
    "Road": (128, 64, 128),
    "Pedestrian": (64, 64, 0),
    "Fence": (64, 64, 128),
    "Pole": (192, 192, 128),
    "Sidewalk": (0, 0, 192),
    "Bicyclist": (0, 128, 192),
}
CAMVID = KITTI = ClassSet(tuple(_AUTHORS), tuple(_AUTHORS.values()))


def released_classes(name: DataName) -> ClassSet:
    """What the authors' network for this data set answers with, in its order."""
    return {
        "voc": VOC,
        "camvid": CAMVID,
        "kitti": KITTI,
        "cityscapes": CITYSCAPES,
    }[name]


def id_table(class_ids: Sequence[int | Sequence[int]], void_ids: Iterable[int]) -> Labels:
    """Raw id -> train id, VOID or NOT_ALLOWED. `class_ids[k]` is the raw id of train id k, or all of them.

    256 entries, or up to the largest id where that is more.
    """
    ids_of_class = [[ids] if isinstance(ids, int) else list(ids) for ids in class_ids]
    void = list(void_ids)
    table = np.full(max(255, *void, *chain(*ids_of_class)) + 1, NOT_ALLOWED, dtype=np.uint8)
    table[void] = VOID
    for train_id, ids in enumerate(ids_of_class):
        table[ids] = train_id
    return table


class LabelValueError(UserError):
    """A label holds values that mean neither a class nor void: `pixels` of each, a raw id or a colour's code.

    The MOST_VALUES most frequent ones. The code of a colour is 65536 r + 256 g + b. `is_mask`: the label holds nothing
    but 0 and 255.
    """

    def __init__(self, message: str, values: NDArray[Any], *, is_mask: bool = False) -> None:
        super().__init__(message)
        self.pixels, self.is_mask = most_frequent(values), is_mask


def most_frequent(values: NDArray[Any]) -> dict[int, int]:
    """How often each value occurs, the most frequent first, at most MOST_VALUES of them."""
    found, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_VALUES]
    return {int(value): int(count) for value, count in zip(found[order], counts[order], strict=True)}


@dataclass(frozen=True, eq=False)
class IdDecoder:
    """Raw ids to train ids. `hint` ends every error message: what a user of this data set can do about it.

    A label of nothing but 0 and 255 is most likely a mask whose object would be ignored silently. `masks`, where it is
    set, is called for such a label: it returns why the label is an error, or an empty text if it is none.
    """

    table: Labels
    hint: str
    masks: Callable[[], str] | None = None

    def __call__(self, raw_HW: RawIds, path: Path) -> Labels:
        """Train ids or VOID. Raises UserError for an id that the table does not allow."""
        import cv2  # here: whoever needs the classes alone, as torch.hub does, has no OpenCV

        if raw_HW.dtype == np.uint8:
            label_HW = np.asarray(cv2.LUT(raw_HW, self.table[:256]), np.uint8)  # three times as fast as numpy
        else:
            known_HW = raw_HW < self.table.size
            label_HW = np.where(known_HW, np.take(self.table, raw_HW, mode="clip"), np.uint8(NOT_ALLOWED))
        wrong_HW = label_HW == NOT_ALLOWED
        if wrong_HW.any():
            raise self._not_allowed(raw_HW, wrong_HW, path)
        if self.masks and _is_mask(raw_HW) and (evidence := self.masks()):
            message = f"{readable(path)}: a 0/255 mask, and 255 means ignore here; {evidence}; {self.hint}"
            raise LabelValueError(message, raw_HW[raw_HW == 255], is_mask=True)
        return label_HW

    def _not_allowed(self, raw_HW: RawIds, wrong_HW: NDArray[np.bool], path: Path) -> LabelValueError:
        row, column = np.argwhere(wrong_HW)[0]
        ids, counts = np.unique(raw_HW[wrong_HW], return_counts=True)
        listing = ", ".join(f"{i} ({count} px)" for i, count in zip(ids[:8], counts[:8], strict=True))
        classes, void = (np.flatnonzero(chosen).tolist() for chosen in (self.table < NOT_ALLOWED, self.table == VOID))
        is_mask = _is_mask(raw_HW)
        message = (
            f"{readable(path)}: label id {raw_HW[row, column]} at row {row}, column {column} is not an id of this data "
            f"set; the file holds {listing}{' and more' if len(ids) > 8 else ''}; allowed are {ranges(classes)} for "
            f"classes and {ranges(void) or 'none'} for void; "
            + ("it looks like a 0/255 mask, and by custom 255 means ignore; " if is_mask else "")
            + self.hint
        )
        return LabelValueError(message, raw_HW[wrong_HW], is_mask=is_mask)


def _is_mask(raw_HW: RawIds) -> bool:
    return bool((raw_HW == 255).any() and ((raw_HW == 0) | (raw_HW == 255)).all())


class ColorDecoder:
    """Colours to train ids, exactly. Several colours may mean one class, or VOID."""

    def __init__(self, meanings: Mapping[Color, int], hint: str) -> None:
        codes = np.array(list(meanings), dtype=np.uint8) @ CODE_OF_RGB
        order = np.argsort(codes)
        self.codes = codes[order]
        self.train_ids = np.array(list(meanings.values()), dtype=np.uint8)[order]
        self.hint = hint

    def __call__(self, raw_HW3: NDArray[np.uint8], path: Path) -> Labels:
        """Train ids or VOID. Raises UserError for a colour without a meaning."""
        code_HW = raw_HW3 @ CODE_OF_RGB
        position_HW = np.searchsorted(self.codes[:-1], code_HW)  # without the last: always a valid position
        unknown_HW = self.codes[position_HW] != code_HW
        if unknown_HW.any():
            row, column = np.argwhere(unknown_HW)[0]
            message = (
                f"{readable(path)}: colour {raw_HW3[row, column].tolist()} at row {row}, column {column} is not one of "
                f"the {len(self.codes)} colours of this data set; {unknown_HW.sum()} pixels hold such colours; "
                f"{self.hint}"
            )
            raise LabelValueError(message, code_HW[unknown_HW])
        return self.train_ids[position_HW]


def ranges(ids: Sequence[int]) -> str:
    """Ascending ids in few words: [0, 1, 2, 5] -> "0-2, 5"."""
    known = set(ids)  # there may be thousands
    starts = [i for i in ids if i - 1 not in known]
    ends = [i for i in ids if i + 1 not in known]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))
