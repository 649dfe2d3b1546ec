"""Light, blur and noise on pictures whose answer is known."""

from typing import Any

import numpy as np
import pytest

from configs.schema import AugmentConfig
from data.light import CHANGES, blur_px, brightness, changed_light, gamma, shade, white_balance
from data.light import noise as grain
from data.transforms import TrainTransform
from tests.helpers.pictures import Pixels, noise

LIGHT: dict[str, Any] = {"gamma": 1, "brightness": 1, "white_balance": 0.5, "shade": 1, "blur_px": 3, "noise": 0.2}
MIDDLE = 100


def gray(level: int, height: int = 41, width: int = 61) -> Pixels:
    return np.full((height, width, 3), level, np.uint8)


def draws(number: int = 200) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in range(number)]


def assert_as_likely_up_as_down(factors: list[float], largest: float) -> None:
    """Evenly from 1 / largest to largest, on a logarithmic scale; quantization moves a factor by a hundredth."""
    places = np.log(factors) / np.log(largest)
    assert places.min() > -1.03 and places.max() < 1.03
    assert places.min() < -0.9 and places.max() > 0.9
    assert abs(places.mean()) < 4 * 0.577 / np.sqrt(len(factors))  # uniform in -1 to 1: std 0.577


def test_gamma_keeps_black_and_white_and_bends_what_lies_between() -> None:
    levels = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    exponents = []
    for random in draws():
        bent = gamma(levels, 1.0, random)[0]
        assert (bent[0] == 0).all() and (bent[255] == 255).all()
        assert (np.diff(bent.astype(int), axis=0) >= 0).all() and np.ptp(bent, axis=1).max() == 0
        exponents.append(float(np.log(bent[128, 0] / 255) / np.log(128 / 255)))
        assert np.abs(bent[:, 0] - 255 * (np.arange(256) / 255) ** exponents[-1]).max() < 3
    assert_as_likely_up_as_down(exponents, 2.0)


def test_brightness_multiplies_all_pixels_by_one_factor_and_clips_at_white() -> None:
    picture = np.concatenate([gray(MIDDLE), gray(50), gray(255)])
    factors = []
    for random in draws():
        changed = brightness(picture, 1.0, random)
        (middle, dark, white) = (np.unique(part) for part in np.split(changed, 3))
        assert len(middle) == len(dark) == len(white) == 1
        factors.append(middle[0] / MIDDLE)
        assert abs(dark[0] - 50 * factors[-1]) <= 0.75 and abs(white[0] - min(255, 255 * factors[-1])) <= 1.8
    assert_as_likely_up_as_down(factors, 2.0)


def test_white_balance_trades_red_for_blue_and_leaves_green() -> None:
    reds = []
    for random in draws():
        red, green, blue = white_balance(gray(MIDDLE), 0.5, random)[20, 30].astype(int)
        assert green == MIDDLE and abs(red * blue - MIDDLE**2) <= 0.5 * (red + blue) + 1  # half a level each
        reds.append(red / MIDDLE)
    assert_as_likely_up_as_down(reds, 1.5)


def test_shade_falls_smoothly_from_a_bright_corner_to_a_dark_one() -> None:
    bright_corners = set()
    steepest = 0.0
    for random in draws():
        shaded_HW = shade(gray(MIDDLE), 1.0, random)[..., 1].astype(int)
        assert shaded_HW[20, 30] == MIDDLE
        assert np.abs(shaded_HW * shaded_HW[::-1, ::-1] - MIDDLE**2).max() <= 151  # of a product near 100 * 100
        for axis in (0, 1):
            slopes = np.diff(shaded_HW, axis=axis)
            assert (slopes >= 0).all() or (slopes <= 0).all()
        corners = [shaded_HW[0, 0], shaded_HW[0, -1], shaded_HW[-1, 0], shaded_HW[-1, -1]]
        bright_corners.add(int(np.argmax(corners)))
        steepest = max(steepest, max(corners) / MIDDLE)
    assert bright_corners == {0, 1, 2, 3}
    assert 1.9 < steepest <= 2.0


