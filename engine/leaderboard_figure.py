"""A leaderboard as a picture: what each schedule scored against what it sees and costs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from engine.pictures import Rgb, rendered
from engine.table import schedule_name

INK, QUIET_INK = "#1b1b2f", "#6b6b80"
SOUND, HOLED = "#1f6fb2", "#c8452b"
SMALLEST_PT2, LARGEST_PT2 = 40, 420  # areas of the markers
CLOSEST_TICKS = 1.13  # ratio of fields that are both named on the axis
CLOSEST_NUMBERS_PX = 22  # markers nearer than this share a label
LINE_INCHES, LEAST_INCHES = 0.25, 5.0


def leaderboard_figure(rows: Sequence[Mapping[str, Any]]) -> Rgb:
    """A marker a row, numbered as in the table: mean IoU and its interval over the field, area by multiply-adds."""
    height = max(LEAST_INCHES, LINE_INCHES * (len(rows) + 6))
    figure = Figure(figsize=(10.5, height), dpi=110)
    axes = figure.add_axes((0.075, 0.75 / height, 0.58, 1 - 1.15 / height))
    for row in sorted(rows, key=lambda row: -row["multiply_adds"]):  # small markers over large ones
        _marker(axes, row, row["multiply_adds"] / max(other["multiply_adds"] for other in rows))
    fronts = [row["mean"] - row["gain"] for row in rows if row["gain"] is not None]
    if fronts:
        level = 100 * sum(fronts) / len(fronts)
        axes.axhline(level, color=QUIET_INK, linestyle="--", linewidth=1, zorder=1)
        axes.annotate("front end alone", (1, level), xycoords=("axes fraction", "data"), xytext=(-4, 4),
                      textcoords="offset points", ha="right", color=QUIET_INK, fontsize=8)  # fmt: skip
    _axis_of_fields(axes, rows)
    axes.set_ylabel("mean IoU, %", color=INK)
    axes.set_title("Mean IoU against receptive field", color=INK, fontsize=12, fontweight="bold", loc="left")
    axes.grid(axis="y", color="#e4e4ec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(y=0.08)
    _numbers(axes, rows)
    axes.spines[["top", "right"]].set_visible(False)
    _list_of_schedules(figure, rows, height)
    return rendered(figure)


def _numbers(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """The rank beside each marker; markers that lie on one another share a label."""
    labels: list[tuple[tuple[float, float], list[str]]] = []
    axes.autoscale_view()
    for rank, row in enumerate(rows, start=1):
        place = (row["field_cells"], 100 * row["mean"])
        here = axes.transData.transform(place)
        for other, names in labels:
            if math.dist(here, axes.transData.transform(other)) < CLOSEST_NUMBERS_PX:
                names.append(str(rank))
                break
        else:
            labels.append((place, [str(rank)]))
    for place, names in labels:
        axes.annotate(", ".join(names), place, xytext=(8, 9), textcoords="offset points", color=INK,
                      fontsize=8, zorder=4)  # fmt: skip


def _marker(axes: Axes, row: Mapping[str, Any], cost: float) -> None:
    colour = HOLED if row["holes_per_axis"] else SOUND
    place = (row["field_cells"], 100 * row["mean"])
    half = None if row["interval"] is None else 100 * row["interval"]
    axes.errorbar(*place, yerr=half, color=colour, capsize=3, linewidth=1, zorder=2)
    area = SMALLEST_PT2 + (LARGEST_PT2 - SMALLEST_PT2) * cost
    face = "white" if row["holes_per_axis"] else colour
    axes.scatter(*place, s=area, facecolor=face, edgecolor=colour, alpha=0.85, linewidth=1.5, zorder=3)


def _axis_of_fields(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    axes.set_xscale("log", base=2)
    fields = dict(sorted((row["field_cells"], row["field_px"]) for row in rows))
    named: list[int] = []
    for cells in fields:
        if not named or cells / named[-1] >= CLOSEST_TICKS:
            named.append(cells)
    axes.set_xticks(named, [f"{cells}\n{fields[cells]}" for cells in named])
    axes.minorticks_off()
    axes.set_xlabel("receptive field: cells of the context module, pixels of the network", color=INK)
    axes.tick_params(colors=QUIET_INK, labelsize=8)
    if rows:
        axes.set_xlim(min(fields) / 1.25, max(fields) * 1.25)


def _list_of_schedules(figure: Figure, rows: Sequence[Mapping[str, Any]], height: float) -> None:
    top = 1 - 0.3 / height
    for x, title, side in ((0.68, "dilations", "left"), (0.985, "mean IoU, %", "right")):
        figure.text(x, top, title, color=INK, fontsize=9, fontweight="bold", va="top", ha=side)
    for rank, row in enumerate(rows, start=1):
        line = f"{rank}  {schedule_name(row['dilations'], row['widths'])}"
        colour = HOLED if row["holes_per_axis"] else INK
        spread = "" if row["interval"] is None else f" ± {100 * row['interval']:.2f}"
        y = top - rank * LINE_INCHES / height
        figure.text(0.68, y, line, color=colour, fontsize=9, va="top")
        figure.text(0.985, y, f"{100 * row['mean']:.2f}{spread}", color=colour, fontsize=9, va="top", ha="right")
    notes = ["bars: 95 % interval over the seeds", "area: multiply-adds", "hollow, red: cells of the field never used"]
    for number, note in enumerate(reversed(notes)):
        figure.text(0.68, (0.2 + 0.2 * number) / height, note, color=QUIET_INK, fontsize=8)
