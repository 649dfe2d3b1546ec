"""Which cells of the map reach the centre after each layer of a dilation schedule, as an uint8 RGB array (H, W, 3)."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from engine.reporting.figures import INK, QUIET_INK, Rgb, rendered

TIMES, MINUS = "\u00d7", "\u2212"  # as printers write them
LINE, OUTSIDE, UNUSED = "#ffffff", "#e9e9f0", "#14122b"
COLOURS = ListedColormap([UNUSED, *colormaps["inferno"](np.linspace(0, 1, 256))[1:]])
FAINTEST = 0.35  # of the colours, for a single path: it must differ from none
MOST_COLUMNS = 4
LINED_CELLS = 41  # fields up to this many cells have lines between them
LONGEST_NUMBER = 10**7  # of paths; larger ones are rounded to a power of ten
DPI = 120
PANEL_INCHES, LABEL_INCHES, GAP_INCHES, HEAD_INCHES, FOOT_INCHES = 2.9, 0.6, 0.4, 0.8, 0.55


def coverage_figure(dilations: Sequence[int], path_counts: Sequence[Sequence[int]]) -> Rgb:
    """A panel a layer, all on one scale: brighter cells reach the centre on more paths, black ones on none.

    `path_counts` holds those of one axis after each layer, the centre in the middle.
    """
    most = max(max(counts) for counts in path_counts)  # of one axis and of all layers
    num_rows = math.ceil(len(dilations) / MOST_COLUMNS)
    num_columns = math.ceil(len(dilations) / num_rows)
    width = max(2.2, num_columns) * (PANEL_INCHES + GAP_INCHES) + GAP_INCHES
    height = HEAD_INCHES + num_rows * (PANEL_INCHES + LABEL_INCHES) + FOOT_INCHES
    left = (width - num_columns * (PANEL_INCHES + GAP_INCHES) + GAP_INCHES) / 2
    figure = Figure(figsize=(width, height), dpi=DPI)
    for index, (dilation, counts) in enumerate(zip(dilations, path_counts, strict=True)):
        row, column = divmod(index, num_columns)
        x = left + column * (PANEL_INCHES + GAP_INCHES)
        y = height - HEAD_INCHES - (row + 1) * (PANEL_INCHES + LABEL_INCHES) + LABEL_INCHES / 2
        axes = figure.add_axes((x / width, y / height, PANEL_INCHES / width, PANEL_INCHES / height))
        _panel(axes, counts, len(path_counts[-1]) // 2, most)
        title = f"layer {index + 1}, dilation {dilation}: {len(counts)} {TIMES} {len(counts)}"
        axes.set_title(title, color=INK, fontsize=10)
    _frame(figure, dilations, path_counts[-1], most, height)
    return rendered(figure)


def _frame(figure: Figure, dilations: Sequence[int], counts: Sequence[int], most: int, height: float) -> None:
    """Title and legend; `most` paths of one axis are most * most in the plane."""
    holes = counts.count(0)
    summary = f"{holes} of {len(counts)} cells an axis never used" if holes else "no holes"
    head = f"Dilation{'s' * (len(dilations) > 1)} {', '.join(map(str, dilations))}: {summary}"
    figure.text(0.5, 1 - 0.3 / height, head, color=INK, fontsize=14, fontweight="bold", ha="center", va="center")
    bin_cells = _bin_cells(len(counts))
    dots = f"; each dot is the brightest of {bin_cells} {TIMES} {bin_cells} cells" if bin_cells > 1 else ""
    scale = "; one scale for all layers" if len(dilations) > 1 else ""
    sub = f"cells that reach the centre, and on how many paths{scale}{dots}"
    figure.text(0.5, 1 - 0.6 / height, sub, color=QUIET_INK, fontsize=10, ha="center", va="center")
    brightest = {f"most: {_number(most * most)} paths (log scale)": to_hex(COLOURS(1.0))} if most > 1 else {}
    meanings = {
        **brightest,
        "one path": to_hex(COLOURS(FAINTEST)),
        "no path: never used": UNUSED,
        "outside the field": OUTSIDE,
    }
    handles = [Patch(facecolor=colour, edgecolor="#b9b9c6", label=label) for label, colour in meanings.items()]
    figure.legend(
        handles=handles,
        loc="center",
        bbox_to_anchor=(0.5, 0.3 / height),
        ncols=len(handles),
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handlelength=1,
        handleheight=1,
        columnspacing=1.2,
    )


def _number(count: int) -> str:
    return f"{count:,}" if count < LONGEST_NUMBER else f"about 10^{math.log10(count):.0f}"


def _panel(axes: Axes, counts: Sequence[int], reach: int, most: int) -> None:
    own, whole, bin_cells = len(counts) / 2, reach + 0.5, _bin_cells(2 * reach + 1)
    brightness = _brightness(counts, most, bin_cells)
    end = len(brightness) * bin_cells - own  # the last bin may stick out of the field
    axes.set_facecolor(OUTSIDE)
    axes.imshow(brightness, cmap=COLOURS, vmin=0, vmax=1, extent=(-own, end, -end, own), interpolation="nearest")
    axes.set(xlim=(-whole, whole), ylim=(-whole, whole))
    if 2 * whole <= LINED_CELLS:
        edges = np.arange(-reach + 0.5, reach)
        axes.vlines(edges, -whole, whole, color=LINE, linewidth=0.7, zorder=2)
        axes.hlines(edges, -whole, whole, color=LINE, linewidth=0.7, zorder=2)
        axes.plot(0, 0, "o", markersize=4, markerfacecolor=LINE, markeredgecolor=UNUSED, zorder=3)
    axes.set_xticks([-reach, 0, reach], [f"{MINUS}{reach}", "0", f"{reach}"])
    axes.set_yticks([])
    axes.tick_params(length=0, colors=QUIET_INK, labelsize=8)
    axes.spines[:].set_visible(False)


def _bin_cells(field_cells: int) -> int:
    """Cells along a side of what is drawn as one dot: no dot is smaller than a pixel."""
    return math.ceil(field_cells / int(PANEL_INCHES * DPI))


def _brightness(counts: Sequence[int], most: int, bin_cells: int) -> NDArray[np.float64]:
    """In the plane: 0 where no path leads, else from `FAINTEST` for one path to 1 for the most, by the logarithm.

    Of the cells of a bin the brightest counts.
    """
    binned = [max(counts[first : first + bin_cells]) for first in range(0, len(counts), bin_cells)]
    logs = np.array([math.log(count) if count else math.nan for count in binned])
    shares = logs / math.log(max(most, 2))  # where one path is the most, all logarithms are 0
    return np.nan_to_num(FAINTEST + (1 - FAINTEST) * (shares[:, None] + shares[None, :]) / 2)
