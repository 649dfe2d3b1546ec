"""Changes of light, blur and noise: the image alone changes, never its label.

Each function takes an image of bytes, HW3, a strength above 0, and the generator that it draws from. They are not
albumentations': of 2.0.8, RandomGamma rounds down, PlanckianJitter never leaves a picture as it is, and Illumination
stops at 0.2 and is lopsided at oblique angles.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.schema import AugmentConfig
from data.streams import SampleKey, Stream, generator

Pixels = NDArray[np.uint8]

LEVELS = np.arange(256, dtype=np.float64)
WHITE = 255.0


def shade(image_HW3: Pixels, strength: float, random: np.random.Generator) -> Pixels:
    """Light that falls from one side: a factor of at most 1 + strength at one corner, its inverse at the other.

    Its logarithm is linear along a direction drawn evenly; at the picture's centre it is 1.
    """
    angle, largest = random.uniform(0, 2 * np.pi), (1 + strength) ** random.random()
    across, down = np.array((np.cos(angle), np.sin(angle))) / (abs(np.cos(angle)) + abs(np.sin(angle)))
    height, width = image_HW3.shape[:2]
    factor_H, factor_W = largest ** np.linspace(-down, down, height), largest ** np.linspace(-across, across, width)
    factor_HW = np.outer(factor_H, factor_W).astype(np.float32)
    return np.asarray(cv2.multiply(image_HW3, cv2.merge([factor_HW] * 3), dtype=cv2.CV_8U), np.uint8)


def brightness(image_HW3: Pixels, strength: float, random: np.random.Generator) -> Pixels:
    """All pixels times a factor from 1 / (1 + strength) to 1 + strength."""
    return _looked_up(image_HW3, [LEVELS * _factor(strength, random)] * 3)


def white_balance(image_HW3: Pixels, strength: float, random: np.random.Generator) -> Pixels:
    """Warmer or cooler: red times such a factor, blue divided by it."""
    factor = _factor(strength, random)
    return _looked_up(image_HW3, [LEVELS * factor, LEVELS, LEVELS / factor])


def blur_px(image_HW3: Pixels, strength: float, random: np.random.Generator) -> Pixels:
    """A Gaussian of standard deviation from 0 to `strength` pixels."""
    sigma_px = max(random.uniform(0, strength), 1e-3)  # 0 would leave the choice to OpenCV
    blurred = cv2.GaussianBlur(image_HW3, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.uint8)


def noise(image_HW3: Pixels, strength: float, random: np.random.Generator) -> Pixels:
    """Gaussian noise in every channel of every pixel, of standard deviation from 0 to `strength` of white."""
    std = np.float32(random.uniform(0, strength) * WHITE)
    added_HW3 = random.standard_normal(image_HW3.shape, np.float32) * std
    return np.asarray(cv2.add(image_HW3, added_HW3, dtype=cv2.CV_8U), np.uint8)


def gamma(image_HW3: Pixels, strength: float, random: np.random.Generator) -> Pixels:
    """An exponent from 1 / (1 + strength) to 1 + strength; black and white stay."""
    return _looked_up(image_HW3, [WHITE * (LEVELS / WHITE) ** _factor(strength, random)] * 3)


# In the order of nature: the light of the scene, the lens, the sensor, the camera's curve. A key of data.augment each.
CHANGES: dict[Stream, Callable[[Pixels, float, np.random.Generator], Pixels]] = {
    "shade": shade,
    "brightness": brightness,
    "white_balance": white_balance,
    "blur_px": blur_px,
    "noise": noise,
    "gamma": gamma,
}


def changed_light(image_HW3: Pixels, augment: AugmentConfig, key: SampleKey) -> Pixels:
    """The image with every change that `augment` sets, each drawn from a stream of its own."""
    for name, change in CHANGES.items():
        strength: float = getattr(augment, name)
        if strength > 0:
            image_HW3 = change(image_HW3, strength, generator(key, name))
    return image_HW3


def _factor(strength: float, random: np.random.Generator) -> float:
    """As likely f as 1 / f."""
    return float((1 + strength) ** random.uniform(-1, 1))


def _looked_up(image_HW3: Pixels, tables: list[NDArray[np.float64]]) -> Pixels:
    """One table of 256 levels for each channel."""
    table = np.stack(tables, -1).round().clip(0, WHITE).astype(np.uint8)
    return np.asarray(cv2.LUT(image_HW3, table[None]), np.uint8)
