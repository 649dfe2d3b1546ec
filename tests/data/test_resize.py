"""Images at another size: the same pixels for training, scoring and labelling, and labels that stay labels."""

import cv2
import numpy as np
import pytest
import torch

from configs.schema import AugmentConfig, ResizeConfig
from data.balance import ClassBalance
from data.labels import CAMVID, VOID
from data.loaders import train_batches, validation_batches
from data.resize import resize_line, resized_image, resized_label, resized_size
from data.transforms import TrainTransform
from tests.helpers.pictures import Pixels, noise

NOTHING = ResizeConfig()
HALF = ResizeConfig(factor=0.5)


class Noise:
    """Image i is noise, its label the red channel, of which every value is a class or void."""

    classes, has_labels = CAMVID, True

    def __init__(self, *sizes_px: tuple[int, int]) -> None:
        self.sizes_px = sizes_px

    def __len__(self) -> int:
        return len(self.sizes_px)

    def name(self, index: int) -> str:
        return f"{index}"

    def read(self, index: int) -> tuple[Pixels, Pixels]:
        image = noise(*self.sizes_px[index], seed=index)
        return image, np.where(image[..., 0] < CAMVID.num_classes, image[..., 0], VOID).astype(np.uint8)

    def describe(self) -> str:
        return "noise"


