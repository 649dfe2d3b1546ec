"""The classes' colours blended into a picture, thin contours between classes, and void hatched."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from configs.schema import VOID

ALPHA, OUTLINE_ALPHA = 0.5, 0.9  # of a class's colour, inside its regions and along their borders
OUTLINE_SHARE = 1 / 1000  # of the picture's side
STRIPE_PX = 3  # of the light and of the dark stripes over void
HATCH_ALPHA, LIGHT, DARK = 0.6, 255, 0

Pixels = NDArray[np.uint8]


def blended(picture_HW3: Pixels, ids_HW: Pixels, palette: Sequence[Sequence[int]]) -> Image.Image:
    """RGB, of the picture's size. No class's colour lies on void, nor a stripe on a class."""
    table = np.zeros((256, 3), dtype=np.uint8)
    table[: len(palette)] = np.asarray(palette, dtype=np.uint8)
    picture, colors = Image.fromarray(picture_HW3), Image.fromarray(table[ids_HW])
    image = Image.blend(picture, colors, ALPHA)
    outline = Image.fromarray(_outline(ids_HW, max(1, round(math.sqrt(ids_HW.size) * OUTLINE_SHARE))))
    image.paste(Image.blend(picture, colors, OUTLINE_ALPHA), mask=outline)
    is_void_HW = ids_HW == VOID
    if is_void_HW.any():
        image.paste(_hatched(picture), mask=Image.fromarray(is_void_HW))
    return image


def hatched_swatch(side_px: int) -> Image.Image:
    """A square of void, for a legend."""
    return _hatched(Image.new("RGB", (side_px, side_px), (128, 128, 128)))


def _hatched(picture: Image.Image) -> Image.Image:
    """With stripes that rise to the right; no pixel of a size between black and white stays as it was."""
    rows, columns = np.ogrid[: picture.height, : picture.width]
    is_light_HW = (rows + columns) // STRIPE_PX % 2 == 0
    stripes = Image.fromarray(np.where(is_light_HW, LIGHT, DARK).astype(np.uint8)).convert("RGB")
    return Image.blend(picture, stripes, HATCH_ALPHA)


def _outline(ids_HW: Pixels, width_px: int) -> NDArray[np.bool_]:
    """The pixels that another class lies near, up to `width_px` away along an axis."""
    outline_HW = np.zeros(ids_HW.shape, dtype=bool)
    for ids, outline in ((ids_HW, outline_HW), (ids_HW.T, outline_HW.T)):
        differs = ids[width_px:] != ids[:-width_px]
        outline[width_px:] |= differs
        outline[:-width_px] |= differs
    return outline_HW
