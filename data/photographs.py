"""Images without labels: read, and turned upright; maps of them are turned back."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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


class Photograph(NamedTuple):
    """A picture turned upright, RGB bytes, and the EXIF orientation of its file, 1 to 8."""

    upright_HW3: NDArray[np.uint8]
    orientation: int = 1

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
    image_HW3 = np.array(rgb_bytes(decoded, path))
    if exchanged:
        image_HW3 = image_HW3.swapaxes(0, 1)
    upright_HW3 = image_HW3[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
    return Photograph(np.ascontiguousarray(upright_HW3), decoded.orientation)