@pytest.mark.parametrize(
    ("resize", "size_px", "expected"),
    [
        (ResizeConfig(long_px=1024), (3000, 4000), (768, 1024)),
        (ResizeConfig(long_px=1024), (4000, 3000), (1024, 768)),
        (ResizeConfig(short_px=768), (3000, 4000), (768, 1024)),
        (ResizeConfig(factor=0.25), (3001, 4001), (750, 1000)),
        (ResizeConfig(long_px=1000), (3, 4000), (1, 1000)),  # 0.75 rows
        (ResizeConfig(long_px=8), (1, 4000), (1, 8)),  # no side vanishes
        (ResizeConfig(long_px=65_536), (60, 80), (240, 320)),  # 4 times, and no more
        (ResizeConfig(short_px=512), (100, 3000), (400, 12_000)),
        (ResizeConfig(factor=1.0), (61, 83), (61, 83)),
        (NOTHING, (61, 83), (61, 83)),
    ],
)
def test_sizes_by_hand(resize: ResizeConfig, size_px: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resized_size(resize, size_px) == expected


def test_a_smaller_pixel_is_the_mean_of_the_area_that_it_covers() -> None:
    image = noise(40, 60)
    means = image.reshape(10, 4, 15, 4, 3).mean(axis=(1, 3))
    difference = np.abs(resized_image(image, ResizeConfig(factor=0.25)) - means)
    assert difference.max() <= 0.5 + 1e-6


def test_a_larger_image_goes_through_the_centres_of_its_pixels() -> None:
    """A ramp of 8 a column: at twice the size the pixels lie a quarter of a column before and after each centre."""
    ramp = np.tile((8 * np.arange(16, dtype=np.uint8))[None, :, None], (16, 1, 3))
    doubled = resized_image(ramp, ResizeConfig(factor=2.0))[0, :, 0].astype(int)
    assert doubled[1:-1].tolist() == [value for column in range(16) for value in (8 * column - 2, 8 * column + 2)][1:-1]


def test_every_label_is_that_of_the_pixel_under_its_centre_at_any_factor() -> None:
    label = noise(37, 53)[..., 0]
    for long_px in (8, 17, 31, 52, 54, 100, 212):
        resize = ResizeConfig(long_px=long_px)
        resized = resized_label(label, resize)
        rows, columns = (
            ((np.arange(num) + 0.5) * before / num).astype(int)
            for num, before in zip(resized.shape, label.shape, strict=True)
        )
        assert resized.shape == resized_size(resize, (37, 53)) == resized_image(noise(37, 53), resize).shape[:2]
        assert np.array_equal(resized, label[np.ix_(rows, columns)])


@pytest.mark.parametrize("resize", [NOTHING, ResizeConfig(factor=1.0), ResizeConfig(long_px=83)])
def test_what_keeps_its_size_is_the_same_array(resize: ResizeConfig) -> None:
    image = noise(61, 83)
    assert resized_image(image, resize) is image and resized_label(image[..., 0], resize).base is image


@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_sample_is_cut_from_what_opencv_makes_of_image_and_label(workers: int) -> None:
    images, transform = Noise((80, 120), (120, 64)), TrainTransform(AugmentConfig(scale_max=1.5), (32, 40), 5)
    stream = train_batches(
        images, transform, micro_batch=1, first=0, last=4, seed=3, workers=workers, resize=ResizeConfig(long_px=50)
    )
    keys = {"0": [], "1": []}  # type: dict[str, list[int]]
    for number, batch in enumerate(stream):
        image, label = images.read(int(batch.names[0]))
        size = (50, 33) if batch.names == ["0"] else (27, 50)  # width, height: 80 * 50 / 120 and 64 * 50 / 120
        by_hand = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        label_by_hand = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST_EXACT)
        key = (3, number // 2, int(batch.names[0]))
        expected, expected_label = transform(np.asarray(by_hand, np.uint8), np.asarray(label_by_hand, np.uint8), key)
        assert np.array_equal(batch.images_B3HW[0].permute(1, 2, 0).numpy(), expected)
        assert np.array_equal(batch.labels_BHW[0].numpy(), expected_label)
        keys[batch.names[0]].append(number)
    assert all(len(numbers) == 2 for numbers in keys.values())


@pytest.mark.parametrize("workers", [0, 2])
def test_validation_resizes_images_and_leaves_labels(workers: int) -> None:
    """A batch holds images of one size that have labels of one size."""
    images = Noise((40, 60), (40, 60), (20, 30), (20, 30), (40, 60))
    long = list(validation_batches(images, batch=8, workers=workers, resize=ResizeConfig(long_px=30)))
    assert [batch.names for batch in long] == [["0", "1"], ["2", "3"], ["4"]]
    assert all(batch.images_B3HW.shape[1:] == (3, 20, 30) for batch in long)
    assert [batch.labels_BHW.shape[1:] for batch in long] == [(40, 60), (20, 30), (40, 60)]
    by_hand = cv2.resize(images.read(1)[0], (30, 20), interpolation=cv2.INTER_AREA)
    assert np.array_equal(long[0].images_B3HW[1].permute(1, 2, 0).numpy(), by_hand)
    assert np.array_equal(long[0].labels_BHW[1].numpy(), images.read(1)[1])


def test_a_class_whose_pixels_vanish_leaves_the_crop_where_it_would_have_been() -> None:
    """Of the one pixel of class 7, at the corner that no centre of a half-size pixel falls on, nothing is left."""

    class OnePixel(Noise):
        def read(self, index: int) -> tuple[Pixels, Pixels]:
            label = np.zeros(self.sizes_px[index], np.uint8)
            label[0, 0] = 7
            return noise(*self.sizes_px[index]), label

    images, transform = OnePixel((64, 64)), TrainTransform(AugmentConfig(mirror=False), (8, 8), 0)
    counts_NC = np.zeros((1, CAMVID.num_classes), np.int64)
    counts_NC[0, [0, 7]] = 64 * 64 - 1, 1
    anchored, plain = (
        list(train_batches(images, transform, chosen, micro_batch=1, first=0, last=12, seed=0, workers=0, resize=HALF))
        for chosen in (ClassBalance(1.0, counts_NC), None)
    )
    balance = ClassBalance(1.0, counts_NC)
    classes = [balance.choose((0, epoch, 0)).anchor_class for epoch in range(12)]
    assert 7 in classes
    for anchor_class, ours, theirs in zip(classes, anchored, plain, strict=True):
        assert not (ours.labels_BHW == 7).any()
        assert anchor_class == 0 or torch.equal(ours.images_B3HW, theirs.images_B3HW)


@pytest.mark.parametrize(
    ("resize", "line"),
    [
        (ResizeConfig(long_px=1024), "images are resized to a long side of 1024 px"),
        (ResizeConfig(short_px=512), "images are resized to a short side of 512 px"),
        (ResizeConfig(factor=0.25), "images are resized to 0.25 times their size"),
        (ResizeConfig(factor=1.0), ""),
        (NOTHING, ""),
    ],
)
def test_a_line_says_what_is_done(resize: ResizeConfig, line: str) -> None:
    assert resize_line(resize) == line
