"""Where labels may stand beside their marks without covering one another. All lengths are in pixels."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

STEP_PX = 4  # between rings of candidates around a mark
NUM_DIRECTIONS = 24
CLEARANCE_PX = 2  # between boxes
NEAR_PX = 150  # farther away a label may cover marks and lines, if only it covers no label

Point = tuple[float, float]


class Box(NamedTuple):
    left: float
    bottom: float
    right: float
    top: float

    @classmethod
    def around(cls, centre: Point, width: float, height: float) -> "Box":
        x, y = centre
        return cls(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    @property
    def centre(self) -> Point:
        return (self.left + self.right) / 2, (self.bottom + self.top) / 2

    def meets(self, other: "Box") -> bool:
        is_beside = self.left >= other.right + CLEARANCE_PX or other.left >= self.right + CLEARANCE_PX
        is_above = self.bottom >= other.top + CLEARANCE_PX or other.bottom >= self.top + CLEARANCE_PX
        return not is_beside and not is_above

    def lies_in(self, other: "Box") -> bool:
        is_between = other.left <= self.left and self.right <= other.right
        return is_between and other.bottom <= self.bottom and self.top <= other.top


def label_boxes(
    marks: Sequence[Point], sizes: Sequence[tuple[float, float]], inside: Box, avoided: Sequence[Box]
) -> list[Box]:
    """A box of its size for each mark, as near to it as the earlier ones leave room.

    Boxes never overlap and never leave `inside`, as long as it has room for all. Where there is room near the mark,
    they cover nothing that is `avoided` nor another's line to its mark, and best of all, their own line crosses no box.
    """
    placed: list[Box] = []
    in_the_way = list(avoided)
    farthest = math.hypot(inside.right - inside.left, inside.top - inside.bottom)
    for mark, size in zip(marks, sizes, strict=True):
        places = _ring_by_ring(mark, _outwards(mark, marks), farthest)
        boxes = (box for box in (Box.around(place, *size) for place in places) if box.lies_in(inside))
        box = _best(mark, boxes, placed, in_the_way) or Box.around(mark, *size)
        placed.append(box)
        in_the_way += _dots(mark, box.centre)
    return placed


def _best(mark: Point, boxes: Iterator[Box], placed: Sequence[Box], in_the_way: Sequence[Box]) -> Box | None:
    """Of boxes at a rising distance from their mark the first that meets no placed box, nothing in the way, and whose
    line to the mark crosses no placed box. Where there is none up to `NEAR_PX` away, the first whose line alone crosses
    one, or else the first that meets no placed box; None if all do.
    """
    first_with_crossing_line = first_in_the_way = None
    for box in boxes:
        if (first_with_crossing_line or first_in_the_way) and math.dist(mark, box.centre) > NEAR_PX:
            break
        if any(map(box.meets, placed)):
            continue
        first_in_the_way = first_in_the_way or box
        if any(map(box.meets, in_the_way)):
            continue
        first_with_crossing_line = first_with_crossing_line or box
        if not any(dot.meets(other) for dot in _dots(mark, box.centre) for other in placed):
            return box
    return first_with_crossing_line or first_in_the_way


def _outwards(mark: Point, marks: Sequence[Point]) -> float:
    """The direction away from the marks around this one; to the upper right where there are none."""
    near = [other for other in marks if math.dist(mark, other) < NEAR_PX]
    x, y = (mark[axis] - sum(other[axis] for other in near) / len(near) for axis in (0, 1))
    return math.atan2(y, x) if math.hypot(x, y) > 1 else math.pi / 4


def _ring_by_ring(centre: Point, outwards: float, reach: float) -> Iterator[Point]:
    """Places from the centre on; in a ring those first that lie outwards."""
    turns = sorted(range(NUM_DIRECTIONS), key=lambda turn: min(turn, NUM_DIRECTIONS - turn))
    for ring in range(1, math.ceil(reach / STEP_PX)):
        for turn in turns:
            direction = outwards + 2 * math.pi * turn / NUM_DIRECTIONS
            yield centre[0] + ring * STEP_PX * math.cos(direction), centre[1] + ring * STEP_PX * math.sin(direction)


def _dots(start: Point, end: Point) -> list[Box]:
    """A line as a row of points, close enough that no label slips through."""
    count = max(1, math.ceil(math.dist(start, end) / STEP_PX))
    steps = [step / count for step in range(count + 1)]
    return [Box.around((start[0] + t * (end[0] - start[0]), start[1] + t * (end[1] - start[1])), 0, 0) for t in steps]
