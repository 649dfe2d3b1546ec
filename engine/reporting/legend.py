"""Text in pictures: names and numbers that fit, and a legend of classes."""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from engine.reporting.blending import hatched_swatch

LEAST_ROWS = 4  # of the legend, however low the picture is
LONGEST_NAME = 30
PAPER, INK, QUIET_INK = (24, 24, 32), (238, 238, 242), (150, 150, 162)


class Entry(NamedTuple):
    """A class in the legend, or void, which is hatched; without a colour it has no swatch."""

    name: str
    share: str
    color: Sequence[int] | None
    is_void: bool = False


def legend(entries: Sequence[Entry], *, width_px: int, height_px: int, text_px: int) -> Image.Image:
    """Columns of equal width, row by row; at least `width_px` wide, and hardly higher than `height_px`.

    Entries for which there is no room are counted in the last one.
    """
    text_font, gap, row_px = font(text_px), text_px, round(1.7 * text_px)
    share_px = max(text_font.getlength(entry.share) for entry in entries)
    entry_px = math.ceil(1.6 * text_px + max(text_font.getlength(entry.name) for entry in entries))
    entry_px += math.ceil(0.8 * text_px + share_px) if share_px else 0
    columns = min(len(entries), max(1, (width_px - gap) // (entry_px + gap)))
    room = columns * max(LEAST_ROWS, height_px // row_px)
    if len(entries) > room:
        entries = [*entries[: room - 1], Entry(f"and {len(entries) - room + 1} more", "", None)]
    width = max(width_px, entry_px + 2 * gap)
    image = Image.new("RGB", (width, math.ceil(len(entries) / columns) * row_px + gap), PAPER)
    draw, half = ImageDraw.Draw(image), text_px // 2
    for position, entry in enumerate(entries):
        row, column = divmod(position, columns)
        left = gap + column * (width - gap) // columns
        middle = (gap + row_px) // 2 + row * row_px
        if entry.is_void:
            image.paste(hatched_swatch(2 * half + 1), (left, middle - half))
        if entry.color is not None or entry.is_void:
            fill = tuple(entry.color) if entry.color is not None else None
            draw.rectangle((left, middle - half, left + 2 * half, middle + half), fill, QUIET_INK)
        draw.text((left + 1.6 * text_px, middle), entry.name, INK, text_font, anchor="lm")
        draw.text((left + entry_px, middle), entry.share, QUIET_INK, text_font, anchor="rm")
    return image


def per_cent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 or share == 0 else "< 0.1 %"


def shortened(name: str) -> str:
    text = one_line(name)
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 3]}..."


def one_line(text: str) -> str:
    return " ".join(text.split())


@cache
def font(size_px: int) -> ImageFont.FreeTypeFont:
    """The font that comes with Matplotlib: Pillow's own knows neither ß nor Cyrillic."""
    return ImageFont.truetype(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size_px)
