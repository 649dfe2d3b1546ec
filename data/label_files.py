"""Label maps and gray maps as images that other programs read."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.palette import Color


def label_image(ids_HW: NDArray[np.uint8], file_ids: Sequence[int], palette: Sequence[Color]) -> Image.Image:
    """Class ids as a palette image (mode P) of 8 bits: its values are `file_ids` of the classes, shown in `palette`.

    Programs that read values get ids, viewers show colours, and its conversion to RGB is a map of the colours. Ids
    above 255 do not fit a palette: the image is gray of 16 bits (mode I;16).
    """
    if max(file_ids) > 255:
        return Image.fromarray(np.array(file_ids, dtype=np.uint16)[ids_HW])
    values_K, colors_256_3 = np.array(file_ids, dtype=np.uint8), np.zeros((256, 3), dtype=np.uint8)
    colors_256_3[values_K] = palette
    image = Image.fromarray(values_K[ids_HW])
    image.putpalette(colors_256_3.tobytes())  # all 256: Pillow writes fewer bits a value where there are fewer colours
    return image


def gray_map(shares_HW: NDArray[np.float32]) -> Image.Image:
    """0..1 as gray 0..255 (mode L), rounded to the nearest."""
    return Image.fromarray((shares_HW.clip(0, 1) * 255 + 0.5).astype(np.uint8))
