"""Figures say with their pixels what their words say."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from engine.coverage_figure import (
    COLOURS,
    DPI,
    FAINTEST,
    GAP_INCHES,
    HEAD_INCHES,
    LABEL_INCHES,
    PANEL_INCHES,
    UNUSED,
    coverage_figure,
)
from engine.pictures import Rgb
from models.coverage import path_counts

ONE_PATH = tuple(COLOURS(FAINTEST, bytes=True)[:3])
MOST_PATHS = tuple(COLOURS(1.0, bytes=True)[:3])
NO_PATH = tuple(round(255 * value) for value in to_rgb(UNUSED))


def coverage_pixels(dilations: list[int]) -> tuple[Rgb, list[list[int]]]:
    counts = [path_counts(dilations[:depth]) for depth in range(1, len(dilations) + 1)]
    return coverage_figure(dilations, counts), counts


def colours_by_paths(dilations: list[int]) -> dict[int, set[tuple[int, ...]]]:
    """Every colour in which the cells with as many paths are drawn, over all panels of one row."""
    pixels, layers = coverage_pixels(dilations)
    left = (pixels.shape[1] - DPI * (len(dilations) * (PANEL_INCHES + GAP_INCHES) - GAP_INCHES)) / 2
    top = DPI * (HEAD_INCHES + LABEL_INCHES / 2)
    whole = len(layers[-1])
    found: dict[int, set[tuple[int, ...]]] = {}
    for panel, counts in enumerate(layers):
        first = (whole - len(counts)) / 2
        for row, column in np.ndindex(len(counts), len(counts)):
            if row == column == len(counts) // 2 and whole > 1:
                continue  # the mark of the centre lies there
            x = left + DPI * panel * (PANEL_INCHES + GAP_INCHES) + DPI * PANEL_INCHES * (first + column + 0.5) / whole
            y = top + DPI * PANEL_INCHES * (first + row + 0.5) / whole
            found.setdefault(counts[row] * counts[column], set()).add(tuple(pixels[int(y), int(x)].tolist()))
    return found


@pytest.mark.parametrize("dilations", [[2, 4, 8], [2, 4, 8, 1], [1, 2, 4, 8], [1, 3], [3]])
def test_a_number_of_paths_has_one_colour_in_all_panels_and_more_paths_a_brighter_one(dilations: list[int]) -> None:
    found = colours_by_paths(dilations)
    assert all(len(colours) == 1 for colours in found.values()), found
    assert found[1] == {ONE_PATH} and found.get(0, {NO_PATH}) == {NO_PATH}
    brightness = [sum(min(found[paths])) for paths in sorted(found)]
    assert brightness == sorted(set(brightness))
    assert max(found) == 1 or found[max(found)] == {MOST_PATHS}


def test_where_no_cell_has_two_paths_nothing_is_said_or_painted_of_the_most() -> None:
    """Dilations 1, 3, 9: every sum of -d, 0, d is another one."""
    for dilations in ([5], [1, 3, 9]):
        pixels, counts = coverage_pixels(dilations)
        assert max(map(max, counts)) == 1
        assert not (pixels == MOST_PATHS).all(axis=2).any()


def test_one_path_keeps_its_colour_in_fields_wider_than_the_picture() -> None:
    """Of 1025 cells an axis three are reached, each on one path: nine dots and no mixed colours."""
    pixels, _ = coverage_pixels([512])
    panel = pixels[int(DPI * HEAD_INCHES) : -int(DPI * LABEL_INCHES)]
    assert (panel == ONE_PATH).all(axis=2).sum() >= 9
    reddish = (panel[..., 0].astype(int) - panel[..., 1]) > 40
    assert {tuple(pixel) for pixel in panel[reddish].tolist()} == {ONE_PATH}
