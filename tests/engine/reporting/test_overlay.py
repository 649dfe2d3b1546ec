"""What an overlay shows, and that it has room for it whatever the picture is."""

import numpy as np
import pytest
from PIL import Image

from engine.reporting.overlay import overlay

NAMES = ["road", "a house with a long name", "tree"]
PALETTE = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]


def halves(height: int, width: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Class 0 on the left three quarters, 2 on the right one."""
    ids_HW = np.zeros((height, width), dtype=np.uint8)
    ids_HW[:, width * 3 // 4 :] = 2
    return ids_HW


def swatches(legend_HW3: np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]) -> list[tuple[int, int, int]]:
    """The palette's colours in a legend, from left to right in its first row."""
    places = {
        color: np.argwhere((legend_HW3 == color).all(-1))[:, 1].min()
        for color in PALETTE
        if (legend_HW3 == color).all(-1).any()
    }
    return sorted(places, key=lambda color: places[color])


def test_a_picture_keeps_its_place_and_half_of_its_colour() -> None:
    picture_HW3 = np.full((200, 400, 3), 100, dtype=np.uint8)
    image = np.array(overlay(picture_HW3, halves(200, 400), NAMES, PALETTE))
    assert image.shape[1] == 400 and image.shape[0] > 200
    assert image[100, 100].tolist() == [150, 50, 50]
    assert image[100, 350].tolist() == [50, 50, 150]


def test_borders_between_classes_are_drawn_in_the_colour_of_either_side() -> None:
    image = np.array(overlay(np.full((200, 400, 3), 100, dtype=np.uint8), halves(200, 400), NAMES, PALETTE))
    assert image[100, 299].tolist() == [190, 10, 10]
    assert image[100, 300].tolist() == [10, 10, 190]
    assert image[100, 298].tolist() == [150, 50, 50]


def test_the_legend_has_the_classes_that_occur_the_most_frequent_first() -> None:
    picture_HW3, ids_HW = np.zeros((200, 600, 3), dtype=np.uint8), halves(200, 600)
    assert swatches(np.array(overlay(picture_HW3, ids_HW, NAMES, PALETTE))[200:]) == [PALETTE[0], PALETTE[2]]
    assert swatches(np.array(overlay(picture_HW3, 2 - ids_HW, NAMES, PALETTE))[200:]) == [PALETTE[2], PALETTE[0]]


def test_the_legend_of_a_video_stands_still() -> None:
    """Whatever a frame shows: size, order and text are the same, and the sides are even."""
    picture_HW3 = np.zeros((201, 601, 3), dtype=np.uint8)
    frames = [
        np.array(overlay(picture_HW3, ids_HW, NAMES, PALETTE, of_video=True))
        for ids_HW in (halves(201, 601), np.full((201, 601), 1, dtype=np.uint8))
    ]
    assert np.array_equal(frames[0][202:], frames[1][202:])
    assert swatches(frames[0][201:]) == PALETTE
    assert frames[0].shape[0] % 2 == frames[0].shape[1] % 2 == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (192, 192), (1500, 2000), (1, 70_000)])
@pytest.mark.parametrize("num_classes", [2, 254])
def test_every_picture_has_a_legend_that_fits_and_can_be_saved_as_jpeg(size: tuple[int, int], num_classes: int) -> None:
    height, width = size
    ids_HW = (np.arange(height * width) % num_classes).astype(np.uint8).reshape(size)
    names, palette = [f"class number {k}" for k in range(num_classes)], [(k, 255 - k, 90) for k in range(num_classes)]
    image = overlay(np.zeros((*size, 3), dtype=np.uint8), ids_HW, names, palette)
    assert image.mode == "RGB" and max(image.size) <= 65_500
    assert image.width >= min(width, 65_500) and image.height > min(height, 100)
    text_HW = np.array(image.convert("L"))
    assert (text_HW[:, -1] < 60).all() or width > 100, "an entry is cut off at the right"


def test_names_with_line_ends_and_of_any_length_stay_on_their_line() -> None:
    picture_HW3, ids_HW = np.zeros((200, 400, 3), dtype=np.uint8), np.zeros((200, 400), dtype=np.uint8)
    plain = overlay(picture_HW3, ids_HW, ["a name", "b"], PALETTE[:2])
    assert overlay(picture_HW3, ids_HW, ["a\n\tname", "b"], PALETTE[:2]) == plain
    assert overlay(picture_HW3, ids_HW, ["n" * 10_000, "b"], PALETTE[:2]).width <= 600


@pytest.mark.parametrize("name", ["Straße", "Дорога", "δρόμος"])
def test_letters_of_other_alphabets_have_shapes_of_their_own(name: str) -> None:
    """A font without them draws one box for all."""
    picture_HW3, ids_HW = np.zeros((200, 400, 3), dtype=np.uint8), np.zeros((200, 400), dtype=np.uint8)

    def drawn(text: str) -> Image.Image:
        return overlay(picture_HW3, ids_HW, [text, "b"], PALETTE[:2])

    assert drawn(name) != drawn("\ue000" * len(name)) and drawn(name) != drawn(name[:-1] + "\ue000")