def test_blur_spreads_an_edge_by_its_sigma_and_keeps_an_even_picture() -> None:
    edge = np.where(np.arange(61)[None, :, None] < 30, 0, 255).repeat(41, 0).repeat(3, 2).astype(np.uint8)
    sigmas = []
    for random in draws():
        spread = np.diff(blur_px(edge, 3.0, random)[20, :, 0].astype(float)) / 255  # the Gaussian itself, in 1 px steps
        centre = (spread * np.arange(60)).sum()
        assert abs(spread.sum() - 1) < 1e-9 and abs(centre - 29) < 0.05
        sigmas.append(float(np.sqrt(max((spread * (np.arange(60) - centre) ** 2).sum(), 0))))
    assert max(sigmas) < 3.05 and min(sigmas) < 0.2
    assert abs(np.mean(sigmas) - 1.5) < 4 * 0.87 / np.sqrt(200)  # uniform in 0 to 3: std 0.87
    assert (blur_px(gray(MIDDLE), 3.0, np.random.default_rng(0)) == MIDDLE).all()


def test_noise_has_no_mean_and_is_drawn_for_every_channel() -> None:
    stds = []
    for random in draws():
        difference = grain(gray(128, 60, 60), 0.1, random).astype(float) - 128
        stds.append(float(difference.std()))
        assert abs(difference.mean()) < 0.02 + 5 * stds[-1] / np.sqrt(difference.size)
        assert stds[-1] < 1 or np.abs(np.corrcoef(difference.reshape(-1, 3).T) - np.eye(3)).max() < 0.1
    assert max(stds) < 1.02 * 25.5
    assert abs(np.mean(stds) - 12.75) < 4 * 7.4 / np.sqrt(200)  # uniform in 0 to 25.5: std 7.4


def test_without_settings_the_picture_is_returned_as_it_is() -> None:
    picture = noise(8, 8)
    assert changed_light(picture, AugmentConfig(), (0, 0, 0)) is picture
    assert LIGHT.keys() == CHANGES.keys()


@pytest.mark.parametrize("name", list(LIGHT))
def test_a_change_depends_on_the_key_alone_and_on_every_part_of_it(name: str) -> None:
    picture, augment = noise(20, 24), AugmentConfig(**{name: LIGHT[name]})
    keys = [(seed, epoch, index) for seed in (5, 6) for epoch in (0, 1) for index in (0, 1)]
    first = [changed_light(picture, augment, key).tobytes() for key in keys]
    assert [changed_light(picture, augment, key).tobytes() for key in reversed(keys)] == first[::-1]
    assert len(set(first)) == len(keys)


@pytest.mark.parametrize("name", list(LIGHT))
def test_a_change_moves_neither_the_label_nor_what_the_other_options_draw(name: str) -> None:
    picture, label = noise(60, 70), noise(60, 70, 1)[..., 0]
    geometry = {"scale_min": 0.5, "scale_max": 2, "rotation_deg": 20, "color": 0.5, "vertical_mirror": True}
    plain = TrainTransform(AugmentConfig(**geometry), (32, 40), 8)
    lit = TrainTransform(AugmentConfig(**geometry, **{name: LIGHT[name]}), (32, 40), 8)
    alone = AugmentConfig(**{name: LIGHT[name]})
    num_changed = 0
    for index in range(10):
        key = (0, 0, index)
        image_HW3, label_HW = plain(picture, label, key)
        lit_image_HW3, lit_label_HW = lit(picture, label, key)
        assert np.array_equal(lit_label_HW, label_HW)
        assert np.array_equal(lit_image_HW3, changed_light(image_HW3, alone, key))
        num_changed += not np.array_equal(lit_image_HW3, image_HW3)
    assert num_changed >= 8  # the least changes are less than a level
