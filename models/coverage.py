"""What a dilation schedule sees of the map, before anything is trained: integers only, no torch.

A cell at offset o reaches the centre if o is a sum of one of {-d, 0, d} for each layer; the number of such sums is its
path count. 3x3 kernels treat both axes alike, so one axis tells all: in the plane a cell is reached if both of its
offsets are, and its path count is the product of theirs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from configs.schema import ContextConfig

KERNEL = 3
OFFSETS_SHOWN = 4  # of the holes, in a message


@dataclass(frozen=True)
class Coverage:
    """Figures along one axis; `path_counts` from the first to the last cell of the field, the centre in the middle."""

    field_cells: int
    path_counts: list[int]
    hole_offsets: list[int]  # the positive ones: holes are symmetric
    gcd: int
    hdc_m2: int | None
    path_spread: float
    sigma_cells: float

    @property
    def holes_per_axis(self) -> int:
        return 2 * len(self.hole_offsets)  # the centre always reaches itself


def coverage(dilations: Sequence[int]) -> Coverage:
    """Everything about a schedule of 3x3 layers. `dilations` has at least one positive element."""
    counts = path_counts(dilations)
    reach = sum(dilations)
    return Coverage(
        field_cells=len(counts),
        path_counts=counts,
        hole_offsets=[offset for offset in range(1, reach + 1) if counts[reach + offset] == 0],
        gcd=math.gcd(*dilations),
        hdc_m2=hdc_m2(dilations),
        path_spread=path_spread(counts),
        sigma_cells=sigma_cells(dilations),
    )


def path_counts(dilations: Sequence[int]) -> list[int]:
    """On how many paths each cell of the field reaches the centre: the convolution of the layers' combs."""
    counts = [1]
    for dilation in dilations:
        gap = [0] * dilation
        shifted = ([*gap, *gap, *counts], [*gap, *counts, *gap], [*counts, *gap, *gap])
        counts = [sum(paths) for paths in zip(*shifted, strict=True)]
    return counts


def path_spread(counts: Sequence[int]) -> float:
    """Standard deviation of the path counts over their mean, holes included; 0 where coverage is even."""
    total = sum(counts)
    square = len(counts) * sum(count * count for count in counts)
    return math.sqrt((square - total * total) / (total * total))


def sigma_cells(dilations: Sequence[int]) -> float:
    """Radius (standard deviation, one axis) of the effective field if all weights are equal (Luo et al. 2016)."""
    return math.sqrt(sum(dilation * dilation for dilation in dilations) * (KERNEL * KERNEL - 1) / 12)


def hdc_m2(dilations: Sequence[int]) -> int | None:
    """M_2 of hybrid dilated convolution (Wang et al., arXiv 1702.08502), which wants it at most the kernel's size.

    It bounds the distance between taps of the second layer. None for a single layer, which has no second one.
    """
    if len(dilations) < 2:
        return None
    distance = dilations[-1]
    for dilation in reversed(dilations[1:-1]):
        distance = max(distance - 2 * dilation, 2 * dilation - distance, dilation)
    return distance


def verdict(context: ContextConfig, *, field_px: int, stride: int, crop_px: Sequence[int]) -> list[str]:
    """The judgement on a schedule in a few lines; what should be changed begins with "warning: ".

    `field_px` is the field of the whole network, `crop_px` the height and width of what it is trained or scored on.
    """
    covered = coverage(context.dilations)
    side = f"{covered.field_cells} x {covered.field_cells}"
    lines = _holes(covered, side) + _common_factor(covered) + _hdc_disagreement(covered)
    crop = f"{crop_px[0]} x {crop_px[1]} px"
    if field_px > min(crop_px):
        lines.append(
            f"warning: the field of {field_px} px is larger than the crop of {crop}; at every cell a part lies outside"
        )
    if context.padding == "each":
        lines += _idle_taps(context.dilations, [-(-pixels // stride) for pixels in crop_px])
    clean = f"dilations {context.dilations}: all of the {side} cells of the field reach the centre"
    return lines if covered.hole_offsets else [clean, *lines]


def _holes(covered: Coverage, side: str) -> list[str]:
    if not covered.hole_offsets:
        return []
    first = ", ".join(str(offset) for offset in covered.hole_offsets[:OFFSETS_SHOWN])
    more = ", ..." if len(covered.hole_offsets) > OFFSETS_SHOWN else ""
    used = (covered.field_cells - covered.holes_per_axis) ** 2
    return [
        f"warning: {covered.holes_per_axis} of {covered.field_cells} cells along each axis never reach the centre "
        f"({first}{more} to either side): {used} of the field's {side} cells are used, "
        f"{used / covered.field_cells**2:.0%}"
    ]


def _common_factor(covered: Coverage) -> list[str]:
    gcd = covered.gcd
    if gcd == 1:
        return []
    return [
        f"warning: all dilations share the factor {gcd}: the map falls into {gcd} x {gcd} grids that never meet; a "
        "layer of dilation 1 joins them"
    ]


def _hdc_disagreement(covered: Coverage) -> list[str]:
    """HDC's criterion where it disagrees with the exact support, which decides."""
    if covered.hdc_m2 is None or (covered.hdc_m2 <= KERNEL) == (not covered.hole_offsets):
        return []
    if covered.hole_offsets:
        return [f"HDC's M_2 = {covered.hdc_m2} is at most {KERNEL} and would pass it; the exact support decides"]
    return [f"HDC's M_2 = {covered.hdc_m2} is above {KERNEL} and would refuse it; the exact support has no holes"]


def _idle_taps(dilations: Sequence[int], map_cells: Sequence[int]) -> list[str]:
    idle = sorted({dilation for dilation in dilations if dilation >= min(map_cells)})
    if not idle:
        return []
    return [
        f"warning: on a map of {map_cells[0]} x {map_cells[1]} cells the outer taps of dilation "
        f"{', '.join(map(str, idle))} only ever meet the zeros around it: they learn nothing there"
    ]
