"""A leaderboard as text: the page that people read, and a table for spreadsheets."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from functools import partial
from typing import NamedTuple

from engine.evaluation.significance import ERROR_RATE, needed_errors
from engine.reporting.comparisons import Comparison, Comparisons
from engine.reporting.leaderboard_rows import Row, plain_cell, settings_text
from engine.reporting.score_table import schedule_name

ENOUGH_SEEDS = 5  # with fewer the page says what so many would certify
TITLES_BY_KEY = {"mean_iou": "mean_iou_seed_", "runs": "run_seed_", "class_gain": "class_gain_"}  # titles begin so


class Column(NamedTuple):
    """A column of either table: its title, and what stands there for a row."""

    title: str
    cell: Callable[[Row], object]


def _extreme_gain(row: Row, *, best: bool) -> str:
    """The class that gained most or least over the front end."""
    gains = [(gain, name) for name, gain in row.class_gain.items() if gain is not None]
    if not gains:
        return ""
    gain, name = max(gains) if best else min(gains)
    return f"{name} {100 * gain:+.1f}"


def score(row: Row) -> str:
    """Mean IoU in per cent, with its interval over the seeds."""
    return f"{100 * row.mean:.2f}" + ("" if row.interval is None else f" ± {100 * row.interval:.2f}")


OTHER_SETTINGS = Column("other settings", lambda row: settings_text(row.other_settings))
PAGE_COLUMNS = (
    Column("dilations", lambda row: schedule_name(row.dilations, row.widths)),
    OTHER_SETTINGS,
    Column("field, cells", lambda row: row.field_cells),
    Column("in effect", lambda row: f"{row.effective_cells:.1f}"),
    Column("field, px", lambda row: row.field_px),
    Column("holes", lambda row: row.holes_per_axis),
    Column("parameters", lambda row: f"{row.parameters:,}"),
    Column("multiply-adds", lambda row: f"{row.multiply_adds:,}"),
    Column("seconds", lambda row: f"{row.seconds:.0f}"),
    Column("MiB", lambda row: f"{row.peak_memory_mib:.0f}"),
    Column("seeds", lambda row: len(row.mean_iou)),
    Column("mean IoU, %", score),
    Column("gain", lambda row: "" if row.gain is None else f"{100 * row.gain:+.2f}"),
    Column("best class gain", partial(_extreme_gain, best=True)),
    Column("worst class gain", partial(_extreme_gain, best=False)),
)


def markdown(rows: Sequence[Row]) -> str:
    """The table that people read; mean IoU and gains in per cent."""
    has_other = any(row.other_settings for row in rows)
    columns = [column for column in PAGE_COLUMNS if has_other or column is not OTHER_SETTINGS]
    titles, *lines = [f"| {' | '.join(map(str, cells))} |" for cells in _table(columns, rows)]
    return "\n".join([titles, "|" + "---|" * len(columns), *lines])


def csv_table(rows: Sequence[Row]) -> list[list[object]]:
    """Titles, then numbers and text alone: every field of a row, by seed and by class a column each."""
    columns: list[Column] = []
    for field in fields(Row) if rows else ():
        if field.name not in TITLES_BY_KEY:
            columns.append(Column(field.name, partial(_plain, field.name, None)))
            continue
        keys = dict.fromkeys(key for row in rows for key in getattr(row, field.name))
        ordered = keys if field.name == "class_gain" else sorted(keys, key=int)
        columns += [Column(TITLES_BY_KEY[field.name] + key, partial(_plain, field.name, key)) for key in ordered]
    return _table(columns, rows)


def _plain(field: str, key: str | None, row: Row) -> int | float | str:
    value = getattr(row, field)
    return plain_cell(value if key is None else value.get(key))


def _table(columns: Sequence[Column], rows: Sequence[Row]) -> list[list[object]]:
    """The titles, then a line for each row."""
    return [[column.title for column in columns], *([column.cell(row) for column in columns] for row in rows)]


def page(rows: Sequence[Row], comparisons: Comparisons) -> str:
    """The table, and how sure the first place is."""
    return "\n".join([markdown(rows), *_verdicts(comparisons), *remarks(rows, comparisons)])


def remarks(rows: Sequence[Row], comparisons: Comparisons) -> list[str]:
    """How the verdicts come about, and what is not compared or counted: lines of Markdown, points begin with "* "."""
    return [*_method(comparisons), *_left_out(comparisons), *_repetitions(rows)]


def _verdicts(comparisons: Comparisons) -> Iterator[str]:
    if not comparisons.compared:
        return
    yield from ("", f"{comparisons.reference} against the others, on the same images and seeds:", "")
    for comparison in comparisons.compared:
        gap = f"{100 * comparison.mean:+.2f} points"
        bounds = f"{100 * comparison.low:+.2f} to {100 * comparison.high:+.2f} at 95 %"
        seeds = f"{len(comparison.seeds)} seed{'s' if len(comparison.seeds) > 1 else ''}"
        p = "" if comparison.p is None else f", p {comparison.p:.2g}, corrected {comparison.p_corrected:.2g}"
        yield f"* {comparison.second_name}: {gap} ({bounds}, {seeds}{p}): {verdict(comparison)}"


def verdict(comparison: Comparison) -> str:
    """Whether two rows differ, in a few words."""
    if len(comparison.seeds) == 1:
        return "one seed: nothing can be said of other seeds"
    if comparison.p is None:
        return (
            "the same score under every seed"
            if comparison.mean == 0
            else "every seed gave the same: they tell nothing of others"
        )
    if comparison.is_real:
        return "a real difference"
    return "no difference beyond chance" if comparison.p > ERROR_RATE else "not certain among so many comparisons"


def _method(comparisons: Comparisons) -> Iterator[str]:
    """How the verdicts come about, and what so few seeds can carry."""
    tested = [comparison for comparison in comparisons.compared if comparison.p is not None]
    if not tested:
        return
    num = comparisons.num_candidates
    choice = f"came first, which any of {num} rows could have: p times {num}, one-sided"
    if not comparisons.came_first:
        choice = "was named, beforehand as we trust"
        if num > 1:
            choice += f"; the best of {num} rows of that name: p times {num}"
    yield ""
    yield (
        "Interval and p are of each pair alone: Student's t over the seeds, or a bootstrap over images and seeds where "
        "that is wider. They assume that differences over seeds are normally distributed. The corrected p allows for "
        f"all {len(tested)} comparisons (Holm) and for the choice of {comparisons.reference}: it {choice}. Real is "
        "what stays below 0.05: at most one page in twenty calls anything real by chance."
    )
    fewest = min(len(comparison.seeds) for comparison in tested)
    if fewest < ENOUGH_SEEDS and not all(comparison.is_real for comparison in tested):
        now, then = (
            needed_errors(num_seeds, len(tested), num, came_first=comparisons.came_first)
            for num_seeds in (fewest, ENOUGH_SEEDS)
        )
        yield (
            f"With {fewest} seeds even the clearest of the differences must reach {now:.0f} of its standard errors to "
            f"be called real, with {ENOUGH_SEEDS} seeds {then:.0f}: large differences may go uncertified here, and "
            "more seeds would tell."
        )


def _left_out(comparisons: Comparisons) -> Iterator[str]:
    if comparisons.left_out:
        yield from ("", f"Not compared with {comparisons.reference}:", "")
    for reason, names in comparisons.left_out.items():
        yield f"* {reason}: {'; '.join(names)}"


def _repetitions(rows: Sequence[Row]) -> Iterator[str]:
    repeated = [row for row in rows if row.repetitions]
    if repeated:
        yield from ("", "Repeated under the same settings and seed; of one seed the run that ended first counts:", "")
    for row in repeated:
        for seed, places in row.repetitions.items():
            yield f"* {row.name}, seed {seed}: {row.runs[seed]} counts, not {', '.join(places)}"
