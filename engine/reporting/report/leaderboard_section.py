"""The section of a sweep: its leaderboard, how sure that is, and which runs are not in it."""

from collections.abc import Sequence

from engine.reporting.comparisons import Comparisons
from engine.reporting.figures import shortened
from engine.reporting.leaderboard_figure import leaderboard_figure
from engine.reporting.leaderboard_page import remarks, score
from engine.reporting.leaderboard_rows import Row
from engine.reporting.report.parts import Gallery, Heading, Paragraph, Part, Picture, Points, Section
from engine.reporting.report.pictures import PictureBudget
from engine.reporting.report.records import Record
from engine.reporting.report.tables import class_gain_table, comparison_table, leaderboard_table

BULLET = "* "
LONGEST_LINE = 1500  # signs
MOST_LISTED = 40  # rows with all their classes, runs that are not in the leaderboard


def leaderboard_section(
    rows: Sequence[Row], comparisons: Comparisons, left_out: Sequence[Record], budget: PictureBudget
) -> Section:
    section = Section("leaderboard", "Leaderboard")
    if rows:
        figure = budget.figure(leaderboard_figure(rows))
        alt = "Mean IoU against receptive field. " + "; ".join(
            f"{row.name}: {score(row)} % at {row.field_cells} cells{', with holes' * bool(row.holes_per_axis)}"
            for row in rows[:MOST_LISTED]
        )
        section.parts += [leaderboard_table(rows), Gallery([Picture(figure, alt, is_figure=True)])]
    if comparisons.compared:
        section.parts += [Heading("How sure this is"), comparison_table(comparisons)]
    section.parts += _from_markdown(remarks(rows, comparisons))
    if any(row.class_gain for row in rows):
        section.parts += [Heading("Gain class by class"), class_gain_table(rows[:MOST_LISTED])]
    if left_out:
        reasons = [f"{record.name}: {'; '.join(record.problems) or 'no context module'}" for record in left_out]
        more = len(reasons) - MOST_LISTED
        section.parts += [Heading("Not in the leaderboard"), Points(reasons[:MOST_LISTED])]
        section.parts += [Paragraph(f"{more} more.")] if more > 0 else []
    return section


def _from_markdown(lines: Sequence[str]) -> list[Part]:
    parts: list[Part] = []
    for line in (shortened(line, LONGEST_LINE) for line in lines):
        if line.startswith(BULLET) and parts and isinstance(parts[-1], Points):
            parts[-1].lines.append(line.removeprefix(BULLET))
        elif line.startswith(BULLET):
            parts.append(Points([line.removeprefix(BULLET)]))
        elif line:
            parts.append(Paragraph(line))
    return parts


def detailed_rows(rows: Sequence[Row], comparisons: Comparisons) -> list[Row]:
    """The rows to look at closely: the best, after the reference; where the best is the reference, after the second."""
    if len(rows) < 2:
        return list(rows)
    named = next((row for row in rows if row.name == comparisons.reference), rows[0])
    return [rows[1] if named is rows[0] else named, rows[0]]
