"""A picture with the classes' colours blended in, and a legend below it."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.reporting.blending import blended
from engine.reporting.legend import PAPER, Entry, legend, per_cent, shortened

LEAST_SIDE_PX = 128  # of the longer side; smaller pictures are enlarged
LARGEST_SIDE_PX = 65_500  # of a JPEG; a larger picture is made smaller
TEXT_PX, PIXELS_PER_TEXT = 12, 40  # least height of the text; the picture's side over the height


def overlay(
    picture_HW3: NDArray[np.uint8],
    ids_HW: NDArray[np.uint8],
    names: Sequence[str],
    palette: Sequence[Sequence[int]],
    *,
    of_video: bool = False,
) -> Image.Image:
    """RGB. The legend has the classes that occur, most frequent first, with their shares in per cent.

    That of a video has all classes in their order, so that it stands still, and the sides are even, as codecs want.
    """
    picture = blended(picture_HW3, ids_HW, palette)
    if max(picture.size) < LEAST_SIDE_PX:
        times = math.ceil(LEAST_SIDE_PX / max(picture.size))
        picture = picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    shares_K = np.bincount(ids_HW.ravel(), minlength=len(names)) / ids_HW.size
    by_share = sorted(np.flatnonzero(shares_K).tolist(), key=lambda k: -shares_K[k])
    entries = [
        Entry(shortened(names[k]), "" if of_video else per_cent(shares_K[k]), palette[k])
        for k in (range(len(names)) if of_video else by_share)
    ]
    text_px = max(TEXT_PX, round(math.sqrt(picture.width * picture.height) / PIXELS_PER_TEXT))
    below = legend(entries, width_px=picture.width, height_px=picture.height, text_px=text_px)
    step = 2 if of_video else 1
    width = math.ceil(max(picture.width, below.width) / step) * step
    height = math.ceil((picture.height + below.height) / step) * step
    canvas = Image.new("RGB", (width, height), PAPER)
    canvas.paste(picture, ((width - picture.width) // 2, 0))
    canvas.paste(below, (0, picture.height))
    canvas.thumbnail((LARGEST_SIDE_PX, LARGEST_SIDE_PX))
    return canvas
