"""Images without labels, and the label maps that are written for them."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from configs.errors import UserError
from data.files import list_files
from data.names import IMAGE_SUFFIXES, without_suffix


class Request(NamedTuple):
    image: Path
    target: Path


def requests(source: Path, output: Path) -> list[Request]:
    """An image, or every image below a folder, with the file for its label map: the same name below `output`, .png.

    Raises UserError where there is no image, where two share a name, or where an image would be written over.
    """
    if source.is_dir():
        found = list_files(source, "")
    elif source.suffix.lower() in IMAGE_SUFFIXES:
        found = {without_suffix(source.name, ""): source}
    else:
        raise UserError(f"input={source}: an image is required; known are {', '.join(IMAGE_SUFFIXES)}")
    pairs = [Request(image, output / f"{name}.png") for name, image in sorted(found.items())]
    for image, target in pairs:
        if target.exists() and target.samefile(image):
            raise UserError(f"output={output}: the label map of {image} would be written over it; set output elsewhere")
    return pairs


def write_ids(path: Path, ids_HW: NDArray[Any]) -> None:
    """Class ids as a gray PNG (mode L): at most 254 classes. Raises UserError where the folder cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(ids_HW.astype(np.uint8)).save(path)
    except OSError as error:
        raise UserError(
            f"output: {path} cannot be written ({error.strerror or error}); set output elsewhere"
        ) from error
