"""A picture with the classes' colours blended in, and a legend below it."""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import get_data_path
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

ALPHA, OUTLINE_ALPHA = 0.5, 0.9  # of a class's colour, inside its regions and along their borders
LEAST_SIDE_PX = 128  # of the longer side; smaller pictures are enlarged
LARGEST_SIDE_PX = 65_500  # of a JPEG; a larger picture is made smaller
TEXT_PX, PIXELS_PER_TEXT = 12, 40  # least height of the text; the picture's side over the height
OUTLINE_SHARE = 1 / 1000  # of the picture's side
LEAST_ROWS = 4  # of the legend, however low the picture is
LONGEST_NAME = 30
PAPER, INK, QUIET_INK = (24, 24, 32), (238, 238, 242), (150, 150, 162)

Color = tuple[int, int, int]


class Entry(NamedTuple):
    """A class in the legend; the one without a colour counts the classes for which there is no room."""

    name: str
    share: str
    color: Color | None


def overlay(
    picture_HW3: NDArray[np.uint8],
    ids_HW: NDArray[np.uint8],
    names: Sequence[str],
    palette: Sequence[Color],
    *,
    of_video: bool = False,
) -> Image.Image:
    """RGB. The legend has the classes that occur, most frequent first, with their shares in per cent.

    That of a video has all classes in their order, so that it stands still, and the sides are even, as codecs want.
    """
    blended = _blended(picture_HW3, ids_HW, palette)
    if max(blended.size) < LEAST_SIDE_PX:
        times = math.ceil(LEAST_SIDE_PX / max(blended.size))
        blended = blended.resize((blended.width * times, blended.height * times), Image.Resampling.NEAREST)
    shares_K = np.bincount(ids_HW.ravel(), minlength=len(names)) / ids_HW.size
    by_share = sorted(np.flatnonzero(shares_K).tolist(), key=lambda k: -shares_K[k])
    entries = [
        Entry(_shortened(names[k]), "" if of_video else _per_cent(shares_K[k]), palette[k])
        for k in (range(len(names)) if of_video else by_share)
    ]
    legend = _legend(entries, blended.size)
    step = 2 if of_video else 1
    width = math.ceil(max(blended.width, legend.width) / step) * step
    height = math.ceil((blended.height + legend.height) / step) * step
    canvas = Image.new("RGB", (width, height), PAPER)
    canvas.paste(blended, ((width - blended.width) // 2, 0))
    canvas.paste(legend, (0, blended.height))
    canvas.thumbnail((LARGEST_SIDE_PX, LARGEST_SIDE_PX))
    return canvas


def _blended(picture_HW3: NDArray[np.uint8], ids_HW: NDArray[np.uint8], palette: Sequence[Color]) -> Image.Image:
    picture, colors = Image.fromarray(picture_HW3), Image.fromarray(np.array(palette, dtype=np.uint8)[ids_HW])
    blended = Image.blend(picture, colors, ALPHA)
    outline = Image.fromarray(_outline(ids_HW, max(1, round(math.sqrt(ids_HW.size) * OUTLINE_SHARE))))
    blended.paste(Image.blend(picture, colors, OUTLINE_ALPHA), mask=outline)
    return blended


def _outline(ids_HW: NDArray[np.uint8], width_px: int) -> NDArray[np.bool_]:
    """The pixels that another class lies near, up to `width_px` away along an axis."""
    outline_HW = np.zeros(ids_HW.shape, dtype=bool)
    for ids, outline in ((ids_HW, outline_HW), (ids_HW.T, outline_HW.T)):
        differs = ids[width_px:] != ids[:-width_px]
        outline[width_px:] |= differs
        outline[:-width_px] |= differs
    return outline_HW


def _legend(entries: Sequence[Entry], picture_size: tuple[int, int]) -> Image.Image:
    """Columns of equal width, row by row; as wide as the picture or as one column, and not much higher than it."""
    text_px = max(TEXT_PX, round(math.sqrt(picture_size[0] * picture_size[1]) / PIXELS_PER_TEXT))
    font, gap, row_px = _font(text_px), text_px, round(1.7 * text_px)
    share_px = max(font.getlength(entry.share) for entry in entries)
    entry_px = math.ceil(1.6 * text_px + max(font.getlength(entry.name) for entry in entries))
    entry_px += math.ceil(0.8 * text_px + share_px) if share_px else 0
    columns = min(len(entries), max(1, (picture_size[0] - gap) // (entry_px + gap)))
    room = columns * max(LEAST_ROWS, picture_size[1] // row_px)
    if len(entries) > room:
        entries = [*entries[: room - 1], Entry(f"and {len(entries) - room + 1} more", "", None)]
    width = max(picture_size[0], entry_px + 2 * gap)
    image = Image.new("RGB", (width, math.ceil(len(entries) / columns) * row_px + gap), PAPER)
    draw, half = ImageDraw.Draw(image), text_px // 2
    for position, entry in enumerate(entries):
        row, column = divmod(position, columns)
        left = gap + column * (width - gap) // columns
        middle = (gap + row_px) // 2 + row * row_px
        if entry.color is not None:
            draw.rectangle((left, middle - half, left + 2 * half, middle + half), entry.color, QUIET_INK)
        draw.text((left + 1.6 * text_px, middle), entry.name, INK, font, anchor="lm")
        draw.text((left + entry_px, middle), entry.share, QUIET_INK, font, anchor="rm")
    return image


def _per_cent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 else "< 0.1 %"


def _shortened(name: str) -> str:
    text = " ".join(name.split())
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 3]}..."


@cache
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    """The font that comes with Matplotlib: Pillow's own knows neither ß nor Cyrillic."""
    return ImageFont.truetype(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size_px)
