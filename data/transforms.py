"""Random changes of a training sample, and the cut to the crop with its margin. The only importer of albumentations."""

import math
import os
import random
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.errors import UserError
from configs.schema import AugmentConfig, Mirror
from data.labels import VOID

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # importing it would ask the package index for news
from albumentations import (
    BasicTransform,
    CenterCrop,
    ColorJitter,
    Compose,
    DualTransform,
    HorizontalFlip,
    RandomCrop,
    RandomScale,
    Rotate,
)


class TrainTransform:
    """Scale, rotate, crop, mirror and color one sample: the same sample for the same key, in any process.

    The crop's place is uniform over the image. Rotation turns around its centre, and the cut before the rotation is so
    wide that every pixel of the result comes from the padded image: real pixels fill the margin where there are any.
    With `mirror=cells` no pixel is mirrored (`leaves_mirror`): `is_mirrored` tells whose cells are to be.
    """

    def __init__(
        self, augment: AugmentConfig, crop_px: tuple[int, int], margin_px: int, mirror: Mirror = "pixels"
    ) -> None:
        self.leaves_mirror = augment.mirror and mirror == "cells"
        self._margin_px = margin_px
        input_px = crop_px[0] + 2 * margin_px, crop_px[1] + 2 * margin_px
        spare_px = rotation_spare_px(input_px, augment.rotation_deg)
        cut_px = input_px[0] + 2 * spare_px[0], input_px[1] + 2 * spare_px[1]
        steps: list[BasicTransform] = []
        if (augment.scale_min, augment.scale_max) != (1, 1):
            steps.append(_scale(augment.scale_min, augment.scale_max))
        steps.append(_Pad((margin_px + spare_px[0], margin_px + spare_px[1]), cut_px))
        steps.append(RandomCrop(*cut_px))
        if augment.rotation_deg > 0:
            limit = (-augment.rotation_deg, augment.rotation_deg)
            steps.append(Rotate(limit, mask_interpolation=cv2.INTER_NEAREST, fill_mask=VOID, p=1))
            steps.append(CenterCrop(*input_px))
        if augment.mirror and not self.leaves_mirror:
            steps.append(HorizontalFlip(p=0.5))
        if augment.color > 0:
            steps.append(_color(augment.color))
        self._compose = Compose(steps, strict=True)

    def __call__(
        self, image_HW3: NDArray[np.uint8], label_HW: NDArray[np.uint8], key: tuple[int, int, int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Image of the crop and its margin, label of the crop alone; `key` is (seed, epoch, index).

        Padding follows the paper: every image by the margin, and then, if still too small, at the bottom and the right;
        images by reflection that does not repeat the edge pixel, labels by void.
        """
        self._compose.set_random_state(*_generators(key))
        result = self._compose(image=image_HW3, mask=label_HW)
        height, width = result["mask"].shape
        margin = self._margin_px
        return result["image"], result["mask"][margin : height - margin, margin : width - margin]


class WholeTransform(TrainTransform):
    """The whole image as it is, padded to the crop and its margin: what maps are kept of."""

    def __init__(self, crop_px: tuple[int, int], margin_px: int) -> None:
        super().__init__(AugmentConfig(mirror=False), crop_px, margin_px)
        self._crop_px = crop_px

    def __call__(
        self, image_HW3: NDArray[np.uint8], label_HW: NDArray[np.uint8], key: tuple[int, int, int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Raises UserError for an image that the crop would cut."""
        refuse_cut((label_HW.shape[0], label_HW.shape[1]), self._crop_px)
        return super().__call__(image_HW3, label_HW, key)


def refuse_cut(size_px: tuple[int, int], crop_px: Sequence[int]) -> None:
    """Raises UserError for an image of this height and width of which a crop would not hold the whole."""
    (height, width) = size_px
    if height > crop_px[0] or width > crop_px[1]:
        raise UserError(
            f"an image of {height}x{width} is larger than stage.context.crop_px={list(crop_px)}, and maps are kept of "
            "whole images; set crop_px to the largest image, or stage.context.maps=computed"
        )


def is_mirrored(key: tuple[int, int, int]) -> bool:
    """Whether the cells of the sample (seed, epoch, index) are mirrored: one in two, whatever else becomes of it."""
    return bool(np.random.default_rng(_sources(key)[2]).integers(2))


def _generators(key: tuple[int, int, int]) -> tuple[np.random.Generator, random.Random]:
    """The two sources albumentations draws from."""
    for_numpy, for_python, _ = _sources(key)
    return np.random.default_rng(for_numpy), random.Random(for_python.generate_state(4).tobytes())


def _sources(key: tuple[int, int, int]) -> list[np.random.SeedSequence]:
    """Of numpy's generator, of Python's, and of the mirrored cells.

    Spawning keeps them apart from `SeedSequence((seed, epoch))`, which orders the epoch and equals (seed, epoch, 0).
    """
    return np.random.SeedSequence(key).spawn(3)


def rotation_spare_px(input_px: tuple[int, int], rotation_deg: float) -> tuple[int, int]:
    """Pixels to cut above and below, and left and right of the input, so that no rotation brings anything from outside.

    Angles up to `rotation_deg` to either side are counted.
    """
    if rotation_deg == 0:
        return 0, 0
    height, width = input_px
    spare = []
    for side, other in ((height, width), (width, height)):
        angle = min(math.radians(rotation_deg), math.atan2(other, side))  # beyond it the rectangle's extent falls again
        extent = side * math.cos(angle) + other * math.sin(angle)
        spare.append(math.ceil((extent - side) / 2) + 1)  # 1: the neighbour that interpolation reads
    return spare[0], spare[1]


def _scale(smallest: float, largest: float) -> RandomScale:
    return _Scale(
        scale_limit=(smallest - 1, largest - 1),
        area_for_downscale="image",
        mask_interpolation=cv2.INTER_NEAREST_EXACT,  # INTER_NEAREST shifts labels half a pixel against the image
        p=1,
    )


def _color(strength: float) -> ColorJitter:
    half = 0.5 * strength
    return ColorJitter(brightness=half, contrast=half, saturation=half, hue=0.1 * strength, p=1)


class _Scale(RandomScale):  # type: ignore[misc]
    """One factor for both axes, raised where a thin image would lose its last pixel."""

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        shortest = min(params["shape"][:2])
        return {"scale": max(params["scale"], (1 + 1e-6) / shortest)}  # 1e-6: int(49 * (1 / 49)) is 0


class _Pad(DualTransform):  # type: ignore[misc]
    """Albumentations' own padding would reflect labels, too."""

    def __init__(self, margins_px: tuple[int, int], smallest_px: tuple[int, int]) -> None:
        super().__init__(p=1)
        self.margins_px = margins_px
        self.smallest_px = smallest_px

    def _sides(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        (top, left), (height, width) = self.margins_px, shape[:2]
        bottom = max(top, self.smallest_px[0] - height - top)
        right = max(left, self.smallest_px[1] - width - left)
        return top, bottom, left, right

    def apply(self, img: NDArray[np.uint8], **params: Any) -> NDArray[np.uint8]:
        """Reflection is repeated as often as needed; a side of one pixel is repeated itself."""
        sides = self._sides(img.shape)
        return np.asarray(cv2.copyMakeBorder(img, *sides, cv2.BORDER_REFLECT_101), np.uint8) if any(sides) else img

    def apply_to_mask(self, mask: NDArray[np.uint8], **params: Any) -> NDArray[np.uint8]:
        sides = self._sides(mask.shape)
        padded = cv2.copyMakeBorder(mask, *sides, cv2.BORDER_CONSTANT, value=VOID) if any(sides) else mask
        return np.asarray(padded, np.uint8)
