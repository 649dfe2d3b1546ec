"""Many small pictures with their captions on one sheet, and a legend of the classes below them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from configs.schema import VOID
from engine.reporting.legend import INK, PAPER, QUIET_INK, Entry, font, legend, one_line, per_cent, shortened

TEXT_PX, TITLE_PX, LINE_PX = 13, 18, 18
GAP_PX = 14
LEGEND_HEIGHT_PX = 900  # the most; all classes that there can be on a sheet of full width
LEAST_WIDTH_PX = 480  # of a sheet, so that its legend has room
FAILED_GRAY = (96, 96, 104)
FAILED_LINES = 8


class Tile(NamedTuple):
    """A picture and the lines below it; the first, its name, may lose its middle, the others their end."""

    picture: Image.Image
    caption: Sequence[str]


def contact_sheet(tiles: Sequence[Tile], entries: Sequence[Entry], *, columns: int, title: str = "") -> Image.Image:
    """RGB, row by row, as large as its tiles need; the entries are those of the legend below them."""
    columns = min(columns, len(tiles))
    cell_px = max(max(tile.picture.width for tile in tiles), (LEAST_WIDTH_PX - 2 * GAP_PX) // columns)
    rows = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
    heights = [
        max(tile.picture.height for tile in row) + LINE_PX * max(len(tile.caption) for tile in row) for row in rows
    ]
    width = columns * (cell_px + GAP_PX) + GAP_PX
    below = legend(entries, width_px=width, height_px=LEGEND_HEIGHT_PX, text_px=TEXT_PX)
    top = GAP_PX + (TITLE_PX + GAP_PX if title else 0)
    height = top + sum(heights) + GAP_PX * len(rows) + below.height
    sheet = Image.new("RGB", (max(width, below.width), height), PAPER)
    if title:
        _write(sheet, (GAP_PX, GAP_PX), [title], sheet.width - 2 * GAP_PX, TITLE_PX)
    for row, row_px in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            left = GAP_PX + column * (cell_px + GAP_PX)
            sheet.paste(tile.picture, (left, top))
            _write(sheet, (left, top + tile.picture.height + 3), tile.caption, cell_px, TEXT_PX)
        top += row_px + GAP_PX
    sheet.paste(below, (0, top))
    return sheet


def failed_picture(error: str, size_px: tuple[int, int]) -> Image.Image:
    """Width and height; what could not be read, and why in a few words."""
    width, height = size_px
    picture = Image.new("RGB", size_px, FAILED_GRAY)
    lines = _wrapped(error, width - 2 * GAP_PX, min(FAILED_LINES, (height - 2 * GAP_PX) // LINE_PX))
    _write(picture, (GAP_PX, GAP_PX), lines, width - 2 * GAP_PX, TEXT_PX, is_caption=False)
    return picture


def fitted_size(size_px: tuple[int, int], least_px: int, largest_px: int) -> tuple[int, int]:
    """Width and height with the longer side from `least_px` to `largest_px`; enlarged by a whole number only."""
    longer = max(size_px)
    factor = largest_px / longer if longer > largest_px else max(1, least_px // longer)
    return max(1, round(size_px[0] * factor)), max(1, round(size_px[1] * factor))


def class_entries(counts: NDArray[np.int64], names: Sequence[str], palette: Sequence[Sequence[int]]) -> list[Entry]:
    """Void, which no legend may leave out, then the classes that occur, most frequent first."""
    total = max(1, int(counts.sum()))
    by_share = sorted(np.flatnonzero(counts[: len(names)]).tolist(), key=lambda k: -counts[k])
    entries = [Entry(shortened(names[k]), per_cent(counts[k] / total), palette[k]) for k in by_share]
    return [Entry("void", per_cent(counts[VOID] / total), None, is_void=True), *entries]


def _write(
    image: Image.Image,
    place: tuple[int, int],
    lines: Sequence[str],
    width_px: int,
    text_px: int,
    *,
    is_caption: bool = True,
) -> None:
    """Of a caption the first line is a name, and the others are quiet."""
    draw = ImageDraw.Draw(image)
    left, top = place
    for number, line in enumerate(lines):
        text = _shortened_to(one_line(line), width_px, text_px, middle=is_caption and number == 0)
        draw.text((left, top + number * LINE_PX), text, QUIET_INK if is_caption and number else INK, font(text_px))


def _shortened_to(text: str, width_px: int, text_px: int, *, middle: bool) -> str:
    """The text, or as much of its ends, or of its beginning, as fits."""
    measure = font(text_px).getlength
    if len(text) > 4 * width_px:  # no letter is that narrow
        text = text[: 2 * width_px] + text[-2 * width_px :]
    if measure(text) <= width_px:
        return text
    for length in range(min(len(text), width_px), 0, -1):
        tail = length // 2 if middle else 0
        short = f"{text[: length - tail].rstrip()}...{text[len(text) - tail :]}"
        if measure(short) <= width_px:
            return short
    return ""


def _wrapped(text: str, width_px: int, most_lines: int) -> list[str]:
    lines = [""]
    for word in one_line(text).split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font(TEXT_PX).getlength(longer) > width_px:
            if len(lines) == max(1, most_lines):
                lines[-1] += " ..."
                break
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
