"""The objects of a COCO image drawn into one label map, by pycocotools' own masks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from configs.errors import UserError
from data.labels import VOID, Labels

COCO_HINT = (
    'the annotations of COCO are drawn by pycocotools, which this Python has not; install it by pip install ".[coco]"'
)
MIN_COORDINATES = 6  # of a polygon: three points


def require_pycocotools() -> None:
    """Raises UserError where it is not installed."""
    try:
        import pycocotools.mask  # noqa: F401
    except ImportError as error:
        raise UserError(COCO_HINT) from error


def draw(annotations: Iterable[Mapping[str, Any]], class_ids: Mapping[int, int], height: int, width: int) -> Labels:
    """Train ids HW, 0 where no object is; `class_ids` are by category.

    Crowds are void and lie lowest, for who is drawn by himself in a crowd is known. Then the larger object comes before
    the smaller: the bottle on the table and the person on the sofa stay whole. Of one size, the lower id comes first.
    The order in the file plays no part. What other categories cover is not given to `draw`, so they hide nothing.
    Raises ValueError for an annotation that cannot be drawn.
    """
    from pycocotools import mask

    objects = []
    for annotation in annotations:
        try:
            rle = _rle(annotation["segmentation"], height, width)
            crowd = bool(annotation.get("iscrowd", 0))
            rank = (not crowd, -int(mask.area(rle)), int(annotation["id"]))
            objects.append((rank, VOID if crowd else class_ids[annotation["category_id"]], rle))
        except (ValueError, TypeError, LookupError) as error:
            raise ValueError(f"annotation {annotation.get('id')}: {type(error).__name__}: {error}") from error
    label_HW = np.zeros((height, width), dtype=np.uint8)
    for _, value, rle in sorted(objects, key=lambda each: each[0]):
        label_HW[mask.decode(rle) == 1] = value
    return label_HW


def _rle(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """A mask as pycocotools has it.

    Of polygons, of runs, and of runs in COCO's compressed text. All are checked here: pycocotools hands them to C
    as they are. Raises ValueError, TypeError or LookupError.
    """
    from pycocotools import mask

    if isinstance(segmentation, list):
        _check_polygons(segmentation, reach=2 * max(height, width))
        rle: dict[str, Any] = mask.merge(mask.frPyObjects(segmentation, height, width))
        return rle
    size, counts = segmentation["size"], segmentation["counts"]
    if isinstance(counts, str):
        counts = _counts(counts)
    if size != [height, width]:
        raise ValueError(f"runs for {size} (height, width), and the image is {[height, width]}")
    if not all(isinstance(count, int) and count >= 0 for count in counts) or sum(counts) != height * width:
        raise ValueError(f"runs of {sum(counts)} pixels, and the image has {height * width}")
    rle = mask.frPyObjects({"size": size, "counts": counts}, height, width)
    return rle


def _check_polygons(polygons: Sequence[Sequence[float]], reach: int) -> None:
    if not polygons:
        raise ValueError("no polygon")
    for polygon in polygons:
        if len(polygon) < MIN_COORDINATES or len(polygon) % 2:
            raise ValueError(f"a polygon of {len(polygon)} numbers; x and y of three points or more are required")
        if not all(-reach <= number <= reach for number in polygon):
            raise ValueError(f"a polygon from {min(polygon)} to {max(polygon)}, far outside of the image")


def _counts(text: str) -> list[int]:
    """The runs in a compressed text: 5 bits a character from "0" on, the lowest first, a sixth says that more follow.

    From the fourth on they are the difference to the run two before.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - ord("0")
        if not 0 <= digit < 64 or shift > 30:
            raise ValueError(f"{character!r} in compressed runs")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:  # negative
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("compressed runs that end in the middle of a number")
    return counts
