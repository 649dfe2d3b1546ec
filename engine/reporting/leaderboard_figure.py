"""A leaderboard as a picture: what each schedule scored against what it sees and costs."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from engine.reporting.figures import INK, QUIET_INK, Rgb, rendered, shortened
from engine.reporting.label_places import Box, label_boxes
from engine.reporting.leaderboard_rows import NAME, Row

SOUND, HOLED = "#1f6fb2", "#c8452b"
SMALLEST_PT2, LARGEST_PT2 = 40, 420  # areas of the markers
SAME_FRONT = 1e-4  # mean IoU of front ends that differ by rounding alone
DIGIT_PX, LINE_PX = 9, 14  # of the numbers beside the markers and below the axis, at least
DPI = 110
LINE_INCHES, LEAST_INCHES = 0.25, 5.0
MOST_LISTED, LONGEST_NAME = 40, 34  # rows with a number and a line; signs of a schedule's name


def leaderboard_figure(rows: Sequence[Row]) -> Rgb:
    """A marker a row, numbered as in the table: mean IoU and its interval over the field, area by multiply-adds."""
    return rendered(matplotlib_figure(rows))


def matplotlib_figure(rows: Sequence[Row]) -> Figure:
    """The same as a matplotlib figure, in which tests can look up where things stand."""
    height = max(LEAST_INCHES, LINE_INCHES * (min(len(rows), MOST_LISTED) + 7))
    figure = Figure(figsize=(10.5, height), dpi=DPI)
    axes = figure.add_axes((0.075, 0.75 / height, 0.58, 1 - 1.15 / height))
    for row in sorted(rows, key=lambda row: -row.multiply_adds):  # small markers over large ones
        _marker(axes, row, _area(rows, row))
    fronts = _front_ends(axes, rows)
    axes.set_ylabel("mean IoU, %", color=INK)
    axes.set_title("Mean IoU against receptive field", color=INK, fontsize=12, fontweight="bold", loc="left")
    axes.grid(axis="y", color="#e4e4ec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(y=0.08)
    axes.autoscale_view()
    axes.set_ylim(axes.get_ylim())
    _axis_of_fields(axes, rows)
    _numbers(axes, rows, fronts)
    axes.spines[["top", "right"]].set_visible(False)
    _list_of_schedules(figure, rows, height)
    return figure


def _marker(axes: Axes, row: Row, area: float) -> None:
    colour = HOLED if row.holes_per_axis else SOUND
    place = (row.field_cells, 100 * row.mean)
    half = None if row.interval is None else 100 * row.interval
    axes.errorbar(*place, yerr=half, color=colour, capsize=3, linewidth=1, zorder=2)
    face = "none" if row.holes_per_axis else colour
    axes.scatter(*place, s=area, facecolor=face, edgecolor=colour, alpha=0.85, linewidth=1.5, zorder=3)


def _area(rows: Sequence[Row], row: Row) -> float:
    """Of a marker, in square points."""
    cost = row.multiply_adds / max(other.multiply_adds for other in rows)
    return SMALLEST_PT2 + (LARGEST_PT2 - SMALLEST_PT2) * float(cost)


def _front_ends(axes: Axes, rows: Sequence[Row]) -> list[float]:
    """A dashed line for every front end that gains are counted from; returns their mean IoU in per cent, rising.

    Rows of other seeds or settings stand on other front ends, and no mean of those is anybody's score.
    """
    levels: list[float] = []
    for level in sorted(100 * (row.mean - row.gain) for row in rows if row.gain is not None):
        if not levels or level - levels[-1] > 100 * SAME_FRONT:
            levels.append(level)
    for level in levels:
        axes.axhline(level, color=QUIET_INK, linestyle="--", linewidth=1, zorder=1)
    if levels:
        several = f"front ends alone, {levels[0]:.2f} to {levels[-1]:.2f}"
        axes.annotate("front end alone" if len(levels) == 1 else several, (1, levels[-1]),
                      xycoords=("axes fraction", "data"), xytext=(-4, 4), textcoords="offset points", ha="right",
                      color=QUIET_INK, fontsize=8)  # fmt: skip
    return levels


def _numbers(axes: Axes, rows: Sequence[Row], fronts: Sequence[float]) -> None:
    """The rank beside each marker, with a line that ends at its centre."""
    listed = rows[:MOST_LISTED]
    marks = [_pixels(axes, row.field_cells, 100 * row.mean) for row in listed]
    sizes = [(float(DIGIT_PX * len(str(rank))), float(LINE_PX)) for rank in range(1, len(listed) + 1)]
    avoided: list[Box] = []
    for row in rows:
        x, y = _pixels(axes, row.field_cells, 100 * row.mean)
        side = 2 * math.sqrt(_area(rows, row) / math.pi) * DPI / 72
        reach = _pixels(axes, 1, 100 * (row.mean + (row.interval or 0)))[1] - y
        avoided += [Box.around((x, y), side, side), Box.around((x, y), 6, 2 * reach)]
    inside = Box(*axes.bbox.extents)
    if fronts:
        y = _pixels(axes, 1, fronts[-1])[1]
        avoided.append(Box(inside.right - 250, y, inside.right, y + 20))
    boxes = label_boxes(marks, sizes, inside, avoided)
    to_data = axes.transData.inverted()
    for rank, (row, box) in enumerate(zip(listed, boxes, strict=True), start=1):
        x, y = to_data.transform(box.centre)
        axes.plot([row.field_cells, x], [100 * row.mean, y], color=INK, linewidth=0.6, zorder=4)
        axes.text(x, y, str(rank), color=HOLED if row.holes_per_axis else INK, fontsize=8, ha="center", va="center",
                  zorder=5, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})  # fmt: skip


def _pixels(axes: Axes, x: float, y: float) -> tuple[float, float]:
    x_px, y_px = axes.transData.transform((x, y))
    return float(x_px), float(y_px)


def _axis_of_fields(axes: Axes, rows: Sequence[Row]) -> None:
    """A tick for every field, named where there is room: the best row's first, then from the left."""
    axes.set_xscale("log", base=2)
    names = {cells: f"{cells}\n{_field_px(rows, cells)}" for cells in sorted({row.field_cells for row in rows})}
    if rows:
        axes.set_xlim(min(names) / 1.25, max(names) * 1.25)
    named: list[Box] = []
    labels = dict.fromkeys(names, "")
    for cells in sorted(names, key=lambda cells: (cells != rows[0].field_cells, cells)):
        width = DIGIT_PX * max(map(len, names[cells].split("\n")))
        box = Box.around((_pixels(axes, cells, 0)[0], 0), width, LINE_PX)
        if not any(map(box.meets, named)):
            named.append(box)
            labels[cells] = names[cells]
    axes.set_xticks(list(labels), list(labels.values()))
    axes.minorticks_off()
    axes.set_xlabel("receptive field: cells of the context module, pixels of the network", color=INK)
    axes.tick_params(colors=QUIET_INK, labelsize=8)


