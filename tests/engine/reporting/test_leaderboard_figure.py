"""In a leaderboard's picture every row can be found, and every front end is one that was scored."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from engine.reporting.label_places import Box, label_boxes
from engine.reporting.leaderboard_figure import MOST_LISTED, matplotlib_figure
from engine.reporting.leaderboard_rows import Row


def row(field_cells: int, mean: float, **changes: Any) -> Row:
    """A row of one layer, with a gain over a front end of 66.91 %."""
    reach = (field_cells - 1) // 2
    plain = Row(
        name=str(reach), dilations=[reach], widths=[], field_cells=field_cells, field_px=46 + 8 * field_cells,
        holes_per_axis=0, gcd=reach, parameters=1, multiply_adds=1000 * reach, stage="context", effective_cells=1,
        seconds=1, peak_memory_mib=1, mean_iou={"0": mean}, runs={"0": "run"}, repetitions={}, mean=mean,
        interval=0.003, frontend=0.6691, gain=mean - 0.6691, class_gain={}, other_settings={},
    )  # fmt: skip
    return replace(plain, **changes)


def ranked(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda one: -one.mean)


def crowded(seed: int) -> list[Row]:
    """24 rows: twelve of one field and, to the pixel, one score; eight at another; the rest apart."""
    rng = np.random.default_rng(seed)
    together = [row(65, 0.93 + 1e-4 * rng.normal(), holes_per_axis=rank % 2) for rank in range(11)] + [row(67, 0.93)]
    level = [row(25, 0.67, interval=None) for _ in range(8)]
    apart = [row(7, 0.9, interval=0.2), row(3073, 0.5), row(257, 0.931), row(49, 0.8, interval=0.1)]
    return ranked(together + level + apart)


SPARSE = ranked([row(67, 0.94), row(65, 0.9387), row(65, 0.9317), row(49, 0.93), row(7, 0.67), row(9, 0.67)])


def laid_out(rows: list[Row]) -> Figure:
    figure = matplotlib_figure(rows)
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    return figure


def numbers(figure: Figure) -> dict[int, Text]:
    return {int(text.get_text()): text for text in figure.axes[0].texts if text.get_text().isdigit()}


def overlaps(boxes: list[Bbox]) -> list[tuple[Bbox, Bbox]]:
    return [(one, other) for one, other in itertools.combinations(boxes, 2) if one.overlaps(other)]


@pytest.mark.parametrize("rows", [SPARSE, crowded(0), crowded(1), crowded(2), [row(9, 0.5)]])
def test_every_row_has_a_number_of_its_own_that_overlaps_no_other_and_is_tied_to_its_marker(
    rows: list[Row],
) -> None:
    figure = laid_out(rows)
    axes, number_of = figure.axes[0], numbers(figure)
    assert sorted(number_of) == list(range(1, len(rows) + 1))
    boxes = [text.get_window_extent() for text in number_of.values()]
    assert not overlaps(boxes)
    assert all(axes.bbox.contains(*box.min) and axes.bbox.contains(*box.max) for box in boxes)
    ends = [np.asarray(line.get_xydata()) for line in axes.lines]
    for rank, text in number_of.items():
        marker = (rows[rank - 1].field_cells, 100 * rows[rank - 1].mean)
        assert any(np.array_equal(end, (marker, text.get_position())) for end in ends), rank


@pytest.mark.parametrize("rows", [SPARSE, crowded(0), ranked([row(2 * k + 3, 0.5 + k / 100) for k in range(30)])])
def test_the_best_row_s_field_is_named_on_the_axis_and_no_two_names_overlap(rows: list[Row]) -> None:
    labels = [label for label in laid_out(rows).axes[0].get_xticklabels() if label.get_text()]
    best = rows[0]
    assert f"{best.field_cells}\n{best.field_px}" in [label.get_text() for label in labels]
    assert not overlaps([label.get_window_extent() for label in labels])


def front_lines(rows: list[Row]) -> tuple[list[float], str]:
    axes = laid_out(rows).axes[0]
    levels = [float(line.get_ydata()[0]) for line in axes.lines if line.get_linestyle() == "--"]  # type: ignore[index,arg-type]
    return levels, next(text.get_text() for text in axes.texts if "alone" in text.get_text())


def test_front_ends_that_differ_have_a_line_each_and_their_mean_has_none() -> None:
    same = [row(7, 0.7, gain=0.1), row(9, 0.8, gain=0.2 + 1e-6)]
    assert front_lines(same) == ([pytest.approx(60, abs=1e-3)], "front end alone")
    levels, label = front_lines([*same, row(9, 0.9, gain=0.1), row(9, 0.5, gain=None)])
    assert levels == [pytest.approx(60, abs=1e-3), pytest.approx(80)]
    assert label == "front ends alone, 60.00 to 80.00"


def test_a_long_sweep_s_picture_stays_of_one_size_and_says_how_many_rows_have_no_number() -> None:
    rows = ranked([row(2 * k + 3, 0.5 + k / 1000, interval=None) for k in range(MOST_LISTED + 20)])
    figure, shorter = matplotlib_figure(rows), matplotlib_figure(rows[:MOST_LISTED])
    assert figure.get_size_inches().tolist() == shorter.get_size_inches().tolist()
    assert any(text.get_text() == "20 more, without numbers: see leaderboard.md" for text in figure.texts)


def test_labels_of_coinciding_marks_fill_the_space_there_is_without_overlap() -> None:
    """Twelve boxes of 20 x 10 in a space of 100 x 60."""
    inside = Box(0, 0, 100, 60)
    boxes = label_boxes([(50.0, 30.0)] * 12, [(20.0, 10.0)] * 12, inside, [Box(0, 0, 100, 60)])
    assert all(box.lies_in(inside) for box in boxes)
    assert not any(one.meets(other) for one, other in itertools.combinations(boxes, 2))


def test_a_label_keeps_off_what_it_can_avoid() -> None:
    mark = Box.around((50.0, 50.0), 20, 20)
    (box,) = label_boxes([(50.0, 50.0)], [(10.0, 10.0)], Box(0, 0, 100, 100), [mark])
    assert not box.meets(mark)
