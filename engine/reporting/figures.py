"""Pictures of predictions and scores, as uint8 RGB arrays (H, W, 3)."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from configs.schema import VOID
from engine.contracts import Picture
from engine.evaluation.effective_field import FIELD_THRESHOLD

RIGHT_GRAY, WRONG_RED, VOID_WHITE = (225, 225, 225), (200, 30, 30), (255, 255, 255)
INK, QUIET_INK = "#1b1b2f", "#6b6b80"  # of text on white
GAP_PX = 4
MOST_NUMBERED, MOST_NAMED, LONGEST_NAME = 30, 75, 40  # classes with numbers, names on an axis, signs of a name
FAINTEST_SHOWN = 1e-3  # of the largest gradient
OUTLINE_CYAN = "#3fd0ff"

Segment = tuple[tuple[float, float], tuple[float, float]]  # two points (x, y)
Rgb = NDArray[np.uint8]


def colorize(labels_HW: NDArray[np.uint8], palette: Sequence[Sequence[int]]) -> Rgb:
    """Class ids to the palette's colours; void is white."""
    table = np.full((256, 3), VOID_WHITE, dtype=np.uint8)
    table[: len(palette)] = np.asarray(palette, dtype=np.uint8)
    return table[labels_HW]


def tiles(picture: Picture, palette: Sequence[Sequence[int]]) -> list[Rgb]:
    """Input, truth, prediction, errors. Errors: gray is right, red is wrong, white is void."""
    errors = np.where((picture.predicted_HW == picture.truth_HW)[..., None], RIGHT_GRAY, WRONG_RED).astype(np.uint8)
    errors[picture.truth_HW == VOID] = VOID_WHITE
    return [picture.image_HW3, colorize(picture.truth_HW, palette), colorize(picture.predicted_HW, palette), errors]


def panel(picture: Picture, palette: Sequence[Sequence[int]]) -> Rgb:
    """The tiles of a picture side by side."""
    first, *others = tiles(picture, palette)
    gap = np.full((len(first), GAP_PX, 3), 255, dtype=np.uint8)
    return np.concatenate([first, *(pixels for tile in others for pixels in (gap, tile))], axis=1)


