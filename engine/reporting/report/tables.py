"""The tables of a report: scores, differences, confusions, settings."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.schema import STAGES
from engine.reporting.comparisons import Comparisons
from engine.reporting.figures import shortened
from engine.reporting.leaderboard_page import OTHER_SETTINGS, PAGE_COLUMNS, verdict
from engine.reporting.leaderboard_rows import Row, default_settings, plain_cell
from engine.reporting.report.parts import Cell, Table, TableRow, Tone
from engine.reporting.report.records import Record, StageScores
from engine.reporting.score_table import percent
from engine.runs.changes import flatten

MINUS = "\u2212"
LONGEST_NAME, LONGEST_VALUE = 60, 120  # signs
MOST_SETTINGS = 200  # lines of a table of differences
SMALL, MIDDLING = 1.0, 5.0  # points: smaller differences are tinted faintly, larger ones strongly
HEAT_STEPS = (1, 5, 20, 50, 80)  # per cent from which a cell of a confusion matrix is one tint darker
LEADING = ("mean IoU, %", "gain", "seeds", "field, cells", "holes")  # columns of a leaderboard that come first
NUM_PAIRS = 8  # most confused ones, as text
ABSENT = "n/a"


def signed(points: float, decimals: int = 1) -> str:
    """A difference in points; a true minus, and no sign at zero."""
    text = f"{abs(points):.{decimals}f}"
    return text if float(text) == 0 else f"{'+' if points > 0 else MINUS}{text}"


def tone(points: float) -> Tone:
    size = abs(points)
    if f"{size:.1f}" == "0.0":
        return ""
    strength = 1 if size < SMALL else 2 if size < MIDDLING else 3
    tones: tuple[Tone, ...] = ("gain-1", "gain-2", "gain-3") if points > 0 else ("loss-1", "loss-2", "loss-3")
    return tones[strength - 1]


def short_name(name: str) -> str:
    return shortened(name, LONGEST_NAME)


def score_rows(
    class_names: Sequence[str], columns: Sequence[StageScores | None], reference: int | None
) -> list[TableRow]:
    """Every class, mean IoU and the accuracies; differences to the column `reference`, where there is one."""
    values: list[tuple[str, list[float | None], bool]] = [
        (short_name(name), [column.class_iou[index] if column else None for column in columns], False)
        for index, name in enumerate(class_names)
    ]
    for title, field, is_total in (
        ("mean IoU", "mean_iou", True),
        ("pixel accuracy", "pixel_accuracy", False),
        ("frequency-weighted IoU", "frequency_weighted_iou", False),
    ):
        values.append((title, [getattr(column, field) if column else None for column in columns], is_total))
    return [TableRow(name, _compared(row, reference), is_total) for name, row, is_total in values if any_known(row)]


def any_known(values: Sequence[float | None]) -> bool:
    return any(value is not None for value in values)


def _compared(values: Sequence[float | None], reference: int | None) -> list[Cell]:
    """Per cent; a cell that is compared with the one at `reference` has their difference in points."""
    base = None if reference is None else values[reference]
    cells = []
    for place, value in enumerate(values):
        if value is None or base is None or place == reference:
            cells.append(Cell(percent(value)))
        else:
            points = 100 * (value - base)
            cells.append(Cell(percent(value), signed(points), tone(points)))
    return cells


def stage_table(record: Record) -> Table:
    """A column a stage, each compared with the one before."""
    stages = [stage for stage in STAGES if stage in record.stages]
    columns = [record.stages[stage] for stage in stages]
    by_step = [score_rows(record.class_names, columns, max(0, place - 1)) for place in range(len(stages))]
    rows = [
        TableRow(rows[0].heading, [row.cells[place] for place, row in enumerate(rows)], rows[0].is_total)
        for rows in zip(*by_step, strict=True)
    ]
    than = ", and in points the difference to the stage before" if len(stages) > 1 else ""
    return Table(f"IoU of every class in per cent{than}", "class", stages, rows)


def run_tables(records: Sequence[Record]) -> list[Table]:
    """A table a stage, a column a run, each compared with the first; runs of other classes are left out."""
    names = records[0].class_names
    alike = [record for record in records if record.class_names == names]
    return [
        Table(
            f"{stage}: IoU of every class in per cent, and in points the difference to {alike[0].name}",
            "class",
            [record.name for record in alike],
            score_rows(names, [record.stages.get(stage) for record in alike], 0),
        )
        for stage in STAGES
        if any(stage in record.stages for record in alike)
    ]


def leaderboard_table(rows: Sequence[Row]) -> Table:
    """As leaderboard.md has it, the scores at the front: a phone shows few columns at once."""
    first, *others = (column for column in PAGE_COLUMNS if column is not OTHER_SETTINGS)
    others.sort(key=lambda column: LEADING.index(column.title) if column.title in LEADING else len(LEADING))
    if any(row.other_settings for row in rows):
        others.append(OTHER_SETTINGS)
    lines = [
        TableRow(
            shortened(str(first.cell(row)), LONGEST_VALUE),
            [Cell(short_name(str(column.cell(row)))) for column in others],
        )
        for row in rows
    ]
    caption = "One row a schedule, the best first: means over the seeds, mean IoU with its 95 % interval"
    return Table(caption, first.title, [column.title for column in others], lines)


def comparison_table(comparisons: Comparisons) -> Table:
    """The reference against every other row that may be compared with it."""
    rows = []
    for one in comparisons.compared:
        ps = [ABSENT if p is None else f"{p:.2g}" for p in (one.p, one.p_corrected)]
        interval = f"{signed(100 * one.low, 2)} to {signed(100 * one.high, 2)}"
        points = 100 * one.mean
        cells = [Cell("", signed(points, 2), tone(points)), Cell(interval), Cell(str(len(one.seeds))), *map(Cell, ps)]
        rows.append(TableRow(shortened(one.second_name, LONGEST_VALUE), [*cells, Cell(verdict(one), is_text=True)]))
    columns = ["points", "95 % interval", "seeds", "p", "p corrected", "verdict"]
    caption = f"{comparisons.reference} against the others, on the same images and seeds, in points of mean IoU"
    return Table(caption, "dilations", columns, rows)


def class_gain_table(rows: Sequence[Row]) -> Table:
    """What each schedule adds to the front end, class by class."""
    names = list(dict.fromkeys(name for row in rows for name in row.class_gain))
    lines = [
        TableRow(shortened(row.name, LONGEST_VALUE), [_gain(row.class_gain.get(name)) for name in names])
        for row in rows
    ]
    caption = "Gain of every class over the front end, in points of IoU, means over the seeds"
    return Table(caption, "dilations", [short_name(name) for name in names], lines)


def _gain(gain: float | None) -> Cell:
    return Cell(ABSENT) if gain is None else Cell("", signed(100 * gain), tone(100 * gain))


def confusion_table(counts_KK: NDArray[np.int64], class_names: Sequence[str], caption: str) -> Table:
    """Each row (truth) as per cent of that class's pixels; shares below half a per cent stay empty."""
    shares_KK = row_shares(counts_KK)
    names = [short_name(name) for name in class_names]
    rows = [
        TableRow(name, [Cell(f"{share:.0f}" if share >= 0.5 else "", tone=_heat(share)) for share in shares])
        for name, shares in zip(names, shares_KK.tolist(), strict=True)
    ]
    return Table(caption, "truth", names, rows, is_matrix=True)


