"""Images out of numbers, in memory and as files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base

Pixels = NDArray[np.uint8]


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    """RGB (height, width, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_pixels(path: Path, pixels: Pixels) -> None:
    """A file of the kind that its suffix says, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def orientation_tag(orientation: int) -> Image.Exif:
    """The EXIF block of a photograph that says which way is up; 1 is upright, 1 to 8 have a meaning."""
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    return exif
