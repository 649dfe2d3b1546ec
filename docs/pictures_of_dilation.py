"""The pictures of docs/dilation.md: what dilated kernels touch, what stacks of them see, and what they learn to use."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from docs.drawing import DPI, Drawing, evaluated, summary
from engine.reporting.coverage_figure import coverage_figure
from engine.reporting.figures import FAINTEST_SHOWN, INK, QUIET_INK, Rgb, rendered
from engine.reporting.leaderboard_figure import HOLED, SOUND
from engine.reporting.leaderboard_rows import leaderboard_rows
from engine.runs.changes import flatten
from engine.runs.folder import CONFIG_NAME
from models.coverage import coverage, hdc_m2, path_counts
from models.geometry import Layer, out_size, receptive_field

SLIDING_DILATIONS, MAP_CELLS, CELL_PX = (1, 2, 4), 7, 15
TITLE_PX, GAP_PX, TEXT_PX = 26, 22, 13
MAP_GRAY, ZERO_GRAY, EDGE_GRAY, TAP_ORANGE, DONE_BLUE = "#c9c9d8", "#f3f3f7", "#ffffff", "#f98e09", "#1f6fb2"
PAIRS = {  # the schedule without holes: the one of the same field with holes
    "1,3,8": "4,4,4",
    "1,2,4,9": "4,4,4,4",
    "1,3,9,11": "6,6,6,6",
    "1,3,9,19": "8,8,8,8",
}
GROWTH_STEPS = (10, 40, 160, 640)
SKY_ROWS = 16  # above the centre of a scene's map of 32 rows: its uppermost cells


def sliding(_: Path) -> list[Rgb]:
    """One frame for each place of the kernel."""
    for dilation, extent in zip(SLIDING_DILATIONS, (3, 5, 9), strict=True):
        layer = Layer("sliding", 3, dilation, padding=dilation)
        assert layer.extent == extent and out_size([layer], MAP_CELLS) == MAP_CELLS
    return [sliding_frame(row, column) for row in range(MAP_CELLS) for column in range(MAP_CELLS)]


def sliding_frame(row: int, column: int) -> Rgb:
    """All three kernels at one place of the output: above the zero-padded map, below what has been computed."""
    widest = MAP_CELLS + 2 * max(SLIDING_DILATIONS)
    panel_px, output_px = widest * CELL_PX, MAP_CELLS * CELL_PX
    size = len(SLIDING_DILATIONS) * (panel_px + GAP_PX) + GAP_PX, 2 * TITLE_PX + panel_px + output_px + GAP_PX
    picture = Image.new("RGB", size, "#ffffff")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(TEXT_PX)

    def cell(corner: tuple[int, int], row: int, column: int, colour: str) -> None:
        x, y = corner[0] + column * CELL_PX, corner[1] + row * CELL_PX
        pen.rectangle((x, y, x + CELL_PX - 1, y + CELL_PX - 1), fill=colour, outline=EDGE_GRAY)

    for index, dilation in enumerate(SLIDING_DILATIONS):
        left = GAP_PX + index * (panel_px + GAP_PX)
        middle, padded = left + panel_px // 2, MAP_CELLS + 2 * dilation
        pen.text((middle, TITLE_PX // 2), f"dilation {dilation}: {2 * dilation + 1} cells across",
                 fill=INK, font=font, anchor="mm")  # fmt: skip
        above = left + (widest - padded) * CELL_PX // 2, TITLE_PX + (widest - padded) * CELL_PX // 2
        taps = {(row + down * dilation, column + right * dilation) for down in range(3) for right in range(3)}
        for y, x in np.ndindex(padded, padded):
            inside = dilation <= min(y, x) and max(y, x) < dilation + MAP_CELLS
            cell(above, y, x, TAP_ORANGE if (y, x) in taps else MAP_GRAY if inside else ZERO_GRAY)
        pen.text((middle, TITLE_PX + panel_px + TITLE_PX // 2), "output", fill=QUIET_INK, font=font, anchor="mm")
        below = left + (panel_px - output_px) // 2, 2 * TITLE_PX + panel_px
        for y, x in np.ndindex(MAP_CELLS, MAP_CELLS):
            is_done = (y, x) < (row, column)
            cell(below, y, x, TAP_ORANGE if (y, x) == (row, column) else DONE_BLUE if is_done else ZERO_GRAY)
    return np.asarray(picture)


def covered_by(*dilations: int, fields: Sequence[int], holes: int, m2: int) -> Callable[[Path], Rgb]:
    """The figure of `analyze.py`, for a schedule whose caption says so much of it."""

    def make(_: Path) -> Rgb:
        counts = [path_counts(dilations[:depth]) for depth in range(1, len(dilations) + 1)]
        assert [len(axis) for axis in counts] == list(fields)
        assert coverage(dilations).holes_per_axis == holes and hdc_m2(dilations) == m2
        assert receptive_field([Layer("layer", 3, dilation) for dilation in dilations]) == fields[-1]
        return coverage_figure(dilations, counts)

    return make


def pairs(sweep: Path) -> Rgb:
    """Four pairs of one field each, a dot for every seed."""
    rows = {row.name: row for row in leaderboard_rows(sweep)}
    figure = Figure(figsize=(8.4, 4.4), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    for place, (sound, holed) in enumerate(PAIRS.items()):
        pair = rows[sound], rows[holed]
        assert not pair[0].holes_per_axis and pair[1].holes_per_axis and pair[0].field_cells == pair[1].field_cells
        assert [pair[0].parameters, pair[0].multiply_adds] == [pair[1].parameters, pair[1].multiply_adds]
        for row, shift, colour, face in zip(pair, (-0.14, 0.14), (SOUND, HOLED), (SOUND, "none"), strict=True):
            seeds = [100 * iou for iou in row.mean_iou.values()]
            axes.scatter([place + shift] * len(seeds), seeds, s=60, facecolor=face, edgecolor=colour, linewidth=1.6)
            axes.annotate(f"{row.name}\n{100 * row.mean:.1f}", (place + shift, min(seeds)), (0, -9),
                          textcoords="offset points", ha="center", va="top", fontsize=9, color=INK)  # fmt: skip
    difference = {name: 100 * (rows[name].mean - rows[PAIRS[name]].mean) for name in PAIRS}
    assert difference["1,3,9,11"] > 20, difference
    assert all(abs(value) < 1 for name, value in difference.items() if name != "1,3,9,11"), difference
    axes.set_xticks(range(len(PAIRS)), [f"{rows[name].field_cells} cells, {rows[name].field_px} px" for name in PAIRS])
    axes.set(xlim=(-0.5, len(PAIRS) - 0.5), ylim=(60, 97), ylabel="mean IoU, %", xlabel="receptive field")
    axes.set_title("The same field and cost, with and without holes: three seeds each", color=INK, fontsize=12,
                   fontweight="bold", loc="left")  # fmt: skip
    legend = [Line2D([], [], linestyle="", marker="o", markersize=8, color=SOUND, label="no holes"),
              Line2D([], [], linestyle="", marker="o", markersize=8, color=HOLED, markerfacecolor="none",
                     label="holes")]  # fmt: skip
    axes.legend(handles=legend, frameon=False, loc="upper left")
    axes.grid(axis="y", color="#e4e4ec", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    return rendered(figure)


def growth(sweep: Path) -> Rgb:
    """The gradient at the same centres after more and more steps of one training."""
    runs = dict(sorted(runs_by_steps(sweep)))
    assert tuple(runs) == GROWTH_STEPS, f"{sweep}: finished runs of {GROWTH_STEPS} steps, and no others"
    figure = Figure(figsize=(11.2, 3.5), dpi=DPI, layout="constrained")
    panels, image = figure.subplots(1, len(runs)), None
    for axes, (steps, run) in zip(panels, runs.items(), strict=True):
        measurement, scores = evaluated(run, "context")[1], summary(run)["stages"]["context"]
        assert measurement is not None
        shares_hw = measurement.gradient_hw / measurement.gradient_hw.max()
        check_growth(steps, shares_hw, measurement.effective_cells)
        left, top = -(shares_hw.shape[1] // 2) - 0.5, -(shares_hw.shape[0] // 2) - 0.5
        extent = (left, left + shares_hw.shape[1], top + shares_hw.shape[0], top)
        image = axes.imshow(shares_hw, cmap="inferno", norm=LogNorm(FAINTEST_SHOWN, 1, clip=True), extent=extent)
        axes.set_title(f"step {steps}\neffective field {measurement.effective_cells:.1f} cells\n"
                       f"mean IoU {100 * scores['mean_iou']:.1f} %", fontsize=10, color=INK)  # fmt: skip
        axes.set(xticks=[-SKY_ROWS, 0, SKY_ROWS - 1], yticks=[-SKY_ROWS, 0, SKY_ROWS - 1])
        axes.tick_params(colors=QUIET_INK, labelsize=8)
    assert image is not None
    bar = figure.colorbar(image, ax=list(panels), shrink=0.7, ticks=[FAINTEST_SHOWN, 0.01, 0.1, 1])
    bar.set_ticklabels(["0.1 %", "1 %", "10 %", "100 %"])
    bar.set_label("gradient, of the largest", color=QUIET_INK)
    figure.supxlabel("cells from the centre", fontsize=9, color=QUIET_INK)
    return rendered(figure)


def runs_by_steps(sweep: Path) -> Iterator[tuple[int, Path]]:
    """The runs of one training that was stopped at different steps: nothing else differs, and its rate is constant."""
    rows = leaderboard_rows(sweep)
    folders = [sweep / folder for row in rows for folder in row.runs.values()]
    settings = [flatten(json.loads((folder / CONFIG_NAME).read_text())) for folder in folders]
    differing = {key for other in settings for key in other if other[key] != settings[0][key]}
    assert {key for key in differing if not key.startswith("run.")} <= {"stage.context.steps"}, differing
    assert all(values["stage.context.schedule.name"] == "constant" for values in settings)
    for folder, values in zip(folders, settings, strict=True):
        yield values["stage.context.steps"], folder


def check_growth(steps: int, shares_hw: NDArray[np.float64], effective_cells: float) -> None:
    """What the caption says of the module after so many steps."""
    centre = SKY_ROWS, SKY_ROWS
    assert shares_hw.shape == (2 * SKY_ROWS, 2 * SKY_ROWS) and shares_hw[centre] == 1
    sky = shares_hw[0, SKY_ROWS]
    if steps == GROWTH_STEPS[0]:
        assert effective_cells == 1 and sky < 0.01, (effective_cells, sky)
    else:
        assert 2 < effective_cells < 4 and 0.01 < sky < 0.05, (steps, effective_cells, sky)


DRAWINGS = {
    "sliding.gif": Drawing(
        "A 3x3 kernel slides over a map: with dilation 1, 2 and 4 its nine taps are 3, 5 and 9 cells across, and with "
        "as many zeros around the map as the dilation the output is as large as the map",
        sliding,
    ),
    "doubling.png": Drawing(
        "Dilations 1, 2, 4: after each layer 3x3, 7x7 and 15x15 cells reach the centre, every one of them",
        covered_by(1, 2, 4, fields=(3, 7, 15), holes=0, m2=2),
    ),
    "gridding.png": Drawing(
        "Dilations 2, 2, 2: a field of 13x13 cells in which 6 of 13 cells along each axis are never used",
        covered_by(2, 2, 2, fields=(5, 9, 13), holes=6, m2=2),
    ),
    "dilation8.png": Drawing(
        "The paper's module, dilations 1, 1, 2, 4, 8, 16, 1: 67x67 cells, no holes",
        covered_by(1, 1, 2, 4, 8, 16, 1, fields=(3, 5, 9, 17, 33, 65, 67), holes=0, m2=1),
    ),
    "holes_49.png": Drawing(
        "Dilations 6, 6, 6, 6: 49x49 cells, of which 40 along each axis are never used",
        covered_by(6, 6, 6, 6, fields=(13, 25, 37, 49), holes=40, m2=6),
    ),
    "no_holes_49.png": Drawing(
        "Dilations 1, 3, 9, 11: 49x49 cells as well, no holes",
        covered_by(1, 3, 9, 11, fields=(3, 9, 27, 49), holes=0, m2=3),
    ),
    "pairs.png": Drawing(
        "Four pairs of schedules of one field and one cost each: with 49 cells the one with holes scores more than 20 "
        "points less, with 25, 33 and 65 cells less than one point",
        pairs,
        "sweep",
    ),
    "growth.png": Drawing(
        "What the answer at the centre depends on while the context module learns: after 10 steps little but its own "
        "cell, from 40 steps on its neighbours, and faintly the sky 16 rows above",
        growth,
        "growth",
    ),
}
