"""Random changes of a training sample, and the cut to the crop with its margin. The only importer of albumentations."""

import math
import os
import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from configs.errors import UserError
from configs.schema import AugmentConfig, Mirror
from data.labels import VOID
from data.light import changed_light
from data.streams import SampleKey, generator, sources

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

Size = tuple[int, int]  # height, width, in pixels
UNCHANGED = AugmentConfig(mirror=False)
Completed = Callable[[Size], Size]  # of a label: what it is padded to


class TrainTransform:
    """Turn, scale, crop, rotate, mirror, color and light one sample: the same for the same key, in any process.

    The crop's place is uniform over the image, or over the places at which the scored region holds a pixel of a class
    that is to be in it. Rotation turns around the crop's centre, and the cut before the rotation is so wide that every
    pixel of the result comes from the padded image: real pixels fill the margin where there are any. With
    `mirror=cells` no pixel is mirrored (`leaves_mirror`): `is_mirrored` tells whose cells are to be.
    """

    def __init__(
        self, augment: AugmentConfig, crop_px: tuple[int, int], margin_px: int, mirror: Mirror = "pixels"
    ) -> None:
        self.leaves_mirror = augment.mirror and mirror == "cells"
        self._augment = augment
        self._margin_px = margin_px
        input_px = crop_px[0] + 2 * margin_px, crop_px[1] + 2 * margin_px
        spare_px = rotation_spare_px(input_px, augment.rotation_deg)
        cut_px = input_px[0] + 2 * spare_px[0], input_px[1] + 2 * spare_px[1]
        steps: list[BasicTransform] = []
        if (augment.scale_min, augment.scale_max) != (1, 1):
            steps.append(_scale(augment.scale_min, augment.scale_max))
        border_px = margin_px + spare_px[0], margin_px + spare_px[1]
        self._crop = _Crop(crop_px, border_px, augment.rotation_deg)
        steps += [_Pad(border_px, cut_px), self._crop]
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
        self,
        image_HW3: NDArray[np.uint8],
        label_HW: NDArray[np.uint8],
        key: SampleKey,
        anchor_class: int | None = None,
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Image of the crop and its margin, label of the crop alone.

        Padding follows the paper: every image by the margin, and then, if still too small, at the bottom and the right;
        images by reflection that does not repeat the edge pixel, labels by void. With `anchor_class` the crop holds a
        pixel of it, drawn evenly from those that the scaled label has; where none is left, its place is uniform.
        """
        if self._augment.vertical_mirror and generator(key, "vertical_mirror").integers(2):
            image_HW3, label_HW = image_HW3[::-1], label_HW[::-1]
        if self._augment.quarter_turns:
            turns = int(generator(key, "quarter_turns").integers(4))
            image_HW3, label_HW = _turned(image_HW3, turns), _turned(label_HW, turns)
        self._crop.anchor_class = anchor_class
        self._compose.set_random_state(*_generators(key))
        result = self._compose(image=np.ascontiguousarray(image_HW3), mask=np.ascontiguousarray(label_HW))
        height, width = result["mask"].shape
        margin = self._margin_px
        crop_HW = result["mask"][margin : height - margin, margin : width - margin]
        return changed_light(result["image"], self._augment, key), crop_HW


class WholeTransform:
    """The whole image as a training sample: `completed` to a size, then changed as a crop of that size.

    What maps are kept of.
    """

    def __init__(self, augment: AugmentConfig, margin_px: int, completed: Completed, mirror: Mirror = "pixels") -> None:
        self._of_size = cache(lambda size_px: TrainTransform(augment, size_px, margin_px, mirror))
        self._completed = completed
        self.leaves_mirror = False  # what is kept is mirrored where it is drawn from

    def __call__(
        self,
        image_HW3: NDArray[np.uint8],
        label_HW: NDArray[np.uint8],
        key: SampleKey,
        anchor_class: int | None = None,
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        return self._of_size(self._completed(label_HW.shape))(image_HW3, label_HW, key)


class NoTransform:
    """The sample as it is, of any size."""

    leaves_mirror = False

    def __call__(
        self,
        image_HW3: NDArray[np.uint8],
        label_HW: NDArray[np.uint8],
        key: SampleKey,
        anchor_class: int | None = None,
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        return image_HW3, label_HW


SampleTransform = TrainTransform | WholeTransform | NoTransform


def holding_all(crop_px: Sequence[int]) -> Completed:
    """Every image becomes as large as the crop. What it returns raises UserError for an image that would be cut."""

    def completed(size_px: Size) -> Size:
        refuse_cut(size_px, crop_px)
        return crop_px[0], crop_px[1]

    return completed


def in_cells(stride_px: int) -> Completed:
    """Every image ends with a whole cell."""
    return lambda size_px: (-(-size_px[0] // stride_px) * stride_px, -(-size_px[1] // stride_px) * stride_px)


def refuse_cut(size_px: tuple[int, int], crop_px: Sequence[int]) -> None:
    """Raises UserError for an image of this height and width of which a crop would not hold the whole."""
    (height, width) = size_px
    if height > crop_px[0] or width > crop_px[1]:
        raise UserError(
            f"an image of {height}x{width} is larger than stage.context.crop_px={list(crop_px)}, and maps are kept of "
            "whole images; set crop_px to the largest image, or stage.context.maps=computed"
        )


def _turned(array: NDArray[np.uint8], turns: int) -> NDArray[np.uint8]:
    """By so many quarter turns to the left; OpenCV copies colours several times faster than numpy."""
    codes = (None, cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_CLOCKWISE)
    code = codes[turns]
    return array if code is None else np.asarray(cv2.rotate(np.ascontiguousarray(array), code), np.uint8)


def is_mirrored(key: SampleKey) -> bool:
    """Whether the cells of a sample are mirrored: one in two, whatever else becomes of it."""
    return bool(generator(key, "mirrored cells").integers(2))


def _generators(key: SampleKey) -> tuple[np.random.Generator, random.Random]:
    """The two sources albumentations draws from."""
    for_python = sources(key, "geometry, Python's").generate_state(4).tobytes()
    return generator(key, "geometry"), random.Random(for_python)


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


class _Crop(RandomCrop):  # type: ignore[misc]
    """The crop with its border, somewhere; with `anchor_class` where the crop holds a pixel of that class.

    `border_px` stands above and below, and left and right of the crop, in the cut as in the padded image. Where the
    crop is going to be rotated, the pixel lies so near its centre that it stays inside; at the image's edge, where no
    crop has it there, as near as can be, and a rotation may turn it out.
    """

    def __init__(self, crop_px: tuple[int, int], border_px: tuple[int, int], rotation_deg: float) -> None:
        super().__init__(crop_px[0] + 2 * border_px[0], crop_px[1] + 2 * border_px[1])
        self.crop_px = crop_px
        self.border_px = border_px
        # A region of the crop's shape that is smaller than the crop by this factor stays inside when it is rotated.
        spare_px = rotation_spare_px(crop_px, rotation_deg)
        part = min(side / (side + 2 * spare) for side, spare in zip(crop_px, spare_px, strict=True))
        self.inset_px = [int((1 - part) / 2 * side) for side in crop_px]
        self.anchor_class: int | None = None  # of the next sample

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        drawn: dict[str, Any] = super().get_params_dependent_on_data(params, data)
        if self.anchor_class is None:
            return drawn
        positions = np.flatnonzero(data["mask"] == self.anchor_class)
        if len(positions) == 0:  # the scale has swallowed them
            return drawn
        anchor = np.unravel_index(self.random_generator.choice(positions), params["shape"][:2])
        cut_px = self.height, self.width
        top, left = (self._start(axis, int(anchor[axis]), params["shape"][axis] - cut_px[axis]) for axis in (0, 1))
        return {**drawn, "crop_coords": (left, top, left + self.width, top + self.height)}

    def _start(self, axis: int, anchor: int, last: int) -> int:
        """Of the cut along an axis, from 0 to `last`: uniform over those whose crop holds the anchor."""
        latest = anchor - self.border_px[axis]  # the anchor is the crop's first pixel then
        earliest = latest - self.crop_px[axis] + 1
        bounds = np.clip((earliest + self.inset_px[axis], latest - self.inset_px[axis]), 0, last)
        return int(self.random_generator.integers(bounds[0], bounds[1] + 1))
