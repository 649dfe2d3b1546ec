"""What a report says in tables and charts is arithmetic that can be done by hand."""

import base64
import itertools

import numpy as np
import pytest

from engine.reporting.report.charts import BOTTOM, LEFT, MOST_POINTS, RIGHT, TOP, line_chart
from engine.reporting.report.events import Point, nearest, thinned
from engine.reporting.report.pictures import PictureBudget, decoded
from engine.reporting.report.ranking import are_of_same_images, disputed_images, least_differing, worst_images
from engine.reporting.report.tables import confused_pairs, confusion_table, duration, signed, tone


def counts(truth_HW: np.ndarray, answer_HW: np.ndarray, num_classes: int) -> np.ndarray:
    pairs = (truth_HW * num_classes + answer_HW).ravel()
    return np.bincount(pairs, minlength=num_classes**2).reshape(1, num_classes, num_classes)


@pytest.mark.parametrize("seed", range(20))
def test_half_the_distance_of_two_matrices_never_exceeds_the_pixels_that_differ(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth, first = random.integers(0, 4, (2, 12, 12))
    second = np.where(random.random((12, 12)) < 0.3, random.integers(0, 4, (12, 12)), first)
    least = least_differing(counts(truth, first, 4), counts(truth, second, 4))[0]
    assert 0 <= least <= (first != second).sum()


def test_the_bound_is_reached_where_no_two_differences_cancel() -> None:
    truth, first = np.zeros((4, 4), int), np.zeros((4, 4), int)
    second = first.copy()
    second[0, :3] = 1
    assert least_differing(counts(truth, first, 2), counts(truth, second, 2))[0] == 3


def test_the_most_disputed_and_the_worst_image_come_first() -> None:
    right, wrong = [[10, 0], [0, 10]], [[4, 6], [0, 10]]
    first, second = np.array([right, right, wrong]), np.array([right, wrong, wrong])
    assert disputed_images([first, second], 5) == [(1, 6 / 20)]
    assert worst_images(second, 1) == [(1, 6 / 20)] and worst_images(first, 5) == [(2, 6 / 20)]
    assert are_of_same_images([first, second]) and not are_of_same_images([first, second[:2]])
    assert not are_of_same_images([first, first + np.eye(2, dtype=int)])


def test_a_difference_has_its_sign_and_a_tint_by_its_size() -> None:
    assert [signed(points) for points in (1.26, -0.34, 0.04, -0.04)] == ["+1.3", "\u22120.3", "0.0", "0.0"]
    assert signed(-0.126, 2) == "\u22120.13"
    assert [tone(points) for points in (0.04, 0.5, 2, 9, -0.5, -2, -9)] == [
        "", "gain-1", "gain-2", "gain-3", "loss-1", "loss-2", "loss-3"
    ]  # fmt: skip


def test_confusions_are_shares_of_the_truth_and_the_costliest_pair_leads() -> None:
    matrix = np.array([[90, 10, 0], [2, 6, 0], [0, 0, 0]])
    rows = confusion_table(matrix, ["road", "car", "tree"], "").rows
    assert [[cell.text for cell in row.cells] for row in rows] == [["90", "10", ""], ["25", "75", ""], ["", "", ""]]
    assert confused_pairs(matrix, ["road", "car", "tree"]) == [
        "road taken for car: 10.0 % of its pixels, 9.26 % of all",
        "car taken for road: 25.0 % of its pixels, 1.85 % of all",
    ]


def test_durations_are_words() -> None:
    assert [duration(s) for s in (0.4, 59.7, 200, 7500)] == ["0 s", "1 min 0 s", "3 min 20 s", "2 h 5 min"]


def test_a_line_is_thinned_evenly_and_keeps_its_ends() -> None:
    points = [Point(step, step / 2) for step in range(10_000)]
    kept = thinned(points, 100)
    assert len(kept) <= 101 and kept[0] == points[0] and kept[-1] == points[-1]
    assert {after.step - before.step for before, after in itertools.pairwise(kept[:-1])} == {100}
    assert thinned(points[:100], 100) == points[:100]


def test_a_chart_puts_every_value_where_its_axes_say() -> None:
    lines = {"empty": [], "a": [Point(0, 0.0), Point(100, 1.0)], "b": [Point(50, 0.5)]}
    chart = line_chart("Loss", "", lines, {"context": 50, "joint": 1000}, from_zero=True)
    assert chart is not None
    middle = (LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2
    assert [line.number for line in chart.lines] == [1, 2]  # colours stay with the runs
    assert chart.lines[0].points == f"{LEFT},{BOTTOM} {RIGHT},{TOP}" and chart.lines[1].dots == [middle]
    assert (chart.x_ticks[0].label, chart.x_ticks[-1].label) == ("0", "100")
    assert [start.label for start in chart.stage_starts] == ["context"] and chart.stage_starts[0].place == middle[0]
    assert "a: from 0 at step 0 to 1 at step 100" in chart.description
    assert line_chart("Loss", "", {"a": []}, {}, from_zero=True) is None


@pytest.mark.parametrize("values", [[0.0], [3.0], [-2.0], [1e-30, 2e-30], [1e30, -1e30], [5.0, 5.0]])
def test_any_values_can_be_drawn(values: list[float]) -> None:
    points = [Point(step, value) for step, value in enumerate(values)]
    chart = line_chart("Loss", "", {"a": points}, {}, from_zero=False)
    assert chart is not None
    places = [tuple(map(float, pair.split(","))) for pair in chart.lines[0].points.split()]
    assert all(LEFT <= x <= RIGHT and TOP <= y <= BOTTOM for x, y in places)


def test_a_long_training_is_drawn_by_few_points() -> None:
    chart = line_chart("Loss", "", {"a": [Point(step, 1 / (step + 1)) for step in range(100_000)]}, {}, from_zero=True)
    assert chart is not None and len(chart.lines[0].points.split()) <= MOST_POINTS + 1 and not chart.lines[0].dots


def test_the_measurement_nearest_to_the_best_step_counts() -> None:
    points = [Point(10, 1.0), Point(20, 2.0), Point(30, 3.0)]
    assert nearest(points, 21) == points[1] and nearest(points, None) == points[2]


def test_pictures_stop_where_the_page_would_weigh_too_much() -> None:
    budget, noise = PictureBudget(20_000), np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    uris = [budget.photograph(noise) for _ in range(9)]
    assert uris[0].startswith("data:image/jpeg;base64,") and uris[-1] == ""
    assert sum(map(len, uris)) <= 20_000 and budget.num_left_out == uris.count("")


def test_label_colours_come_through_exactly() -> None:
    colors = np.random.default_rng(1).integers(0, 256, (200, 3), np.uint8)
    labels = colors[np.arange(40 * 50).reshape(40, 50) % 200]
    uri = PictureBudget().flat(labels)
    shown = decoded(base64.b64decode(uri.partition(",")[2]))
    assert shown is not None and (shown == labels).all()
    assert decoded(b"no picture") is None
