"""The size at which the network sees an image: one function, for training, scoring and labelling."""

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.schema import ResizeConfig
from data.labels import Labels

MOST_ENLARGED = 4.0


def resized_size(resize: ResizeConfig, size_px: tuple[int, int]) -> tuple[int, int]:
    """Height and width at which an image of this height and width is seen; no side vanishes."""
    factor = resize.factor or 1.0
    if resize.long_px is not None:
        factor = resize.long_px / max(size_px)
    if resize.short_px is not None:
        factor = resize.short_px / min(size_px)
    height, width = (max(1, round(side * min(factor, MOST_ENLARGED))) for side in size_px)
    return height, width


def resized_image(image_HW3: NDArray[np.uint8], resize: ResizeConfig) -> NDArray[np.uint8]:
    """RGB bytes. Smaller: the mean over the area of each new pixel; larger: bilinear between the centres of pixels.

    Of an image that keeps its size, the same array.
    """
    size_px = image_HW3.shape[0], image_HW3.shape[1]
    height, width = resized_size(resize, size_px)
    if (height, width) == size_px:
        return image_HW3
    is_smaller = height * width < image_HW3.shape[0] * image_HW3.shape[1]
    interpolation = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image_HW3, (width, height), interpolation=interpolation), np.uint8)


def resized_label(label_HW: Labels, resize: ResizeConfig) -> Labels:
    """Train ids at the size of `resized_image`, each from the pixel under the new one's centre."""
    size_px = label_HW.shape[0], label_HW.shape[1]
    height, width = resized_size(resize, size_px)
    if (height, width) == size_px:
        return label_HW
    return np.asarray(cv2.resize(label_HW, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def resize_line(resize: ResizeConfig) -> str:
    """What is done to images, for people; empty if nothing is."""
    if resize.factor is not None and resize.factor != 1:
        return f"images are resized to {resize.factor:g} times their size"
    sides = {"long": resize.long_px, "short": resize.short_px}
    given = [f"a {side} side of {side_px} px" for side, side_px in sides.items() if side_px is not None]
    return f"images are resized to {given[0]}" if given else ""
