"""Pictures of predictions and scores, as uint8 RGB arrays (H, W, 3)."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from configs.schema import VOID
from engine.contracts import Picture

RIGHT_GRAY, WRONG_RED, VOID_WHITE = (225, 225, 225), (200, 30, 30), (255, 255, 255)
GAP_PX = 4
MOST_NUMBERED, MOST_NAMED, LONGEST_NAME = 30, 75, 40  # classes with numbers, names on an axis, signs of a name

Rgb = NDArray[np.uint8]


def colorize(labels_HW: NDArray[np.uint8], palette: Sequence[Sequence[int]]) -> Rgb:
    """Class ids to the palette's colours; void is white."""
    table = np.full((256, 3), VOID_WHITE, dtype=np.uint8)
    table[: len(palette)] = np.asarray(palette, dtype=np.uint8)
    return table[labels_HW]


def panel(picture: Picture, palette: Sequence[Sequence[int]]) -> Rgb:
    """Input | truth | prediction | errors, side by side. Errors: gray is right, red is wrong, white is void."""
    errors = np.where((picture.predicted_HW == picture.truth_HW)[..., None], RIGHT_GRAY, WRONG_RED).astype(np.uint8)
    errors[picture.truth_HW == VOID] = VOID_WHITE
    gap = np.full((errors.shape[0], GAP_PX, 3), 255, dtype=np.uint8)
    truth, predicted = colorize(picture.truth_HW, palette), colorize(picture.predicted_HW, palette)
    return np.concatenate([picture.image_HW3, gap, truth, gap, predicted, gap, errors], axis=1)


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
    names = [_shortened(class_names[position]) for position in named]
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


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."


def field_figure(gradient_hw: NDArray[np.float64], effective_cells: float, field_cells: int) -> Rgb:
    """How much each cell moves the answer at the centre, over the loudest; white frames: effective, computed field."""
    height, width = gradient_hw.shape
    loudest = gradient_hw.max()
    shares = gradient_hw / loudest if loudest > 0 else gradient_hw
    figure = Figure(figsize=(5.4, 5), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    extent = (-(width // 2) - 0.5, width - width // 2 - 0.5, height - height // 2 - 0.5, -(height // 2) - 0.5)
    image = axes.imshow(shares, cmap="inferno", norm=LogNorm(1e-3, 1, clip=True), extent=extent)
    for side, style in ((effective_cells, "-"), (field_cells, "--")):
        corner = (-side / 2, -side / 2)
        axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor="white", linestyle=style))
    axes.set_xlabel("cells from the centre")
    axes.set_title(f"effective field: {effective_cells:.1f} of {field_cells} cells", fontsize=11)
    figure.colorbar(image, label="gradient over the largest")
    return rendered(figure)


def rendered(figure: Figure) -> Rgb:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib has no annotation here
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return pixels[..., :3].copy()


def write_png(path: Path, pixels: Rgb) -> None:
    Image.fromarray(pixels).save(path)