def row_shares(counts_KK: NDArray[np.int64]) -> NDArray[np.float64]:
    """Per cent of each row's sum; 0 where a row is empty."""
    totals_K1 = counts_KK.sum(1, keepdims=True)
    shares_KK: NDArray[np.float64] = np.divide(
        100.0 * counts_KK, totals_K1, out=np.zeros(counts_KK.shape), where=totals_K1 > 0
    )
    return shares_KK


def _heat(share: float) -> Tone:
    tones: tuple[Tone, ...] = ("", "heat-1", "heat-2", "heat-3", "heat-4", "heat-5")
    return tones[sum(share >= step for step in HEAT_STEPS)]


def confused_pairs(counts_KK: NDArray[np.int64], class_names: Sequence[str]) -> list[str]:
    """The pairs that cost most pixels, in words."""
    wrong_KK = counts_KK - np.diag(counts_KK.diagonal())
    shares_KK, total, names = row_shares(counts_KK), max(1, int(counts_KK.sum())), list(map(short_name, class_names))
    order = np.argsort(-wrong_KK, axis=None, kind="stable")[:NUM_PAIRS]
    pairs = [divmod(int(place), len(names)) for place in order]
    return [
        f"{names[truth]} taken for {names[answer]}: {shares_KK[truth, answer]:.1f} % of its pixels, "
        f"{100 * wrong_KK[truth, answer] / total:.2f} % of all"
        for truth, answer in pairs
        if wrong_KK[truth, answer] > 0
    ]


