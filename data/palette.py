"""Colours of classes: Pascal VOC's map, and one for data sets that bring none of their own."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]

MAX_CLASSES = 254  # train ids 0..253
# What no class may look like: void is drawn white, errors red, and black looks like nothing at all.
_RESERVED: tuple[Color, ...] = ((255, 255, 255), (200, 30, 30), (0, 0, 0))
_LEVELS = range(0, 256, 15)
_LEAST_CHROMA, _LEAST_LUMA, _LARGEST_LUMA = 60, 60, 210


def voc_palette(num_classes: int) -> tuple[Color, ...]:
    """The VOC colour map: the bits of the id, three at a time, become the high bits of red, green and blue."""

    def channel(index: int, bit: int) -> int:
        return sum(((index >> (3 * place + bit)) & 1) << (7 - place) for place in range(3))

    return tuple((channel(i, 0), channel(i, 1), channel(i, 2)) for i in range(num_classes))


def distinct_palette(num_classes: int) -> tuple[Color, ...]:
    """Clear colours, each as far as can be from those before it; more classes change none of the first."""
    return _distinct_colors()[:num_classes]


@cache
def _distinct_colors() -> tuple[Color, ...]:
    """Whole numbers all the way, so that every machine makes the same colours."""
    grid_N3 = np.stack(np.meshgrid(_LEVELS, _LEVELS, _LEVELS, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int64)
    luma_N = grid_N3 @ [299, 587, 114] // 1000
    chroma_N = grid_N3.max(1) - grid_N3.min(1)
    clear_N = (chroma_N >= _LEAST_CHROMA) & (luma_N >= _LEAST_LUMA) & (luma_N <= _LARGEST_LUMA)
    grid_N3 = grid_N3[clear_N]
    nearest_N = np.full(len(grid_N3), np.iinfo(np.int64).max)
    chosen: list[Color] = list(_RESERVED)
    for number in range(len(_RESERVED) + MAX_CLASSES):
        if number == len(chosen):
            red, green, blue = grid_N3[nearest_N.argmax()].tolist()
            chosen.append((red, green, blue))
        nearest_N = np.minimum(nearest_N, _distance(grid_N3, chosen[number]))
    return tuple(chosen[len(_RESERVED) :])


def _distance(colors_N3: NDArray[np.int64], color: Color) -> NDArray[np.int64]:
    """Squared, as the eye weighs it: https://www.compuphase.com/cmetric.htm ("redmean"), times 256."""
    red_N, green_N, blue_N = (colors_N3 - np.array(color)).T
    mean_red_N = (colors_N3[:, 0] + color[0]) // 2
    distance_N: NDArray[np.int64] = (512 + mean_red_N) * red_N**2 + 1024 * green_N**2 + (767 - mean_red_N) * blue_N**2
    return distance_N
