"""A data set in files: one image and one label read, checked, and turned into RGB bytes and train ids."""

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from configs.errors import DamagedFileError, UserError
from data.labels import ClassSet, ColorDecoder, IdDecoder, Labels, RawIds

ORIENTATION_TAG = 0x0112  # EXIF; 1 is upright, 2 to 8 are mirrored or turned
GRAY_16_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
RGB_MODES = ("RGB", "RGBA", "RGBX", "L", "LA", "La", "P", "PA", "1", "CMYK", "YCbCr")
COLOR_LABEL_MODES = ("RGB", "RGBA", "P", "L", "1")
# Pillow spreads 2-bit and 4-bit gray over 0..255; as ids they must be divided back.
GRAY_SPREAD = {"L;2": 85, "L;4": 17}
DECODING_ERRORS = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, zlib.error)

LabelReader = Callable[[Path], Labels]


class ImageSet(Protocol):
    """Labelled images by position. `name` is unique, without extension, and may hold "/" (folders below the set's)."""

    @property
    def classes(self) -> ClassSet: ...
    def __len__(self) -> int: ...
    def name(self, index: int) -> str: ...
    def read(self, index: int) -> tuple[NDArray[np.uint8], Labels]:
        """image_HW3 as RGB bytes, label_HW as train ids or VOID; the arrays may be read-only."""
        ...

    def describe(self) -> str: ...


class Pair(NamedTuple):
    name: str
    image: Path
    label: Path


@dataclass(frozen=True)
class FileSet:
    """The `ImageSet` of every data set that lies in files. `found` counts the samples before `first` left some out."""

    title: str
    split: str
    pairs: Sequence[Pair]
    classes: ClassSet
    read_label: LabelReader
    found: int = 0

    def __post_init__(self) -> None:
        if not self.pairs:
            raise UserError(f"{self.title}, split {self.split}: no samples; correct data.root or the split's name")

    def __len__(self) -> int:
        return len(self.pairs)

    def name(self, index: int) -> str:
        return self.pairs[index].name

    def read(self, index: int) -> tuple[NDArray[np.uint8], Labels]:
        """Raises DamagedFileError, and UserError for a pair that does not fit together or the data set."""
        pair = self.pairs[index]
        image_HW3, label_HW = read_image(pair.image), self.read_label(pair.label)
        if image_HW3.shape[:2] != label_HW.shape:
            raise UserError(
                f"{pair.image} is {_size(image_HW3)} but its label {pair.label} is {_size(label_HW)} (width x height): "
                "they must agree; replace one of them, or take the sample out of the split"
            )
        return image_HW3, label_HW

    def first(self, limit: int | None) -> "FileSet":
        """The first `limit` samples; None: all."""
        kept = self.pairs[:limit]
        return FileSet(self.title, self.split, kept, self.classes, self.read_label, found=len(self.pairs))

    def describe(self) -> str:
        count = f"{len(self)}" if self.found in (0, len(self)) else f"first {len(self)} of {self.found}"
        return f"{self.title}, {self.split}: {count} images, {self.classes.num_classes} classes"


def read_image(path: Path) -> NDArray[np.uint8]:
    """The image as RGB bytes, HW3.

    Gray is repeated in the three channels, palettes are looked up, alpha is dropped, CMYK is converted by Pillow
    without colour profiles, and 16-bit samples keep their high byte. Raises DamagedFileError, or UserError for other
    kinds of samples and for images that EXIF says are to be turned: their labels carry no such note.
    """
    image, _, orientation = _decode(path)
    if 2 <= orientation <= 8:
        raise UserError(
            f"{path}: EXIF orientation {orientation} says that the image is to be turned or mirrored, and its label "
            "does not say so; orientation 1 is required; turn the pixels (ImageMagick: mogrify -auto-orient FILE), or "
            "remove the tag alone if the label fits the pixels as they are"
        )
    if image.mode in GRAY_16_MODES:
        gray_HW = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(gray_HW[:, :, np.newaxis], 3, axis=2)
    if image.mode not in RGB_MODES:
        raise UserError(
            f"{path}: samples of kind {image.mode} have no agreed range; save the image as 8-bit gray or RGB"
        )
    return np.array(image.convert("RGB"))


def read_label(path: Path, decoder: IdDecoder | ColorDecoder) -> Labels:
    """Train ids or VOID, HW, of a file of ids or colours. Raises DamagedFileError, or UserError for other kinds."""
    if isinstance(decoder, ColorDecoder):
        return decoder(_read_colors(path), path)
    return decoder(_read_ids(path), path)


def _read_ids(path: Path) -> RawIds:
    """Palette indices or gray values as they stand in the file, 1 to 16 bits."""
    image, raw_mode, _ = _decode(path)
    _refuse_jpeg(image, path)
    if image.mode in ("P", "L"):
        raw_HW = np.array(image)
        return raw_HW // np.uint8(GRAY_SPREAD[raw_mode]) if raw_mode in GRAY_SPREAD else raw_HW
    if image.mode == "1":
        return np.array(image).astype(np.uint8)
    if image.mode in GRAY_16_MODES:
        return np.array(image).astype(np.uint16)
    raise UserError(
        f"{path}: a label of kind {image.mode} holds no ids; one channel of class ids is required (gray or "
        "palette PNG); convert the label, or, where colours mean classes, use data=folder with "
        "data.folder.rgb_labels=true and data.folder.palette"
    )


def _read_colors(path: Path) -> NDArray[np.uint8]:
    image, _, _ = _decode(path)
    _refuse_jpeg(image, path)
    if image.mode not in COLOR_LABEL_MODES:
        raise UserError(f"{path}: a label of kind {image.mode}; 8-bit RGB colours are required; convert the label")
    return np.array(image.convert("RGB"))


def _refuse_jpeg(image: Image.Image, path: Path) -> None:
    if image.format == "JPEG":
        raise UserError(f"{path}: a label saved as JPEG, which alters ids and colours; labels must be PNG")


class _Decoded(NamedTuple):
    image: Image.Image
    raw_mode: str  # how the samples lie in the file, e.g. "L;4"
    orientation: int


def _decode(path: Path) -> _Decoded:
    """The whole file decoded by Pillow, which raises where other readers fill in gray."""
    try:
        with Image.open(path) as image:
            arguments = image.tile[0].args if image.tile else ""  # "L;4" or ("L;4", ...); gone after loading
            image.load()
            raw_mode = arguments[0] if isinstance(arguments, tuple) else arguments
            return _Decoded(image, str(raw_mode), image.getexif().get(ORIENTATION_TAG, 1))
    except (*DECODING_ERRORS, Image.DecompressionBombError) as error:
        cure = "replace the file, or take the sample out of the split"
        raise DamagedFileError(f"{path}: {_complaint(path, error)}; {cure}") from error


def _complaint(path: Path, error: Exception) -> str:
    if path.is_dir():
        return "a folder, where an image file is required"
    if not path.exists():
        return "there is no such file"
    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow knows" if path.stat().st_size else "the file is empty (0 bytes)"
    return f"cannot be decoded ({error})"


def _size(array: NDArray[np.uint8]) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
