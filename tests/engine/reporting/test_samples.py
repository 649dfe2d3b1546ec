"""A drawn sample holds the loader's own pixels; the frame, the hatching and the colours lie where they say."""

import numpy as np
import pytest
from numpy.typing import NDArray

from configs.schema import VOID
from engine.reporting.samples import FRAME_PX, sample_panels

PALETTE = [(200, 0, 0), (0, 200, 0)]
GRAY = 101  # Pillow drops what comes after the point
BLENDED = [[150, 50, 50], [50, 150, 50]]  # halfway from it
CONTOUR = [[190, 10, 10], [10, 190, 10]]  # nine tenths of the way
HATCHED = [[193, 193, 193], [40, 40, 40]]  # six tenths of the way to white and to black

Pixels = NDArray[np.uint8]


def drawn(image_HW3: Pixels, label_HW: Pixels, side_px: int = 0) -> tuple[Pixels, Pixels]:
    """The two panels, what surrounds them cut off; `side_px` is the longer side, 0: as it is."""
    side_px = side_px or max(image_HW3.shape)
    canvas = np.array(sample_panels(image_HW3, label_HW, PALETTE, least_px=side_px, largest_px=side_px))
    left, right = np.split(canvas, 2, axis=1)
    inner = slice(FRAME_PX, -FRAME_PX)
    return left[inner, inner], right[inner, inner]


def noise(height: int, width: int) -> Pixels:
    """Without black and white, the colours of the frame."""
    return np.random.default_rng(0).integers(1, 255, (height, width, 3)).astype(np.uint8)


def frame(shape: tuple[int, ...], margin: int) -> NDArray[np.bool_]:
    """The pixels within FRAME_PX of the region that lies `margin` inside, the region left out."""
    inside, around = np.zeros(shape[:2], bool), np.zeros(shape[:2], bool)
    inside[margin:-margin, margin:-margin] = True
    around[margin - FRAME_PX : FRAME_PX - margin, margin - FRAME_PX : FRAME_PX - margin] = True
    return around & ~inside


def test_the_first_panel_is_the_image_to_the_last_bit_and_the_frame_lies_around_the_scored_region() -> None:
    image_HW3, margin = noise(60, 90), 12
    left, right = drawn(image_HW3, np.zeros((36, 66), np.uint8))
    is_frame_HW = frame(left.shape, margin)
    assert (left != image_HW3).any(-1).tolist() == is_frame_HW.tolist()
    assert np.isin(left[is_frame_HW], (0, 255)).all() and np.array_equal(left[is_frame_HW], right[is_frame_HW])


def test_an_image_without_margin_is_framed_from_outside() -> None:
    image_HW3 = noise(30, 40)
    left, _ = drawn(image_HW3, np.zeros((30, 40), np.uint8))
    assert np.array_equal(left, image_HW3)
    canvas = np.array(sample_panels(image_HW3, np.zeros((30, 40), np.uint8), PALETTE, least_px=40, largest_px=40))
    assert (canvas[FRAME_PX - 1, 1:45] == 255).all() and (canvas[:, FRAME_PX - 1][1:35] == 255).all()


def test_the_margin_is_dimmed_alike_and_stays_visible() -> None:
    image_HW3, margin = noise(60, 90), 12
    _, right = drawn(image_HW3, np.zeros((36, 66), np.uint8))
    is_margin_HW = np.ones((60, 90), bool)
    is_margin_HW[margin - FRAME_PX : FRAME_PX - margin, margin - FRAME_PX : FRAME_PX - margin] = False
    dimmed, original = right[is_margin_HW].astype(float), image_HW3[is_margin_HW].astype(float)
    assert dimmed.mean() < 0.6 * original.mean()
    assert np.corrcoef(dimmed.ravel(), original.ravel())[0, 1] > 0.99


def test_void_and_only_void_is_hatched_and_classes_have_their_colours() -> None:
    label_HW = np.full((36, 36), VOID, np.uint8)
    label_HW[:12], label_HW[12:24] = 0, 1
    _, right = drawn(np.full((60, 60, 3), GRAY, np.uint8), label_HW)
    scored = right[12:-12, 12:-12]
    assert np.unique(scored[label_HW == VOID], axis=0).tolist() == sorted(HATCHED)
    assert (scored[:11] == BLENDED[0]).all() and (scored[11] == CONTOUR[0]).all()
    assert (scored[13:23] == BLENDED[1]).all() and (scored[[12, 23]] == CONTOUR[1]).all()
    stripes = scored[30, :, 0] == HATCHED[0][0]
    lengths = np.diff(np.flatnonzero(np.diff(stripes)))
    assert len(lengths) > 5 and set(lengths.tolist()) == {3}


@pytest.mark.parametrize(("side_px", "times"), [(180, 3), (20, 1 / 3)])
def test_image_label_and_frame_keep_their_places_at_other_sizes(side_px: int, times: float) -> None:
    label_HW = np.zeros((36, 36), np.uint8)
    label_HW[18:] = VOID
    _, right = drawn(np.full((60, 60, 3), GRAY, np.uint8), label_HW, side_px)
    is_hatched_HW = (right[..., None, :] == np.array(HATCHED)).all(-1).any(-1)
    rows, columns = (np.flatnonzero(is_hatched_HW.any(axis)) for axis in (1, 0))
    assert (rows[0], rows[-1] + 1) == (round(30 * times), round(48 * times))
    assert (columns[0], columns[-1] + 1) == (round(12 * times), round(48 * times))


@pytest.mark.parametrize("size", [(3000, 4000), (30, 40), (1, 5000), (5000, 1), (8, 8)])
def test_panels_are_bounded_whatever_the_image(size: tuple[int, int]) -> None:
    panels = sample_panels(
        np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8), PALETTE, least_px=256, largest_px=512
    )
    assert max(panels.width / 2, panels.height) <= 512 + 2 * FRAME_PX
    assert max(panels.width / 2, panels.height) > 128
