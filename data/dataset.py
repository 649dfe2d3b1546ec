"""A data set in files: one image and one label read, checked, and turned into RGB bytes and train ids."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from configs.errors import UserError
from data.labels import VOID, ClassSet, ColorDecoder, IdDecoder, Labels, RawIds
from data.names import readable
from data.pixels import GRAY_16_MODES, TURNED, DecodedFile, decode, rgb_bytes

TEST = "test"  # the split of a benchmark whose labels its evaluation server keeps
SAMPLE_HINT = "replace the file, or take the sample out of the split"
COLOR_LABEL_MODES = ("RGB", "RGBA", "P", "L", "1")
# Pillow spreads 2-bit and 4-bit gray over 0..255; as ids they must be divided back.
GRAY_SPREAD = {"L;2": 85, "L;4": 17}

LabelReader = Callable[[Path], Labels]


class ImageSet(Protocol):
    """Images by position, with their labels.

    `name` is unique, without extension, and may hold "/" (folders below the set's); it is text that can be printed.
    Without labels (`has_labels`) every pixel is read as VOID.
    """

    @property
    def classes(self) -> ClassSet: ...
    @property
    def has_labels(self) -> bool: ...
    def __len__(self) -> int: ...
    def name(self, index: int) -> str: ...
    def read(self, index: int) -> tuple[NDArray[np.uint8], Labels]:
        """image_HW3 as RGB bytes, label_HW as train ids or VOID; the arrays may be read-only."""
        ...

    def describe(self) -> str: ...


class Pair(NamedTuple):
    """The files of a sample. `name` is as in `ImageSet`, but not made printable yet.

    In a set without labels `label` is where the layout would have it.
    """

    name: str
    image: Path
    label: Path


@dataclass(frozen=True)
class FileSet:
    """The `ImageSet` of every data set that lies in files.

    `read_label` is None where the split has no labels, as the test sets of the benchmarks. `num_in_split` counts the
    samples before `first` left some out; 0 where it was not called. `sources` are files that hold the labels of many
    samples; the label of such a sample is a place in one of them, and no file. `left_out` says of each sample that was
    skipped what is wrong with it. `group_of` is what a pair's name says of where the sample is from, a drive or a
    patient; None where names say nothing.
    """

    title: str
    split: str
    pairs: Sequence[Pair]
    classes: ClassSet
    read_label: LabelReader | None
    num_in_split: int = 0
    sources: Sequence[Path] = ()
    group_of: Callable[[str], str] | None = None
    left_out: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.pairs:
            raise UserError(f"{self.title}, split {self.split}: no samples; correct data.root or the split's name")

    @property
    def has_labels(self) -> bool:
        return self.read_label is not None

    def __len__(self) -> int:
        return len(self.pairs)

    def name(self, index: int) -> str:
        return readable(self.pairs[index].name)

    def read(self, index: int) -> tuple[NDArray[np.uint8], Labels]:
        """Raises DamagedFileError, and UserError for a pair that does not fit together or the data set."""
        pair = self.pairs[index]
        image_HW3 = read_image(pair.image)
        if self.read_label is None:
            return image_HW3, np.full(image_HW3.shape[:2], VOID, dtype=np.uint8)
        label_HW = self.read_label(pair.label)
        if image_HW3.shape[:2] != label_HW.shape:
            raise UserError(
                f"{readable(pair.image)} is {_size(image_HW3)} but its label {readable(pair.label)} is "
                f"{_size(label_HW)} (width x height): they must agree; replace one of them, or take the sample out of "
                "the split"
            )
        return image_HW3, label_HW

    def first(self, limit: int | None) -> "FileSet":
        """The first `limit` samples; None: all."""
        return replace(self, pairs=self.pairs[:limit], num_in_split=len(self.pairs))

    def describe(self) -> str:
        count = f"{len(self)}" if self.num_in_split in (0, len(self)) else f"first {len(self)} of {self.num_in_split}"
        labels = f"{self.classes.num_classes} classes" if self.has_labels else "without labels"
        skipped = f", {len(self.left_out)} left out" if self.left_out else ""
        return f"{self.title}, {self.split}: {count} images{skipped}, {labels}"


def read_image(path: Path) -> NDArray[np.uint8]:
    """The image as RGB bytes, HW3.

    Gray is repeated in the three channels, palettes are looked up, alpha is dropped, CMYK is converted by Pillow
    without colour profiles, and 16-bit samples keep their high byte. Raises DamagedFileError, or UserError for other
    kinds of samples and for images that EXIF says are to be turned: their labels carry no such note.
    """
    return np.array(upright_bytes(decode(path, SAMPLE_HINT), path))


def upright_bytes(decoded: DecodedFile, path: Path) -> NDArray[np.uint8]:
    """A decoded image as `read_image` returns it, but maybe read-only. Raises the same UserError."""
    if decoded.orientation in TURNED:
        raise UserError(
            f"{readable(path)}: EXIF orientation {decoded.orientation} says that the image is to be turned or "
            "mirrored, and its label does not say so; orientation 1 is required; turn the pixels (ImageMagick: mogrify "
            "-auto-orient FILE), or remove the tag alone if the label fits the pixels as they are"
        )
    return rgb_bytes(decoded, path)


def read_label(path: Path, decoder: IdDecoder | ColorDecoder) -> Labels:
    """Train ids or VOID, HW, of a file of ids or colours. Raises DamagedFileError, or UserError for other kinds."""
    if isinstance(decoder, ColorDecoder):
        return decoder(_read_colors(path), path)
    return decoder(_read_ids(path), path)


def _read_ids(path: Path) -> RawIds:
    """Palette indices or gray values as they stand in the file, 1 to 16 bits."""
    image, raw_mode, *_ = decode(path, SAMPLE_HINT)
    _refuse_jpeg(image, path)
    if image.mode in ("P", "L"):
        raw_HW = np.array(image)
        return raw_HW // np.uint8(GRAY_SPREAD[raw_mode]) if raw_mode in GRAY_SPREAD else raw_HW
    if image.mode == "1":
        return np.array(image).astype(np.uint8)
    if image.mode in GRAY_16_MODES:
        return np.array(image).astype(np.uint16)
    raise UserError(
        f"{readable(path)}: a label of kind {image.mode} holds no ids; one channel of class ids is required (gray or "
        "palette PNG); convert the label, or, where colours mean classes, use data=folder with "
        "data.folder.rgb_labels=true and data.folder.palette"
    )


def _read_colors(path: Path) -> NDArray[np.uint8]:
    image = decode(path, SAMPLE_HINT).image
    _refuse_jpeg(image, path)
    if image.mode not in COLOR_LABEL_MODES:
        raise UserError(
            f"{readable(path)}: a label of kind {image.mode}; 8-bit RGB colours are required; convert the label"
        )
    return np.array(image.convert("RGB"))


def _refuse_jpeg(image: Image.Image, path: Path) -> None:
    if image.format == "JPEG":
        raise UserError(f"{readable(path)}: a label saved as JPEG, which alters ids and colours; labels must be PNG")


def _size(array: NDArray[np.uint8]) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
