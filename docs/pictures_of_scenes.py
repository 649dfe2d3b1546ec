"""The pictures of the README: the built-in scenes, and what runs on them show."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from data.shapes import BUTTERFLY, DAY_SKY, LANTERN, MOTH, NIGHT_SKY, SCENES, TULIP, draw
from docs.drawing import DPI, Drawing, evaluated, summary
from engine.contracts import Picture
from engine.evaluation.effective_field import FIELD_THRESHOLD
from engine.reporting.coverage_figure import coverage_figure
from engine.reporting.figures import (
    INK,
    RIGHT_GRAY,
    VOID_WHITE,
    WRONG_RED,
    Rgb,
    colorize,
    field_figure,
    rendered,
    tiles,
)
from engine.reporting.leaderboard_figure import leaderboard_figure
from engine.reporting.leaderboard_rows import leaderboard_rows
from models.coverage import coverage, path_counts

DAY_TWINS, NIGHT_TWINS = (BUTTERFLY, TULIP), (MOTH, LANTERN)
FLAT_CELLS, TALL_CELLS = 33, 49  # up to the one a field gains nothing on the built-in scenes, from the other on a lot
SKY_ROWS = 16  # above the centre of a scene's map of 32 rows: its uppermost cells
TILE_PX, GAP_PX, HEAD_PX, FOOT_PX, SIDE_PX = 256, 8, 34, 44, 52
DARK, BRIGHT = 90, 200  # of 255: the sky itself by night at most, the moon and the stars in it at least


def wrong_share(picture: Picture) -> float:
    """Of the twins' pixels."""
    is_twin = np.isin(picture.truth_HW, DAY_TWINS + NIGHT_TWINS)
    return float((picture.predicted_HW != picture.truth_HW)[is_twin].mean())


def shapes(_: Path) -> Rgb:
    days, nights = ([draw("val", index, TILE_PX, sky) for index in (0, 1)] for sky in ("day", "night"))
    for (day, day_label), (night, night_label) in zip(days, nights, strict=True):
        ground = int(np.flatnonzero((day_label == DAY_SKY).any(axis=1)).max()) + 4  # below the horizon and its border
        assert np.array_equal(day[ground:], night[ground:]), "only the sky differs"
        assert set(DAY_TWINS) <= set(np.unique(day_label)) and set(NIGHT_TWINS) <= set(np.unique(night_label))
        is_twin = np.isin(day_label, DAY_TWINS)
        assert np.array_equal(day_label[ground:] + is_twin[ground:], night_label[ground:]), (
            "only the twins are relabelled"
        )
    scenes = [scene for pair in zip(days, nights, strict=True) for scene in pair]
    rows = [[image for image, _ in scenes], [colorize(label, SCENES.palette) for _, label in scenes]]
    columns = ["a meadow by day", "the same by night", "another by day", "the same by night"]
    legend = dict(zip(SCENES.names, SCENES.palette, strict=True)) | {"not scored": VOID_WHITE}
    return grid(rows, columns, ["image", "labels"], legend)


def predictions(run: Path) -> Rgb:
    before, after = (evaluated(run, stage)[0].pictures for stage in ("frontend", "joint"))
    pairs = list(zip(before, after, strict=True))
    nights = [pair for pair in pairs if (pair[0].truth_HW == NIGHT_SKY).any()]
    assert 0 < len(nights) < len(pairs)
    for pair, least, most in ((0, 0.95, 1.0), (1, 0.0, 0.2)):
        shares = [wrong_share(pictures[pair]) for pictures in nights]
        assert least <= min(shares) and max(shares) <= most, f"at night: {min(shares):.3f} to {max(shares):.3f} wrong"
    answers = np.concatenate([first.predicted_HW[np.isin(first.truth_HW, NIGHT_TWINS)] for first, _ in nights])
    assert not np.isin(answers, NIGHT_TWINS).any(), "the front end takes every twin for that of the day"
    front, whole = next(pair for pair in nights if set(NIGHT_TWINS) <= set(np.unique(pair[0].truth_HW)))
    check_night(front, [first for first, _ in pairs if (first.truth_HW == DAY_SKY).any()])
    names = [f"{name}\n{100 * wrong_share(picture):.0f} % of twin pixels wrong"
             for name, picture in (("front end alone", front), ("whole network", whole))]  # fmt: skip
    twins = {f"{SCENES.names[twin]} ({time})": SCENES.palette[twin]
             for day in DAY_TWINS for twin, time in ((day, "day"), (day + 1, "night"))}  # fmt: skip
    legend = {**twins, "right": RIGHT_GRAY, "wrong": WRONG_RED, "not scored": VOID_WHITE}
    rows = [tiles(picture, SCENES.palette) for picture in (front, whole)]
    return grid(rows, ["input: moon and stars", "truth", "answer", "errors"], names, legend)


def check_night(night: Picture, days: Sequence[Picture]) -> None:
    """The sky alone says so: the meadow is lit alike by day and by night."""
    sky = night.image_HW3[night.truth_HW == NIGHT_SKY].mean(axis=1)
    assert sky.size > 0.1 * night.truth_HW.size, "a good part of the picture is sky"
    assert np.median(sky) < DARK and (sky > BRIGHT).sum() > 20, "it is dark, with a moon and stars in it"
    for day in days:
        assert np.median(day.image_HW3[day.truth_HW == DAY_SKY].mean(axis=1)) > 2 * DARK, "no day is as dark"


