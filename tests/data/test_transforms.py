"""A training sample: random, yet a pure function of its key, and nothing in it that was not in the file."""

from itertools import product

import numpy as np
import pytest

from configs.schema import AugmentConfig
from data.labels import VOID
from data.transforms import TrainTransform, is_mirrored, rotation_spare_px
from tests.helpers.pictures import Pixels, noise

EVERYTHING = AugmentConfig(mirror=True, scale_min=0.5, scale_max=2, rotation_deg=30, color=0.8)
NOTHING = AugmentConfig(mirror=False)


def coordinates(height: int, width: int) -> Pixels:
    """Red is the column and green the row of every pixel."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows, np.zeros_like(rows)], axis=2).astype(np.uint8)


def test_the_same_key_gives_the_same_sample_whatever_was_drawn_before() -> None:
    image, label = noise(60, 70), noise(60, 70)[..., 0]
    used = TrainTransform(EVERYTHING, (32, 40), 8)
    for index in range(5):
        used(image, label, (1, 0, index))
    fresh = TrainTransform(EVERYTHING, (32, 40), 8)
    for ours, theirs in zip(used(image, label, (1, 2, 3)), fresh(image, label, (1, 2, 3)), strict=True):
        assert np.array_equal(ours, theirs)


def test_another_seed_epoch_or_index_gives_another_sample() -> None:
    image, label = noise(60, 70), noise(60, 70)[..., 0]
    transform = TrainTransform(EVERYTHING, (32, 40), 8)
    samples = {transform(image, label, key)[0].tobytes() for key in product((0, 1), (0, 1, 2), (0, 1, 2))}
    assert len(samples) == 18


def test_mirror_scale_and_position_are_independent_of_each_other() -> None:
    # Red rises by 2 a column: its slope tells mirror and scale apart, its first value the place of the crop.
    image = coordinates(100, 100) * 2
    transform = TrainTransform(AugmentConfig(mirror=True, scale_min=1.25, scale_max=2.0), (24, 24), 0)
    draws = []
    for index in range(400):
        red, green, _ = transform(image, image[..., 0], (0, 0, index))[0].astype(int).transpose(2, 0, 1)
        rise = int(red[0, -1] - red[0, 0])
        draws.append((rise > 0, abs(rise) > 2 * 23 / 1.625, min(red[0, 0], red[0, -1]) > 84, green[0, 0] > 84))
    table = np.array(draws)
    assert 170 < table[:, 0].sum() < 230
    for first, second in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)):
        counts = np.histogram2d(table[:, first], table[:, second], bins=2)[0]
        expected = counts.sum(1, keepdims=True) * counts.sum(0, keepdims=True) / counts.sum()
        assert ((counts - expected) ** 2 / expected).sum() < 10.83  # one degree of freedom, one in a thousand


def test_a_transform_that_leaves_the_mirror_to_the_cells_mirrors_no_pixel() -> None:
    image, label = noise(60, 70), noise(60, 70)[..., 0]
    leaves = TrainTransform(EVERYTHING, (32, 40), 8, "cells")
    without = TrainTransform(EVERYTHING.model_copy(update={"mirror": False}), (32, 40), 8)
    assert leaves.leaves_mirror and not without.leaves_mirror
    for index in range(20):
        for ours, theirs in zip(leaves(image, label, (1, 2, index)), without(image, label, (1, 2, index)), strict=True):
            assert np.array_equal(ours, theirs)


def test_cells_of_one_sample_in_two_are_mirrored_in_every_epoch_others() -> None:
    draws = np.array([[[is_mirrored((seed, epoch, index)) for index in range(20)] for epoch in range(20)]
                      for seed in range(2)])  # fmt: skip
    assert all(170 < drawn.sum() < 230 for drawn in draws)  # of 400; the standard deviation is 10
    assert len({epoch.tobytes() for drawn in draws for epoch in drawn}) == 40
    assert len({sample.tobytes() for drawn in draws for sample in drawn.T}) == 40


def test_mirrored_cells_do_not_depend_on_the_place_of_the_crop() -> None:
    image = coordinates(100, 100)
    transform = TrainTransform(AugmentConfig(mirror=True), (24, 24), 0, "cells")
    lefts: dict[bool, list[int]] = {False: [], True: []}
    for index in range(400):
        lefts[is_mirrored((0, 0, index))].append(int(transform(image, image[..., 0], (0, 0, index))[0][0, 0, 0]))
    means = [float(np.mean(lefts[mirrored])) for mirrored in (False, True)]
    assert abs(means[0] - means[1]) < 3 * 22.2 * 2 / 20  # uniform over 77 places: std 22.2; 200 draws each


@pytest.mark.parametrize("size_px", [(64, 80), (20, 90), (1, 7)])
def test_no_label_appears_that_was_not_there_except_void(size_px: tuple[int, int]) -> None:
    label = np.random.default_rng(1).choice(np.array([0, 5, 15, 18], np.uint8), size_px)
    transform = TrainTransform(EVERYTHING, (32, 32), 8)
    for index in range(40):
        assert set(np.unique(transform(noise(*size_px), label, (0, 0, index))[1])) <= {0, 5, 15, 18, VOID}


def test_a_small_image_is_labelled_once_and_void_elsewhere() -> None:
    image, label = noise(10, 13), np.arange(130, dtype=np.uint8).reshape(10, 13)
    transform = TrainTransform(NOTHING, (24, 32), 6)
    input_HW3, label_HW = transform(image, label, (0, 0, 0))
    assert np.array_equal(label_HW[:10, :13], label)
    assert np.count_nonzero(label_HW != VOID) == 130
    assert np.array_equal(input_HW3, np.pad(image, ((6, 20), (6, 25), (0, 0)), mode="reflect"))


def test_a_large_image_gains_no_void_without_rotation() -> None:
    label = np.zeros((80, 90), np.uint8)
    transform = TrainTransform(AugmentConfig(mirror=True, scale_min=0.5, scale_max=2, color=1), (40, 40), 16)
    assert not any(transform(noise(80, 90), label, (0, 0, index))[1].any() for index in range(30))


def test_real_pixels_fill_the_margin_and_reflection_only_what_lies_outside() -> None:
    image = coordinates(20, 24)
    label = (image[..., 1] * 7 + image[..., 0]).astype(np.uint8)
    padded = np.pad(image, ((6, 6), (6, 6), (0, 0)), mode="reflect")
    transform = TrainTransform(NOTHING, (17, 21), 6)
    corners = set()
    for index in range(200):
        input_HW3, label_HW = transform(image, label, (0, 0, index))
        left, top, _ = (int(value) for value in input_HW3[6, 6])
        corners.add((top, left))
        assert np.array_equal(input_HW3, padded[top : top + 29, left : left + 33])
        assert np.array_equal(label_HW, label[top : top + 17, left : left + 21])
    assert corners == set(product(range(4), range(4)))  # every place, the edges included


def test_image_and_label_move_together() -> None:
    image = coordinates(120, 200)
    label = (image[..., 0] // 20 + 16 * (image[..., 1] // 20)).astype(np.uint8)
    transform = TrainTransform(AugmentConfig(mirror=True, scale_min=0.7, scale_max=2, rotation_deg=40), (64, 96), 10)
    labelled = 0
    for index in range(50):
        input_HW3, label_HW = transform(image, label, (0, 0, index))
        red, green = input_HW3[10:-10, 10:-10, 0].astype(int), input_HW3[10:-10, 10:-10, 1].astype(int)
        known = label_HW != VOID
        labelled += int(known.sum())
        assert np.abs(red - (label_HW % 16 * 20 + 9.5))[known].max() <= 11.5  # half a block and rounding
        assert np.abs(green - (label_HW // 16 * 20 + 9.5))[known].max() <= 11.5
    assert labelled > 0.6 * 50 * 64 * 96


def test_labels_are_not_shifted_against_a_scaled_image() -> None:
    label = np.zeros((4, 61), np.uint8)
    label[:, 31:] = 1
    image = np.repeat(label[..., None] * np.uint8(255), 3, axis=2)
    transform = TrainTransform(AugmentConfig(mirror=False, scale_min=0.5, scale_max=2), (8, 122), 0)
    shifts_px = []
    for index in range(100):
        input_HW3, label_HW = transform(image, label, (0, 0, index))
        known = label_HW[0] != VOID
        shifts_px.append(float(label_HW[0][known].sum() - input_HW3[0, known, 0].sum() / 255))
    assert abs(np.mean(shifts_px)) < 0.1  # nearest neighbours counted from the pixel's corner: 0.5


def test_rotation_brings_nothing_from_outside_the_reflected_image() -> None:
    image, label = np.full((40, 60, 3), 200, np.uint8), np.full((40, 60), 3, np.uint8)
    transform = TrainTransform(AugmentConfig(rotation_deg=180), (32, 48), 7)
    voids = 0
    for index in range(50):
        input_HW3, label_HW = transform(image, label, (0, 0, index))
        assert input_HW3.shape == (46, 62, 3) and (input_HW3 == 200).all()
        assert set(np.unique(label_HW)) <= {3, VOID}
        voids += int((label_HW == VOID).any())
    assert voids > 25


def test_the_cut_before_a_rotation_holds_the_rotated_input() -> None:
    assert rotation_spare_px((100, 100), 0) == (0, 0)
    assert rotation_spare_px((100, 100), 45) == (22, 22)  # (141.42 - 100) / 2 = 20.71, up, and 1
    assert rotation_spare_px((100, 100), 180) == (22, 22)  # 45 degrees are the worst for a square
    assert rotation_spare_px((30, 40), 180) == (11, 6)  # the diagonal is 50


@pytest.mark.parametrize("augment", [NOTHING, EVERYTHING], ids=["nothing", "everything"])
@pytest.mark.parametrize("size_px", [(1, 1), (1, 200), (200, 1), (2, 3), (31, 49)])
def test_images_of_any_size_give_the_crop(size_px: tuple[int, int], augment: AugmentConfig) -> None:
    transform = TrainTransform(augment, (16, 24), 20)
    for index in range(10):
        input_HW3, label_HW = transform(noise(*size_px), np.zeros(size_px, np.uint8), (0, 0, index))
        assert input_HW3.shape == (56, 64, 3) and label_HW.shape == (16, 24)
        assert input_HW3.dtype == label_HW.dtype == np.uint8
        assert augment is EVERYTHING or (label_HW == 0).any()


def test_a_row_of_one_pixel_is_repeated_over_the_margin() -> None:
    image = noise(1, 30)
    input_HW3, _ = TrainTransform(NOTHING, (4, 30), 5)(image, image[..., 0], (0, 0, 0))
    assert (input_HW3 == input_HW3[:1]).all()


def test_color_changes_the_image_and_never_the_label() -> None:
    image, label = noise(32, 32), noise(32, 32)[..., 0]
    input_HW3, label_HW = TrainTransform(AugmentConfig(mirror=False, color=0.5), (32, 32), 0)(image, label, (0, 0, 0))
    assert np.array_equal(label_HW, label)
    assert 2 < np.abs(input_HW3.astype(int) - image).mean() < 100


TURNS = AugmentConfig(mirror=False, quarter_turns=True)
UPSIDE = AugmentConfig(mirror=False, vertical_mirror=True)


def test_quarter_turns_are_all_as_likely_and_turn_label_void_and_margin_with_the_image() -> None:
    image, label = noise(10, 13), np.arange(130, dtype=np.uint8).reshape(10, 13)
    transform = TrainTransform(TURNS, (24, 32), 6)  # larger than the image either way
    expected = []
    for turns in range(4):
        height, width = np.rot90(label, turns).shape
        padded_HW = np.pad(np.rot90(label, turns), ((0, 24 - height), (0, 32 - width)), constant_values=VOID)
        rows, columns = (6, 30 - height), (6, 38 - width)
        expected.append((np.pad(np.rot90(image, turns), (rows, columns, (0, 0)), mode="reflect"), padded_HW))
    counts = [0, 0, 0, 0]
    for index in range(400):
        input_HW3, label_HW = transform(image, label, (0, 0, index))
        (turns,) = (turns for turns in range(4) if np.array_equal(label_HW, expected[turns][1]))
        counts[turns] += 1
        assert np.array_equal(input_HW3, expected[turns][0])
    assert sum((count - 100) ** 2 / 100 for count in counts) < 16.3  # three degrees of freedom, one in a thousand


def test_a_vertical_mirror_turns_one_sample_in_two_upside_down() -> None:
    image, label = noise(24, 32), noise(24, 32)[..., 1]
    transform = TrainTransform(UPSIDE, (24, 32), 0)
    mirrored = 0
    for index in range(400):
        input_HW3, label_HW = transform(image, label, (0, 0, index))
        upside_down = np.array_equal(label_HW, label[::-1])
        assert np.array_equal(input_HW3, image[::-1] if upside_down else image)
        assert upside_down or np.array_equal(label_HW, label)
        mirrored += upside_down
    assert 160 < mirrored < 240  # standard deviation 10


def test_both_mirrors_and_quarter_turns_are_independent_and_give_all_eight_symmetries_alike() -> None:
    image, label = noise(24, 24), noise(24, 24)[..., 2]
    transform = TrainTransform(AugmentConfig(vertical_mirror=True, quarter_turns=True), (24, 24), 0)
    symmetries = [np.rot90(part, turns).tobytes() for part in (label, label[::-1]) for turns in range(4)]
    counts = np.zeros(8)
    for index in range(800):
        counts[symmetries.index(transform(image, label, (0, 0, index))[1].tobytes())] += 1
    assert ((counts - 100) ** 2 / 100).sum() < 24.3  # seven degrees of freedom, one in a thousand


def test_turns_leave_the_place_of_the_crop_alone() -> None:
    image, label = coordinates(64, 64), coordinates(64, 64)[..., 0]
    plain, turned = (TrainTransform(augment, (24, 24), 4) for augment in (NOTHING, TURNS))
    for index in range(40):
        crop_HW3, _ = plain(image, label, (0, 0, index))
        turned_HW3, _ = turned(image, label, (0, 0, index))
        top, left = crop_HW3[4, 4, 1], crop_HW3[4, 4, 0]
        assert any(
            np.array_equal(turned_HW3[4:-4, 4:-4], np.rot90(image, turns)[top : top + 24, left : left + 24])
            for turns in range(4)
        )