def confusion_figure(confusion_KK: Sequence[Sequence[int]], class_names: Sequence[str]) -> Rgb:
    """The confusion matrix with each row (truth) as per cent of that class's pixels.

    Of more than `MOST_NUMBERED` classes the figure grows no more: cells without numbers, as many names as fit.
    """
    counts = np.asarray(confusion_KK, dtype=np.float64)
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(100 * counts, rows, out=np.zeros_like(counts), where=rows > 0)
    num_classes = len(class_names)
    side = 2.5 + 0.5 * min(num_classes, MOST_NUMBERED)
    figure = Figure(figsize=(side, side), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    named = range(0, num_classes, math.ceil(num_classes / MOST_NAMED))
    names = [shortened(class_names[position], LONGEST_NAME) for position in named]
    axes.set_xticks(named, names, rotation=90)
    axes.set_yticks(named, names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth (rows: % of its pixels)")
    if num_classes > MOST_NUMBERED:
        figure.colorbar(image, label="% of the truth's pixels", shrink=0.5)
        return rendered(figure)
    for row, column in zip(*np.nonzero(shares >= 0.5), strict=True):
        share = shares[row, column]
        axes.text(column, row, f"{share:.0f}", ha="center", va="center", color="white" if share > 60 else "black")
    return rendered(figure)


def shortened(name: str, longest: int) -> str:
    return name if len(name) <= longest else f"{name[: longest - 3]}..."


def field_figure(gradient_hw: NDArray[np.float64], effective_cells: float, field_cells: int) -> Rgb:
    """How much each cell of the map moves the answer at its centre, over the cell that moves it most.

    The legend says what the numbers mean: the effective field is as large as the cells above `FIELD_THRESHOLD`
    together, while the logarithmic colours show much fainter ones, and the map may end before the computed field does.
    """
    height, width = gradient_hw.shape
    largest = gradient_hw.max()
    shares_hw = gradient_hw / largest if largest > 0 else gradient_hw
    figure = Figure(figsize=(6.4, 7), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    left, top = -(width // 2) - 0.5, -(height // 2) - 0.5
    extent = (left, left + width, top + height, top)
    image = axes.imshow(shares_hw, cmap="inferno", norm=LogNorm(FAINTEST_SHOWN, 1, clip=True), extent=extent)
    outline = _outline(shares_hw >= FIELD_THRESHOLD, left, top)
    axes.add_collection(LineCollection(outline, colors=OUTLINE_CYAN, linewidths=1.5))
    for side, style in ((effective_cells, ":"), (field_cells, "--")):
        axes.add_patch(Rectangle((-side / 2, -side / 2), side, side, fill=False, edgecolor="white", linestyle=style))
    axes.set(xlim=extent[:2], ylim=extent[2:], xlabel="cells from the centre")
    axes.set_title("How much each cell moves the answer at the centre", fontsize=12, fontweight="bold")
    ticks = [FAINTEST_SHOWN, 0.01, 0.1, 1]
    bar = figure.colorbar(image, shrink=0.8, ticks=ticks, label="gradient, per cent of the largest (logarithmic)")
    bar.set_ticklabels([f"{100 * tick:g} %" for tick in ticks])
    handles = field_legend(shares_hw, effective_cells, field_cells)
    figure.legend(handles=handles, loc="outside lower center", facecolor="#24242e", framealpha=1, labelcolor="white")
    return rendered(figure)


def field_legend(shares_hw: NDArray[np.float64], effective_cells: float, field_cells: int) -> list[Line2D]:
    """What the frames and colours of a `field_figure` mean, with the numbers in it."""
    height, width = shares_hw.shape
    is_cut = field_cells // 2 > (min(height, width) - 1) // 2
    cut = f", not all on this map of {height} x {width}" if is_cut else ""
    outlined, coloured = _cells(shares_hw >= FIELD_THRESHOLD), _cells(shares_hw >= FAINTEST_SHOWN)
    square = f"effective field: as many in a square, {effective_cells:.1f} a side"
    computed = f"computed field: {field_cells} x {field_cells} cells{cut}"
    return [
        Line2D([], [], color=OUTLINE_CYAN, label=f"above {100 * FIELD_THRESHOLD:.2f} %: {outlined}"),
        Line2D([], [], color="white", linestyle=":", label=square),
        Line2D([], [], color="white", linestyle="--", label=computed),
        Line2D([], [], color="#b5367a", linestyle="", marker="s", markersize=9,
               label=f"coloured, above {100 * FAINTEST_SHOWN:g} %: {coloured}"),
    ]  # fmt: skip


def _outline(chosen_hw: NDArray[np.bool_], left: float, top: float) -> list[Segment]:
    """The borders between chosen cells and others, for a map whose corner lies at (left, top)."""
    padded = np.pad(chosen_hw, 1)
    upright, level = (np.argwhere(np.diff(padded, axis=axis)) for axis in (1, 0))
    lines = [((left + x, top + y - 1), (left + x, top + y)) for y, x in upright.tolist()]
    return lines + [((left + x - 1, top + y), (left + x, top + y)) for y, x in level.tolist()]


def _cells(chosen_hw: NDArray[np.bool_]) -> str:
    """How many cells are chosen, and how far from the centre the farthest lies, along the axis where it is farther."""
    height, width = chosen_hw.shape
    if not chosen_hw.any():
        return "no cell"
    farthest = int(np.abs(np.argwhere(chosen_hw) - (height // 2, width // 2)).max())
    count = int(chosen_hw.sum())
    return f"{count} cell{'s' * (count > 1)}, the farthest {farthest} away"


def rendered(figure: Figure) -> Rgb:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib has no annotation here
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return pixels[..., :3].copy()


def write_png(path: Path, pixels: Rgb) -> None:
    Image.fromarray(pixels).save(path)