def field(run: Path) -> Rgb:
    measurement = evaluated(run, "context")[1]
    in_summary = summary(run)
    field_cells = in_summary["geometry"]["context_field_cells"]
    assert measurement is not None
    assert abs(measurement.effective_cells - in_summary["stages"]["context"]["effective_cells"]) < 1e-6
    shares_hw = measurement.gradient_hw / measurement.gradient_hw.max()
    centre = shares_hw.shape[0] // 2
    assert shares_hw.shape == (2 * SKY_ROWS, 2 * SKY_ROWS) and field_cells > 2 * SKY_ROWS
    distances = np.abs(np.argwhere(shares_hw >= FIELD_THRESHOLD) - centre)
    assert distances.max() <= 2, "what is outlined are neighbours"
    sky = shares_hw[centre - SKY_ROWS, centre]
    assert sky > 0.01 and sky > 10 * shares_hw[centre + SKY_ROWS // 2 + 1 :].max(), "it looks up, and not down"
    return field_figure(measurement.gradient_hw, measurement.effective_cells, field_cells)


def checkerboard(_: Path) -> Rgb:
    dilations = [2, 4, 8]
    covered = coverage(dilations)
    assert (covered.holes_per_axis, covered.field_cells) == (14, 29)
    assert covered.hole_offsets == list(range(1, 15, 2)), "every second row and column"
    return coverage_figure(dilations, [path_counts(dilations[:depth]) for depth in (1, 2, 3)])


def schedules(sweep: Path) -> Rgb:
    rows = leaderboard_rows(sweep)
    assert len(rows) == 12 and all(len(row.runs) == 3 for row in rows), "twelve schedules with three seeds each"
    for row in rows:
        assert row.gain is not None, "every run began with a front end"
        if row.field_cells <= FLAT_CELLS:
            assert abs(row.gain) < 0.01, f"{row.dilations} is level with the front end, gained {row.gain}"
        if row.field_cells >= TALL_CELLS and not row.holes_per_axis:
            assert row.gain > 0.2, f"{row.dilations} is far above the front end, gained {row.gain}"
    gain_by_holes = {bool(row.holes_per_axis): row.gain or 0.0 for row in rows if row.field_cells == TALL_CELLS}
    assert gain_by_holes[False] - gain_by_holes[True] > 0.1, (
        f"with {TALL_CELLS} cells holes cost more than ten points: {gain_by_holes}"
    )
    return leaderboard_figure(rows)


def grid(rows: Sequence[Sequence[Rgb]], columns: Sequence[str], names: Sequence[str], legend: Mapping[str, Any]) -> Rgb:
    """Tiles in their own pixels, with a title for every column and every row, and what the colours mean."""
    width = SIDE_PX + len(columns) * (TILE_PX + GAP_PX)
    height = HEAD_PX + len(rows) * (TILE_PX + GAP_PX) + FOOT_PX
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    for row, (name, pictures) in enumerate(zip(names, rows, strict=True)):
        y = height - HEAD_PX - row * (TILE_PX + GAP_PX) - TILE_PX
        figure.text(SIDE_PX / 2 / width, (y + TILE_PX / 2) / height, name, rotation=90, color=INK, ha="center",
                    va="center", ma="center", fontsize=11)  # fmt: skip
        for column, (title, pixels) in enumerate(zip(columns, pictures, strict=True)):
            x = SIDE_PX + column * (TILE_PX + GAP_PX)
            axes = figure.add_axes((x / width, y / height, TILE_PX / width, TILE_PX / height))
            axes.imshow(pixels, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_color("#b9b9c6")
            if row == 0:
                axes.set_title(title, color=INK, fontsize=12)
    handles = [
        Patch(facecolor=np.divide(colour, 255), edgecolor="#b9b9c6", label=label) for label, colour in legend.items()
    ]
    figure.legend(handles=handles, loc="center", bbox_to_anchor=(0.5, FOOT_PX / 2 / height), ncols=len(handles),
                  frameon=False, fontsize=10.5, labelcolor=INK, handlelength=1, handleheight=1, handletextpad=0.4,
                  columnspacing=1.1)  # fmt: skip
    return rendered(figure)


DRAWINGS = {
    "shapes.png": Drawing(
        "Two meadows, each by day and by night: the same butterflies and tulips by day are moths and lanterns by night",
        shapes,
    ),
    "predictions.png": Drawing(
        "A night scene: the front end alone answers butterfly and tulip, all of it wrong; "
        "the whole network answers moth and lantern",
        predictions,
        "run",
    ),
    "schedules.png": Drawing(
        "Mean IoU of twelve schedules against receptive field: level with the front end up to 33 cells, "
        "more than 20 points above it from 49 on where there are no holes",
        schedules,
        "sweep",
    ),
    "effective_field.png": Drawing(
        "How much each cell moves the answer at the centre: itself and its neighbours most, "
        "the sky 16 rows above faintly",
        field,
        "run",
    ),
    "coverage.png": Drawing(
        "Dilations 2, 4, 8, layer by layer: every second row and column of cells is never used", checkerboard
    ),
}
