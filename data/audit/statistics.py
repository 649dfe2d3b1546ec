"""What is worth knowing of a split: its sizes, its classes, the mean and the deviation of its pixels."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.audit.split import Split


@dataclass(frozen=True)
class SplitStatistics:
    """Sizes are height, width in pixels. Of no image that can be read: empty, and None."""

    num_images: int
    num_readable: int  # image and label
    sizes_px: dict[tuple[int, int], int]  # how many images of each, the smallest area first
    label_kinds: dict[str, int]  # how many files of each kind
    class_pixels: list[int]
    void_pixels: int
    mean_rgb: list[float] | None  # of all pixels of all images, 0..255
    deviation_rgb: list[float] | None

    @property
    def class_shares(self) -> list[float]:
        """Of the pixels that are not void."""
        total = max(sum(self.class_pixels), 1)
        return [pixels / total for pixels in self.class_pixels]

    @property
    def void_share(self) -> float:
        return self.void_pixels / max(sum(self.class_pixels) + self.void_pixels, 1)


def statistics_of(split: Split) -> SplitStatistics:
    images = [record.image for record in split.records if record.image]
    sizes = Counter(image.size_px for image in images)
    pixels_256, num_classes = split.pixels_256, split.images.classes.num_classes if split.images else 0
    mean_3 = deviation_3 = None
    if images:
        areas_N = np.array([image.size_px[0] * image.size_px[1] for image in images], np.float64)
        mean_3 = np.average([image.mean_3 for image in images], axis=0, weights=areas_N)
        square_3 = np.average([image.mean_square_3 for image in images], axis=0, weights=areas_N)
        deviation_3 = np.sqrt(np.maximum(square_3 - mean_3**2, 0))
    return SplitStatistics(
        num_images=len(split.records),
        num_readable=sum(not record.problems for record in split.records),
        sizes_px={size: sizes[size] for size in sorted(sizes, key=lambda size: (size[0] * size[1], size))},
        label_kinds=dict(Counter(record.label_kind for record in split.records if record.label_kind).most_common()),
        class_pixels=[int(pixels) for pixels in pixels_256[:num_classes]],
        void_pixels=int(pixels_256[-1]),
        mean_rgb=_rounded(mean_3),
        deviation_rgb=_rounded(deviation_3),
    )


def _rounded(values_3: NDArray[np.float64] | None) -> list[float] | None:
    return None if values_3 is None else [round(float(value), 2) for value in values_3]
