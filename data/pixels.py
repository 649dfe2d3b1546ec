"""One file decoded by Pillow: whole, of a bearable size, with what it says of its samples and which way is up."""

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from configs.errors import DamagedFileError, UserError
from data.completeness import check_complete
from data.names import readable

MAX_PIXELS = 10**9
ORIENTATION_TAG = 0x0112  # EXIF; 1 is upright, 2 to 8 are mirrored or turned
TURNED = range(2, 9)
GRAY_16_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
RGB_MODES = ("RGB", "RGBA", "RGBX", "L", "LA", "La", "P", "PA", "1", "CMYK", "YCbCr")
DECODING_ERRORS = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error, zlib.error)


class DecodedFile(NamedTuple):
    """A file as Pillow has decoded it, and what the file says of its samples."""

    image: Image.Image
    raw_mode: str  # how the samples lie in the file, e.g. "L;4"
    orientation: int  # what the file says, 1 to 8
    turn_left: int  # what is still to be done: Pillow turns TIFF by itself, and nothing else


def decode(path: Path, hint: str) -> DecodedFile:
    """The whole file decoded by Pillow, which raises where other readers fill in gray.

    Raises DamagedFileError, which ends with the hint, and UserError for more than MAX_PIXELS.
    """
    if is_pipe_or_device(path):
        raise DamagedFileError(f"{readable(path)}: a pipe or a device, where an image file is required; {hint}")
    try:
        with _without_pillows_bound(), Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(image, path, hint)
            Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # for parts that claim more than the whole
            arguments = image.tile[0].args if image.tile else ""  # "L;4" or ("L;4", ...); gone after loading
            orientation = _orientation(image)
            image.load()
            check_complete(image, path)
            raw_mode = arguments[0] if isinstance(arguments, tuple) else arguments
            return DecodedFile(image, str(raw_mode), orientation, _orientation(image))
    except UserError:
        raise
    except (*DECODING_ERRORS, Image.DecompressionBombError) as error:
        raise DamagedFileError(f"{readable(path)}: {_complaint(path, error)}; {hint}") from error


def claimed_size(path: Path) -> tuple[int, int] | None:
    """Width and height as a file's header has them, before EXIF turns it; None where Pillow finds no header."""
    if is_pipe_or_device(path):
        return None
    try:
        with _without_pillows_bound(), Image.open(path) as image:
            return image.size
    except DECODING_ERRORS:
        return None


def is_pipe_or_device(path: Path) -> bool:
    """What may never answer or never end when it is read."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def rgb_bytes(decoded: DecodedFile, path: Path) -> NDArray[np.uint8]:
    """HW3, as decoded, converted as `dataset.read_image` says; the array may be read-only.

    Raises UserError for kinds of samples that are not converted.
    """
    image = decoded.image
    if image.mode in GRAY_16_MODES:
        gray_HW = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(gray_HW[:, :, np.newaxis], 3, axis=2)
    if image.mode not in RGB_MODES:
        raise UserError(
            f"{readable(path)}: samples of kind {image.mode} have no agreed range; save the image as 8-bit gray or RGB"
        )
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


@contextmanager
def _without_pillows_bound() -> Iterator[None]:
    """Pillow takes 179 million pixels for an attack, which a camera makes today, and warns from half of that on.

    Its bound is a variable of its module; no call takes another one. So it is changed while one file is read, and put
    back; our processes read files in one thread each.
    """
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _too_large(image: Image.Image, path: Path, hint: str) -> UserError:
    return UserError(
        f"{readable(path)}: the file claims {image.width}x{image.height} pixels, at most {MAX_PIXELS // 10**6} million "
        f"are read; scale the image down or cut it into parts, or {hint}"
    )


def _orientation(image: Image.Image) -> int:
    tag = image.getexif().get(ORIENTATION_TAG, 1)
    return int(tag) if tag in TURNED else 1


def _complaint(path: Path, error: Exception) -> str:
    if os.path.isdir(path):
        return "a folder, where an image file is required"
    if not os.path.exists(path):
        return "there is no such file"
    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow knows" if os.path.getsize(path) else "the file is empty (0 bytes)"
    return f"cannot be decoded ({readable(error)})"
