"""Crops that favour rare classes: what is drawn is what was announced, and holds what it was drawn for."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from configs.schema import AugmentConfig
from data.balance import ClassBalance
from data.labels import CAMVID, VOID
from data.loaders import Batch, shuffled_keys, train_batches
from data.transforms import TrainTransform
from tests.helpers.pictures import Pixels, noise

NUM_CROPS = 5000
RARE, ABSENT = 6, 10  # of the scene below
PLAIN = AugmentConfig(mirror=False)


class Street:
    """Labels of 20x28 px: of four images all hold classes 0 and 1, the last a pixel of class 6, none the others."""

    classes = CAMVID

    def __len__(self) -> int:
        return 4

    def name(self, index: int) -> str:
        return f"street_{index}"

    def read(self, index: int) -> tuple[Pixels, Pixels]:
        """The label of pixel (row, column) is in red, the image's number in green, so that a crop knows its own."""
        label = np.zeros((20, 28), np.uint8)
        label[12 + index :] = 1
        label[:2] = VOID
        if index == 3:
            label[7, 20] = RARE
        image = noise(20, 28, index)
        image[..., 0], image[..., 1] = label, index
        return image, label

    def describe(self) -> str:
        return "streets"


def counts_of(images: Street) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    labels = (images.read(index)[1] for index in range(len(images)))
    return np.array([[np.count_nonzero(label == k) for k in range(images.classes.num_classes)] for label in labels])


def misfit_probability(drawn: Sequence[float], expected: Sequence[float]) -> float:
    """Of a chi-square as large as this one or larger, if the draws follow the expectation."""
    pairs = [(found, wanted) for found, wanted in zip(drawn, expected, strict=True) if wanted > 0]
    assert sum(drawn) == sum(found for found, _ in pairs), "something was drawn that is never expected"
    statistic = sum((found - wanted) ** 2 / wanted for found, wanted in pairs)
    return float(chi2.sf(statistic, len(pairs) - 1))


def have_same_bits(one: Batch, other: Batch) -> bool:
    return torch.equal(one.images_B3HW, other.images_B3HW) and torch.equal(one.labels_BHW, other.labels_BHW)


@pytest.fixture(scope="module")
def balance() -> ClassBalance:
    return ClassBalance(0.6, counts_of(Street()))


def test_shares_are_those_worked_out_by_hand() -> None:
    balance = ClassBalance(0.5, np.array([[3, 1, 0], [4, 0, 0]]))
    assert balance.anchor_shares_C().tolist() == [0.25, 0.25, 0]
    # Half of the samples are spread evenly; of a quarter each half is of either image, or all is of the first.
    assert balance.image_shares_N().tolist() == [0.25 + 0.125 + 0.25, 0.25 + 0.125]
    assert balance.pixel_shares_C().tolist() == [(0.625 * 3 + 0.375 * 4) / 4, 0.625 / 4, 0]


