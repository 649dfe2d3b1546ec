"""Images without labels, and the label maps that are written for them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from configs.errors import UserError, cannot_write
from data.files import files_below
from data.names import IMAGE_SUFFIXES, readable, without_suffix
from data.pixels import decode, rgb_bytes

INPUT_HINT = "replace the file, or take it out of the input"
# EXIF orientation -> whether an upright picture is the file's with rows and columns exchanged, then upside down, then
# mirrored. Undone in the other order.
TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


class Request(NamedTuple):
    """An image, and the file for its label map."""

    image: Path
    target: Path


class Photograph(NamedTuple):
    """A picture turned upright, RGB bytes, and the EXIF orientation of its file, 1 to 8."""

    upright_HW3: NDArray[np.uint8]
    orientation: int

    def on_file_grid(self, upright_HW: NDArray[Any]) -> NDArray[Any]:
        """A map of the upright picture, such that it lies on the file's own pixels."""
        exchanged, upside_down, mirrored = TURNS[self.orientation]
        flipped_HW = upright_HW[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
        return flipped_HW.swapaxes(0, 1) if exchanged else flipped_HW


def read_photograph(path: Path) -> Photograph:
    """An image without a label, RGB, turned as its EXIF tag says: every network was trained on upright ones.

    Raises DamagedFileError, or UserError for kinds of samples that have no agreed range and for too large images.
    """
    decoded = decode(path, INPUT_HINT)
    exchanged, upside_down, mirrored = TURNS[decoded.turn_left]
    image_HW3 = rgb_bytes(decoded, path)
    if exchanged:
        image_HW3 = image_HW3.swapaxes(0, 1)
    upright_HW3 = image_HW3[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
    return Photograph(np.ascontiguousarray(upright_HW3), decoded.orientation)


def requests(source: Path, output: Path) -> list[Request]:
    """An image, or every image below a folder, with the file for its label map: the same name below `output`, .png.

    Images that share a name keep their extensions in it: a.jpg.png, a.png.png. An output folder below the input is no
    input. Raises UserError where there is no image, where a label map would be an image of the next run, or where one
    would be written over an image or another map.
    """
    if source.is_dir():
        all_requests = list(_below(source, output))
    elif source.suffix.lower() in IMAGE_SUFFIXES:
        all_requests = [Request(source, output / f"{without_suffix(source.name, '')}.png")]
    else:
        raise UserError(f"input={readable(source)}: an image is required; known are {', '.join(IMAGE_SUFFIXES)}")
    makers: dict[Path, Path] = {}
    for image, target in all_requests:
        if os.path.exists(target) and target.samefile(image):
            raise UserError(
                f"output={readable(output)}: the label map of {readable(image)} would be written over it; set output "
                "elsewhere"
            )
        if target in makers:
            raise UserError(
                f"{readable(makers[target])} and {readable(image)} would share the label map {readable(target)}; "
                "rename one of them"
            )
        makers[target] = image
    return all_requests


def _below(source: Path, output: Path) -> Iterator[Request]:
    """The requests of a folder, sorted by name."""
    real_source, real_output = Path(os.path.realpath(source)), Path(os.path.realpath(output))
    holds_input = real_output in (real_source, *real_source.parents)
    images_by_name = files_below(source, "", skip=None if holds_input else output)
    if not images_by_name:
        raise UserError(f"{readable(source)} holds no image files; give an image, or a folder that holds some")
    folders = {image.parent for images in images_by_name.values() for image in images}
    walked = {real_source, *(Path(os.path.realpath(folder)) for folder in folders)}
    for name, images in sorted(images_by_name.items()):
        for image in images:
            target = output / f"{name if len(images) == 1 else image.relative_to(source)}.png"
            places = [place for place in target.parents if place == output or output in place.parents]
            if any(Path(os.path.realpath(place)) in walked for place in places):
                raise UserError(
                    f"output={readable(output)}: the label map of {readable(image)} would lie among the images, and "
                    "the next run would take it for one; set output elsewhere, for example to a new folder in it"
                )
            yield Request(image, target)


def write_ids(path: Path, ids_HW: NDArray[Any]) -> None:
    """Class ids as a gray PNG (mode L): at most 254 classes. Raises UserError where the folder cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(ids_HW.astype(np.uint8)).save(path)
    except OSError as error:
        raise cannot_write(f"output: {readable(path)}", error, "set output elsewhere") from error
