"""The built-in scenes keep their promise: only the distant sky tells twins apart."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from configs.schema import ShapesConfig
from data.labels import VOID
from data.shapes import (
    BUTTERFLY,
    DAY_SKY,
    LANTERN,
    MEADOW,
    MOTH,
    NIGHT_SKY,
    SCENES,
    TULIP,
    Shapes,
    draw,
    sky_of,
)

Scene = tuple[NDArray[np.uint8], NDArray[np.uint8]]
SKIES = (DAY_SKY, NIGHT_SKY)
TWINS = (BUTTERFLY, MOTH, TULIP, LANTERN)
NEAREST_PX = 104  # the small front end and dilations 1,1,1,1,1,1,1 reach 83 px; a cell answers for 8 px about it
FARTHEST_PX = 291 - 8  # the default context module reaches 291 px


@pytest.fixture(scope="module")
def pairs() -> list[tuple[Scene, Scene]]:
    """Fifty grounds, each under both skies."""
    return [(draw("train", index, 256, "day"), draw("train", index, 256, "night")) for index in range(50)]


def lowest_sky_row(by_day: Scene, by_night: Scene) -> int:
    """The lowest row in which the sky shows, be it in the pixels or in the labels."""
    changed = (by_day[0] != by_night[0]).any(axis=2) | np.isin(by_day[1], SKIES)
    return int(np.flatnonzero(changed.any(axis=1)).max())


def twin_rows(label: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Rows of all twins and of the void borders that touch them."""
    twin = np.isin(label, TWINS)
    _, pieces = cv2.connectedComponents((twin | (label == VOID)).astype(np.uint8))
    return np.flatnonzero(np.isin(pieces, np.unique(pieces[twin])).any(axis=1))


def test_the_other_sky_changes_no_pixel_below_the_horizon(pairs: list[tuple[Scene, Scene]]) -> None:
    for by_day, by_night in pairs:
        changed = (by_day[0] != by_night[0]).any(axis=2)
        assert not (changed & ~np.isin(by_day[1], (*SKIES, VOID))).any()
        assert lowest_sky_row(by_day, by_night) < 0.2 * 256


def test_the_other_sky_swaps_the_twins_and_the_sky_and_no_other_label(pairs: list[tuple[Scene, Scene]]) -> None:
    swap = np.arange(256, dtype=np.uint8)
    swap[[DAY_SKY, BUTTERFLY, TULIP]] = NIGHT_SKY, MOTH, LANTERN
    for (_, by_day), (_, by_night) in pairs:
        assert not np.isin(by_day, (NIGHT_SKY, MOTH, LANTERN)).any()
        assert (swap[by_day] == by_night).all()


def test_the_drawn_scene_is_the_one_under_its_own_sky() -> None:
    for index in range(4):
        for drawn, expected in zip(draw("val", index, 256), draw("val", index, 256, sky_of("val", index)), strict=True):
            assert (drawn == expected).all()


def test_every_twin_lies_beyond_the_small_field_and_inside_the_large_one(pairs: list[tuple[Scene, Scene]]) -> None:
    for by_day, by_night in pairs:
        distances = twin_rows(by_day[1]) - lowest_sky_row(by_day, by_night)
        assert distances.min() >= NEAREST_PX
        assert distances.max() <= FARTHEST_PX


@pytest.mark.parametrize("size_px", [192, 320, 640])
def test_the_distances_hold_at_every_size(size_px: int) -> None:
    for index in range(3):
        by_day, by_night = (draw("val", index, size_px, sky) for sky in ("day", "night"))
        distances = twin_rows(by_day[1]) - lowest_sky_row(by_day, by_night)
        assert distances.min() >= NEAREST_PX
        assert distances.max() <= FARTHEST_PX
        assert {BUTTERFLY, TULIP} <= set(np.unique(by_day[1]))


def test_two_pixels_of_void_part_every_two_classes(pairs: list[tuple[Scene, Scene]]) -> None:
    for (_, label), _ in pairs:
        for down, right in ((0, 1), (0, 2), (1, 0), (2, 0), (1, 1)):
            here = label[: 256 - down, : 256 - right]
            there = label[down:, right:]
            assert not ((here != there) & (here != VOID) & (there != VOID)).any()


def test_every_scene_has_two_to_five_twins_of_each_pair(pairs: list[tuple[Scene, Scene]]) -> None:
    for (_, label), _ in pairs:
        for twin in (BUTTERFLY, TULIP):
            areas = cv2.connectedComponentsWithStats((label == twin).astype(np.uint8))[2][1:, cv2.CC_STAT_AREA]
            assert 2 <= (areas >= 150).sum() <= 5


def test_every_class_covers_its_share_and_void_stays_a_border() -> None:
    scenes = Shapes(ShapesConfig(), "val")
    share = np.bincount(np.concatenate([scenes.read(index)[1].ravel() for index in range(99)]), minlength=256)
    share = share / share.sum()
    assert share[: SCENES.num_classes].min() > 0.003
    assert share[MEADOW] < 0.7
    assert share[VOID] < 0.12
    assert share[SCENES.num_classes : VOID].sum() == 0


def test_two_thirds_of_the_scenes_are_by_day_in_no_fixed_order() -> None:
    for split, count in (("train", 402), ("val", 102)):
        by_day = np.array([sky_of(split, index) == "day" for index in range(count)])
        assert by_day.sum() == count * 2 // 3
        assert (by_day.reshape(-1, 3).sum(axis=1) == 2).all()
        assert all(0.5 < by_day[first::3].mean() < 0.85 for first in range(3))


def test_a_scene_is_a_pure_function_of_split_and_index() -> None:
    first, second = Shapes(ShapesConfig(), "train"), Shapes(ShapesConfig(num_train=7), "train")
    for index in (6, 0, 3):
        for one, other in zip(first.read(index), second.read(index), strict=True):
            assert (one == other).all()
    assert first.read(3)[0] is first.read(3)[0]
    assert not (first.read(0)[0] == first.read(1)[0]).all()


def test_train_and_val_share_no_scene() -> None:
    train, val = Shapes(ShapesConfig(), "train"), Shapes(ShapesConfig(), "val")
    for index in range(5):
        assert (train.read(index)[1] != val.read(index)[1]).any()


def test_arrays_are_read_only_bytes_of_the_requested_size() -> None:
    scenes = Shapes(ShapesConfig(size_px=200, num_val=3), "val")
    image, label = scenes.read(2)
    assert image.shape == (200, 200, 3)
    assert label.shape == (200, 200)
    assert image.dtype == label.dtype == np.uint8
    assert not image.flags.writeable
    assert not label.flags.writeable
    assert (len(scenes), scenes.name(2)) == (3, "val-00002")
    with pytest.raises(IndexError, match="scene 3 of 3"):
        scenes.read(3)


def test_an_unknown_split_is_refused_with_the_options() -> None:
    with pytest.raises(ValueError, match=r"'test'.*data\.train_split.*options: train, val"):
        Shapes(ShapesConfig(), "test")


def test_scenes_without_room_for_the_distance_are_refused() -> None:
    with pytest.raises(ValueError, match=r"data\.shapes\.size_px=160.*104 px"):
        Shapes(ShapesConfig().model_copy(update={"size_px": 160}), "train")
