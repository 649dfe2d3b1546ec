"""Figures say with their pixels what their words say."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from engine.evaluation.effective_field import effective_cells
from engine.reporting.coverage_figure import (
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
from engine.reporting.figures import OUTLINE_CYAN, Rgb, field_figure, field_legend
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
    colours_of: dict[int, set[tuple[int, ...]]] = {}
    for panel, counts in enumerate(layers):
        first = (whole - len(counts)) / 2
        for row, column in np.ndindex(len(counts), len(counts)):
            if row == column == len(counts) // 2 and whole > 1:
                continue  # the mark of the centre lies there
            x = left + DPI * panel * (PANEL_INCHES + GAP_INCHES) + DPI * PANEL_INCHES * (first + column + 0.5) / whole
            y = top + DPI * PANEL_INCHES * (first + row + 0.5) / whole
            colours_of.setdefault(counts[row] * counts[column], set()).add(tuple(pixels[int(y), int(x)].tolist()))
    return colours_of


@pytest.mark.parametrize("dilations", [[2, 4, 8], [2, 4, 8, 1], [1, 2, 4, 8], [1, 3], [3]])
def test_a_number_of_paths_has_one_colour_in_all_panels_and_more_paths_a_brighter_one(dilations: list[int]) -> None:
    colours_of = colours_by_paths(dilations)
    assert all(len(colours) == 1 for colours in colours_of.values()), colours_of
    assert colours_of[1] == {ONE_PATH} and colours_of.get(0, {NO_PATH}) == {NO_PATH}
    brightness = [sum(min(colours_of[paths])) for paths in sorted(colours_of)]
    assert brightness == sorted(set(brightness))
    assert max(colours_of) == 1 or colours_of[max(colours_of)] == {MOST_PATHS}


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


def labels(shares_hw: NDArray[np.float64], effective_cells: float, field_cells: int) -> list[str]:
    return [str(handle.get_label()) for handle in field_legend(shares_hw, effective_cells, field_cells)]


def test_a_field_s_legend_counts_what_is_outlined_and_what_is_only_coloured_and_says_where_they_lie() -> None:
    """Two cells above 4.55 %, the second one row above; a third, faint one in the sky, 16 rows above."""
    shares_hw = np.zeros((32, 32))
    shares_hw[16, 16], shares_hw[15, 16], shares_hw[0, 16], shares_hw[3, 3] = 1, 0.0456, 0.02, 0.0009
    assert labels(shares_hw, effective_cells(shares_hw), 67) == [
        "above 4.55 %: 2 cells, the farthest 1 away",
        "effective field: as many in a square, 1.4 a side",
        "computed field: 67 x 67 cells, not all on this map of 32 x 32",
        "coloured, above 0.1 %: 3 cells, the farthest 16 away",
    ]
    assert labels(np.zeros((5, 5)), 0.0, 3)[0] == "above 4.55 %: no cell"


def test_a_field_is_said_to_leave_the_map_exactly_if_it_does() -> None:
    """From the centre of 32 cells 15 lie below, of 33 cells 16."""
    for side, field_cells, is_cut in ((32, 31, False), (32, 33, True), (33, 33, False), (33, 35, True)):
        assert ("not all on this map" in labels(np.ones((side, 40)), 1.0, field_cells)[2]) == is_cut


def test_cells_of_the_effective_field_are_outlined_where_they_lie() -> None:
    """The centre, and four cells in the corners of the map: the outlines reach from one end to the other."""
    shares_hw = np.zeros((9, 9))
    shares_hw[4, 4] = shares_hw[0, 0] = shares_hw[0, 8] = shares_hw[8, 0] = shares_hw[8, 8] = 1
    for shown_hw, is_wide in ((shares_hw, True), (np.pad(np.ones((1, 1)), 4), False)):
        picture = field_figure(shown_hw, effective_cells(shown_hw), 9)
        is_cyan = (picture == [round(255 * value) for value in to_rgb(OUTLINE_CYAN)]).all(axis=2)
        rows = np.flatnonzero(is_cyan[:550].any(axis=1))  # above the legend
        assert (np.ptp(rows) > 400) == is_wide and len(rows) > 20