def _field_px(rows: Sequence[Row], cells: int) -> str:
    """Of all networks whose context module sees so many cells; more than one where front ends differ."""
    pixels = {row.field_px for row in rows if row.field_cells == cells}
    return f"{min(pixels)}" if len(pixels) == 1 else f"{min(pixels)} to {max(pixels)}"


def _list_of_schedules(figure: Figure, rows: Sequence[Row], height: float) -> None:
    top = 1 - 0.3 / height
    for x, title, side in ((0.68, "dilations", "left"), (0.985, "mean IoU, %", "right")):
        figure.text(x, top, title, color=INK, fontsize=9, fontweight="bold", va="top", ha=side)
    for rank, row in enumerate(rows[:MOST_LISTED], start=1):
        line = f"{rank}  {shortened(row.name, LONGEST_NAME)}"
        colour = HOLED if row.holes_per_axis else INK
        spread = "" if row.interval is None else f" ± {100 * row.interval:.2f}"
        y = top - rank * LINE_INCHES / height
        figure.text(0.68, y, line, color=colour, fontsize=9, va="top")
        figure.text(0.985, y, f"{100 * row.mean:.2f}{spread}", color=colour, fontsize=9, va="top", ha="right")
    notes = ["bars: 95 % interval over the seeds", "area: multiply-adds", "hollow, red: cells of the field never used"]
    if len(rows) > MOST_LISTED:
        notes.insert(0, f"{len(rows) - MOST_LISTED} more, without numbers: see {NAME}.md")
    for number, note in enumerate(reversed(notes)):
        figure.text(0.68, (0.2 + 0.2 * number) / height, note, color=QUIET_INK, fontsize=8)