def settings_table(records: Sequence[Record]) -> Table:
    """The keys in which runs differ; a key that a run's version did not have yet has its default."""
    settings = [{**flatten(default_settings()), **flatten(record.config)} for record in records]
    keys = [key for key in dict.fromkeys(key for own in settings for key in own) if not key.startswith("run.")]
    differing = [key for key in keys if any(own.get(key) != settings[0].get(key) for own in settings)]
    rows = [TableRow(shortened(key, LONGEST_VALUE), [Cell(_value(own.get(key))) for own in settings])
            for key in differing[:MOST_SETTINGS]]  # fmt: skip
    more = len(differing) - len(rows)
    caption = "Settings that differ" + (f"; {more} more are not shown" if more else "")
    return Table(caption, "key", [record.name for record in records], rows, is_text=True)


def _value(value: Any) -> str:
    text = str(plain_cell(value)) if not isinstance(value, dict) else json.dumps(value)
    return shortened(text, LONGEST_VALUE) or "none"


def machine_table(records: Sequence[Record]) -> Table:
    """On what the runs were computed, and what they took."""
    facts: dict[str, list[str]] = {}

    def note(name: str, place: int, value: object) -> None:
        facts.setdefault(name, [""] * len(records))[place] = shortened(str(value), LONGEST_VALUE)

    for place, record in enumerate(records):
        if record.summary is None:
            continue
        for name, value in record.summary.runtime.items():
            note(name, place, value)
        for stage, result in record.stages.items():
            if result.seconds is not None:
                taken = ", of the run that trained it" if result.taken else ""
                note(f"{stage}, wall time", place, f"{duration(result.seconds)}{taken}")
        if record.summary.peak_memory_mib is not None:
            note("peak memory", place, f"{record.summary.peak_memory_mib:,.0f} MiB")
        for name, value in record.summary.versions.items():
            note(name, place, value)
    rows = [TableRow(shortened(name, LONGEST_NAME), list(map(Cell, values))) for name, values in facts.items()]
    return Table("Machine, time and versions", "item", [record.name for record in records], rows, is_text=True)


def duration(seconds: float) -> str:
    """42 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def history_lines(record: Record) -> list[str]:
    """Every sitting after the first, in words."""
    lines = []
    for sitting in record.summary.history if record.summary else []:
        changes = "; ".join(f"{key}: {then} then, {now} from here on" for key, (then, now) in sitting.changes.items())
        lines.append(
            f"resumed {shortened(sitting.resumed_at, LONGEST_NAME)} at {shortened(sitting.stage, LONGEST_NAME)} step "
            f"{sitting.step}: {shortened(changes, 4 * LONGEST_VALUE) or 'nothing changed'}"
        )
    return lines
