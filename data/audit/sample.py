"""One look at the files of a sample: what they hold, and everything in them that a training would refuse."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from configs.errors import DamagedFileError, UserError
from data.class_counts import Counts, pixels_of_values
from data.dataset import SAMPLE_HINT, FileSet, ImageSet, LabelReader, Pair, upright_bytes
from data.labels import CODE_OF_RGB, LabelValueError, most_frequent
from data.names import readable
from data.pixels import TURNED, DecodedFile, decode

ProblemKind = Literal[
    "damaged_image",
    "large_image",  # more pixels than are read
    "turned_image",  # EXIF
    "image_samples",  # of a kind without an agreed range
    "damaged_label",
    "jpeg_label",
    "label_samples",  # of a kind that holds no ids, or no colours
    "label_values",  # ids or colours without a meaning
    "label_mask",  # 0 and 255 alone
    "sizes",  # of image and label
]
LABEL_KINDS = {"L": "gray", "P": "palette", "1": "1-bit", "I;16": "16-bit gray"}  # by Pillow's mode


class Problem(NamedTuple):
    """What a training would refuse in a file, in the words that it would end with.

    `values` are the pixels of each raw id, or of each colour (its code, see LabelValueError), that is at fault;
    `samples` is Pillow's mode of the label.
    """

    kind: ProblemKind
    file: str
    message: str
    values: Mapping[int, int] = {}
    samples: str = ""


class ImageRecord(NamedTuple):
    """Mean and mean square of the pixels are those of red, green and blue; `samples` is Pillow's mode of the file."""

    size_px: tuple[int, int]  # height, width
    samples: str
    mean_3: tuple[float, ...]
    mean_square_3: tuple[float, ...]


class LabelRecord(NamedTuple):
    size_px: tuple[int, int]  # height, width
    pixels_256: Counts  # of every train id; the last is void


class SampleRecord(NamedTuple):
    """None is what cannot be used. `num_bytes` is the size of the image file; 0: not decodable, or no file."""

    image: ImageRecord | None = None
    label: LabelRecord | None = None
    num_bytes: int = 0
    label_kind: str = ""  # of the label's file: "palette PNG"
    problems: tuple[Problem, ...] = ()


def record_of(images: ImageSet, index: int) -> SampleRecord:
    """Reads the files of a sample once; what is wrong with one of them does not end the look at the other."""
    if not isinstance(images, FileSet):
        image_HW3, label_HW = images.read(index)
        return SampleRecord(_image_record(image_HW3, "RGB"), _label_record(label_HW))
    pair = images.pairs[index]
    image, num_bytes, problems = _look_at_image(pair.image)
    if images.read_label is None:
        return SampleRecord(image, None, num_bytes, "", problems)
    label, label_kind, label_problems = _look_at_label(pair.label, images.read_label)
    problems += label_problems
    if image and label and image.size_px != label.size_px:
        problems += (_different_sizes(pair, image.size_px, label.size_px),)
    return SampleRecord(image, label, num_bytes, label_kind, problems)


def _look_at_image(path: Path) -> tuple[ImageRecord | None, int, tuple[Problem, ...]]:
    num_bytes, decoded = 0, None
    try:
        decoded = decode(path, SAMPLE_HINT)
        num_bytes = path.stat().st_size
        return _image_record(upright_bytes(decoded, path), decoded.image.mode), num_bytes, ()
    except OSError as error:  # the file went away meanwhile
        message = f"{readable(path)}: cannot be read ({error.strerror})"
        return None, num_bytes, (Problem("damaged_image", readable(path), message),)
    except UserError as error:
        return None, num_bytes, (Problem(_image_kind(error, decoded), readable(path), str(error)),)


def _image_kind(error: UserError, decoded: DecodedFile | None) -> ProblemKind:
    if isinstance(error, DamagedFileError):
        return "damaged_image"
    if decoded is None:
        return "large_image"
    return "turned_image" if decoded.orientation in TURNED else "image_samples"


def _image_record(image_HW3: NDArray[np.uint8], samples: str) -> ImageRecord:
    means, deviations = (np.ravel(values) for values in cv2.meanStdDev(image_HW3))
    squares = means**2 + deviations**2
    height, width = image_HW3.shape[:2]
    return ImageRecord((height, width), samples, tuple(means.tolist()), tuple(squares.tolist()))


def _look_at_label(path: Path, read_label: LabelReader) -> tuple[LabelRecord | None, str, tuple[Problem, ...]]:
    samples, file_format = _header(path)
    label_kind = " ".join(filter(None, (LABEL_KINDS.get(samples, samples), file_format)))
    try:
        return _label_record(read_label(path)), label_kind, ()
    except DamagedFileError as error:
        problem = Problem("damaged_label", readable(path), str(error))
    except LabelValueError as error:
        kind: ProblemKind = "label_mask" if error.is_mask else "label_values"
        problem = Problem(kind, readable(path), str(error), error.pixels, samples)
    except UserError as error:
        if file_format == "JPEG":
            problem = Problem("jpeg_label", readable(path), str(error))
        else:
            problem = Problem("label_samples", readable(path), str(error), _colors(path, samples), samples)
    return None, label_kind, (problem,)


def _label_record(label_HW: NDArray[np.uint8]) -> LabelRecord:
    height, width = label_HW.shape
    return LabelRecord((height, width), pixels_of_values(label_HW))


def _header(path: Path) -> tuple[str, str]:
    """Pillow's mode and format of a file; empty where it is none."""
    if not os.path.isfile(path):
        return "", ""
    with suppress(Exception), Image.open(path) as image:  # a damaged header may raise anything; reading says why
        return image.mode, image.format or ""
    return "", path.suffix.lower().lstrip(".").upper()


def _colors(path: Path, samples: str) -> dict[int, int]:
    """The pixels of every colour of a label in colours, by the colour's code."""
    if samples not in ("RGB", "RGBA"):
        return {}
    with suppress(UserError):
        colors_HW3 = np.array(decode(path, SAMPLE_HINT).image.convert("RGB"))
        return most_frequent((colors_HW3 @ CODE_OF_RGB).astype(np.int64))
    return {}


def _different_sizes(pair: Pair, image_px: tuple[int, int], label_px: tuple[int, int]) -> Problem:
    message = (
        f"{readable(pair.image)} is {image_px[1]}x{image_px[0]} but its label {readable(pair.label)} is "
        f"{label_px[1]}x{label_px[0]} (width x height)"
    )
    return Problem("sizes", readable(pair.image), message)