def test_classes_and_images_of_5000_crops_are_drawn_as_expected_and_each_crop_holds_its_class(
    balance: ClassBalance,
) -> None:
    images, transform = Street(), TrainTransform(AugmentConfig(), (8, 8), 3)
    classes, drawn_from = Counter[int | None](), Counter[int]()
    for number in range(NUM_CROPS):
        key = (1, number // 4, number % 4)
        image, anchor_class = balance.choose(key)
        _, label_HW = transform(*images.read(image), key, anchor_class)
        assert anchor_class is None or (label_HW == anchor_class).any()
        classes[anchor_class] += 1
        drawn_from[image] += 1
    anchors = NUM_CROPS * balance.anchor_shares_C()
    drawn = [*(classes[k] for k in range(CAMVID.num_classes)), classes[None]]
    assert misfit_probability(drawn, [*anchors, NUM_CROPS - anchors.sum()]) > 0.001
    assert misfit_probability([drawn_from[i] for i in range(4)], list(NUM_CROPS * balance.image_shares_N())) > 0.001
    assert classes[RARE] > 900 > NUM_CROPS * counts_of(images)[:, RARE].sum() / (4 * 20 * 28)
    assert classes[ABSENT] == 0


def test_pixels_of_whole_images_are_drawn_in_the_shares_that_are_expected(balance: ClassBalance) -> None:
    images = Street()
    transform = TrainTransform(AugmentConfig(vertical_mirror=True), (24, 32), 0)  # larger than the images
    pixels_C = np.zeros(CAMVID.num_classes)
    stream = train_batches(images, transform, balance, micro_batch=100, first=0, last=20, seed=0, workers=0)
    for batch in stream:
        pixels_C += np.bincount(batch.labels_BHW.numpy().ravel(), minlength=VOID + 1)[: CAMVID.num_classes]
    expected_C = balance.pixel_shares_C()
    # 2,000 images; the share of class 1 differs between them by 0.05, that of class 6 is 1 in 504 or nothing.
    assert np.abs(pixels_C / pixels_C.sum() - expected_C).max() < 4 * 0.05 / np.sqrt(2000)
    assert pixels_C[RARE] / pixels_C.sum() == pytest.approx(expected_C[RARE], rel=0.12)


def test_a_sample_outside_the_share_is_the_same_to_the_bit_as_without_balance(balance: ClassBalance) -> None:
    images, transform = Street(), TrainTransform(AugmentConfig(scale_min=0.5, scale_max=2, color=0.5), (8, 8), 3)
    plain, balanced = (
        list(train_batches(images, transform, chosen, micro_batch=1, first=0, last=80, seed=2, workers=0))
        for chosen in (None, balance)
    )
    same = [have_same_bits(one, other) for one, other in zip(plain, balanced, strict=True)]
    keys = [key for (key,) in shuffled_keys(4, micro_batch=1, first=0, last=80, seed=2)]
    outside = [balance.choose((2, *key)).anchor_class is None for key in keys]
    assert all(equal for equal, is_outside in zip(same, outside, strict=True) if is_outside)
    assert 15 < sum(outside) < 50 and sum(same) < 60


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_and_a_later_start_give_the_same_bits_and_the_right_names(
    workers: int, balance: ClassBalance
) -> None:
    images = Street()
    transform = TrainTransform(AugmentConfig(scale_min=0.5, scale_max=2, rotation_deg=20, color=0.5), (8, 8), 3)
    whole = list(train_batches(images, transform, balance, micro_batch=3, first=0, last=9, seed=5, workers=0))
    later = train_batches(images, transform, balance, micro_batch=3, first=4, last=9, seed=5, workers=workers)
    for one, other in zip(whole[4:], later, strict=True):
        assert one.names == other.names and have_same_bits(one, other)
    plain = TrainTransform(PLAIN, (8, 8), 3)
    named = [
        (name, int(image[1, 5, 5]))
        for batch in train_batches(images, plain, balance, micro_batch=3, first=0, last=9, seed=5, workers=workers)
        for name, image in zip(batch.names, batch.images_B3HW, strict=True)
    ]
    assert all(name == f"street_{number}" for name, number in named)
    assert len({name for name, _ in named}) == 4


def lone_pixel(row: int, column: int, size_px: tuple[int, int] = (60, 90)) -> tuple[Pixels, Pixels]:
    label = np.zeros(size_px, np.uint8)
    label[row, column] = RARE
    return noise(*size_px), label


@pytest.mark.parametrize(("row", "column"), [(0, 0), (59, 89), (0, 89), (30, 45), (31, 2)])
def test_a_lone_pixel_is_in_every_crop_whatever_is_scaled_mirrored_and_turned(row: int, column: int) -> None:
    augment = AugmentConfig(scale_min=1, scale_max=2, vertical_mirror=True, quarter_turns=True, color=0.3)
    for crop_px in ((16, 24), (40, 8), (96, 128)):
        transform = TrainTransform(augment, crop_px, 5)
        for index in range(20):
            _, label_HW = transform(*lone_pixel(row, column), (0, 0, index), RARE)
            assert (label_HW == RARE).any(), (crop_px, index)


def test_the_anchor_is_anywhere_in_its_crop() -> None:
    transform = TrainTransform(PLAIN, (8, 16), 4)
    places = np.zeros((8, 16))
    for index in range(2560):
        places += transform(*lone_pixel(30, 45), (0, 0, index), RARE)[1] == RARE
    assert misfit_probability(places.ravel(), [20.0] * 128) > 0.001


def test_every_pixel_of_the_class_is_as_likely_to_be_the_anchor() -> None:
    label = np.zeros((40, 40), np.uint8)
    pixels = [(5, 5), (5, 30), (20, 20), (33, 8), (33, 33)]
    for pixel in pixels:
        label[pixel] = RARE
    transform = TrainTransform(PLAIN, (8, 8), 0)
    image = np.stack([label, *np.mgrid[:40, :40].astype(np.uint8)], axis=2)
    found = Counter[tuple[int, int]]()
    for index in range(1000):
        image_HW3, label_HW = transform(image, label, (0, 0, index), RARE)
        ((row, column),) = np.argwhere(label_HW == RARE)
        found[int(image_HW3[row, column, 1]), int(image_HW3[row, column, 2])] += 1
    assert misfit_probability([found[pixel] for pixel in pixels], [200.0] * 5) > 0.001


@pytest.mark.parametrize("rotation_deg", [10, 45, 180])
@pytest.mark.parametrize("crop_px", [(32, 32), (24, 48)])
def test_no_rotation_turns_the_anchor_out_unless_it_lies_near_the_edge_of_the_image(
    rotation_deg: float, crop_px: tuple[int, int]
) -> None:
    label = np.zeros((160, 180), np.uint8)
    label[79:82, 89:92] = RARE  # rotated by nearest neighbours, a lone pixel may have none
    transform = TrainTransform(AugmentConfig(rotation_deg=rotation_deg), crop_px, 6)
    for index in range(60):
        assert (transform(noise(160, 180), label, (0, 0, index), RARE)[1] == RARE).any()


def test_a_class_that_the_scale_has_swallowed_leaves_the_crop_where_it_would_be() -> None:
    augment = AugmentConfig(mirror=False, scale_min=0.4, scale_max=0.6)
    transform = TrainTransform(augment, (8, 8), 2)
    swallowed = 0
    for index in range(60):
        image_HW3, label_HW = transform(*lone_pixel(31, 47), (0, 0, index), RARE)
        if not (label_HW == RARE).any():
            swallowed += 1
            assert np.array_equal(image_HW3, transform(*lone_pixel(31, 47), (0, 0, index))[0])
    assert 20 < swallowed < 60
