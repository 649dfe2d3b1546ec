"""Sheets are bounded, hold every tile whole, and their text stays in its cell."""

import numpy as np
import pytest
from PIL import Image

from configs.schema import VOID
from engine.reporting.contact_sheet import Tile, class_entries, contact_sheet, failed_picture, fitted_size
from engine.reporting.legend import Entry

GREEN = (10, 200, 10)


def entries(num_classes: int = 2) -> list[Entry]:
    counts = np.zeros(256, np.int64)
    counts[:num_classes] = 1
    names = [f"class number {k}" for k in range(num_classes)]
    return class_entries(counts, names, [(k, 255 - k, 90) for k in range(num_classes)])


def tile(width: int, height: int, caption: str = "a name") -> Tile:
    return Tile(Image.new("RGB", (width, height), GREEN), [caption, "more"])


def test_every_tile_lies_on_the_sheet_whole() -> None:
    tiles = [tile(100 + 20 * number, 90 - 10 * number) for number in range(5)]
    sheet = np.array(contact_sheet(tiles, entries(), columns=2, title="five"))
    assert (sheet == GREEN).all(-1).sum() == sum(t.picture.width * t.picture.height for t in tiles)


@pytest.mark.parametrize("num_classes", [2, 150, 254])
def test_a_full_sheet_is_bounded_and_its_legend_has_room(num_classes: int) -> None:
    sheet = contact_sheet([tile(384, 384)] * 24, entries(num_classes), columns=4, title="t" * 10_000)
    assert sheet.width < 1700 and sheet.height < 3700
    assert contact_sheet([tile(20, 20)], entries(num_classes), columns=1).width >= 450


@pytest.mark.parametrize("name", ["n" * 100_000, "a name\nof two lines", "", "0001TP_006690"])
def test_a_caption_stays_within_its_cell(name: str) -> None:
    """Whatever is drawn for the first tile, the column of the second is as before."""
    first, second = (
        np.array(contact_sheet([tile(240, 60, text), tile(240, 60)], entries(), columns=2)) for text in (name, "a name")
    )
    assert first.shape == second.shape
    assert np.array_equal(first[:, 262:], second[:, 262:])


def test_long_names_keep_both_ends() -> None:
    """Names of one drive differ at their ends."""

    def sheet(name: str) -> Image.Image:
        return contact_sheet([tile(240, 60, name)], entries(), columns=1)

    assert sheet("a" * 200 + "1") != sheet("a" * 200 + "2")
    assert sheet("a" * 5000 + "1") != sheet("a" * 5000 + "2")
    assert sheet("1" + "a" * 200) != sheet("2" + "a" * 200)
    assert sheet("a" * 200 + "1" + "a" * 200) == sheet("a" * 200 + "2" + "a" * 200)


def test_shares_are_those_of_all_pixels_and_void_comes_first() -> None:
    counts = np.zeros(256, np.int64)
    counts[[0, 2, VOID]] = 100, 300, 600
    shown = class_entries(counts, ["road", "house", "tree"], [(1, 1, 1), (2, 2, 2), (3, 3, 3)])
    pairs = [(entry.name, entry.share) for entry in shown]
    assert pairs == [("void", "60.0 %"), ("tree", "30.0 %"), ("road", "10.0 %")]
    assert [entry.is_void for entry in shown] == [True, False, False]


@pytest.mark.parametrize("size", [(384, 288), (40, 20), (1, 1)])
def test_what_cannot_be_read_is_gray_and_its_message_stays_inside(size: tuple[int, int]) -> None:
    for message in ("a.png: truncated", "x" * 5000, "word " * 5000, ""):
        picture = failed_picture(message, size)
        assert picture.size == size and picture.getpixel((0, 0)) == (96, 96, 104)
        assert (np.array(picture)[:, -1] == (96, 96, 104)).all()


@pytest.mark.parametrize(
    ("size", "fitted"),
    [((480, 360), (480, 360)), ((4000, 3000), (512, 384)), ((40, 30), (240, 180)), ((5000, 1), (512, 1))],
)
def test_sizes_are_fitted_by_whole_numbers_or_made_smaller(size: tuple[int, int], fitted: tuple[int, int]) -> None:
    assert fitted_size(size, 256, 512) == fitted
