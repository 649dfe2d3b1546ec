"""Pictures of predictions and scores."""

import time

import numpy as np
import pytest
from matplotlib import colormaps

from configs.schema import VOID
from engine.contracts import Picture
from engine.reporting.figures import GAP_PX, MOST_NUMBERED, RIGHT_GRAY, VOID_WHITE, WRONG_RED, confusion_figure, panel


def test_error_picture_marks_wrong_red_right_gray_and_void_white() -> None:
    truth = np.array([[0, 1, VOID]], dtype=np.uint8)
    predicted = np.array([[0, 0, 0]], dtype=np.uint8)
    picture = Picture("a", np.zeros((1, 3, 3), dtype=np.uint8), truth, predicted)
    pixels = panel(picture, [(1, 2, 3), (4, 5, 6)])
    assert pixels.shape == (1, 4 * 3 + 3 * GAP_PX, 3)
    assert [tuple(pixel) for pixel in pixels[0, -3:]] == [RIGHT_GRAY, WRONG_RED, VOID_WHITE]
    assert tuple(pixels[0, 3 + GAP_PX]) == (1, 2, 3)


def test_confusion_figure_draws_rows_without_truth() -> None:
    pixels = confusion_figure([[3, 1], [0, 0]], ["road", "tree"])
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.std() > 0


@pytest.mark.parametrize("num_classes", [MOST_NUMBERED, MOST_NUMBERED + 1, 254])
def test_a_confusion_figure_is_bounded_in_time_and_size_for_any_number_of_classes(num_classes: int) -> None:
    confusion = np.random.default_rng(0).integers(1, 1000, (num_classes, num_classes))
    names = [f"a class with a very long name indeed, number {number}" for number in range(num_classes)]
    began_s = time.perf_counter()
    height, width, _ = confusion_figure(confusion.tolist(), names).shape
    assert time.perf_counter() - began_s < 5
    assert max(height, width) <= 1750


def test_a_confusion_figure_of_many_classes_shows_every_cell() -> None:
    """254 classes, each taken for the next: a dark cell in every row and column, five pixels or more a side."""
    num_classes = 254
    pixels = confusion_figure(np.roll(np.eye(num_classes, dtype=int), 1, axis=1).tolist(), ["x"] * num_classes)
    matrix = pixels[:, : int(0.9 * pixels.shape[1])]  # without the colour bar
    dark = (matrix == colormaps["Blues"](1.0, bytes=True)[:3]).all(axis=2)
    assert min(dark.any(axis=0).sum(), dark.any(axis=1).sum()) >= 5 * num_classes
    assert dark.sum() < 8 * 8 * num_classes
