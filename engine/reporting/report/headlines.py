"""The result in one sentence: the first thing that a report says."""

import itertools
from collections.abc import Sequence

from engine.reporting.comparisons import Comparisons
from engine.reporting.figures import shortened
from engine.reporting.leaderboard_page import score
from engine.reporting.leaderboard_rows import Row
from engine.reporting.report.records import Record
from engine.reporting.report.tables import LONGEST_NAME, signed
from engine.reporting.score_table import percent

ONE_SEED = "Single runs say nothing of other seeds; a sweep over seeds would."


def run_headline(record: Record) -> str:
    """The best stage's score, and what each stage added."""
    best = record.best_stage
    if best is None:
        return "No validation has left a score here."
    result = record.stages[best]
    scored = sum(iou is not None for iou in result.class_iou)
    images = record.summary.scored_images if record.summary else None
    on = f" on {images.count} images" if images else ""
    so_far = "" if record.summary else "Not finished; so far "
    sentence = f"{so_far}{percent(result.mean_iou)} % mean IoU over {scored} of {len(record.class_names)} classes{on}"
    stages = list(record.stages.items())
    gains = [
        f"{name} {signed(100 * (after.mean_iou - before.mean_iou))} points over {previous}"
        for (previous, before), (name, after) in itertools.pairwise(stages)
    ]
    return "; ".join([f"{sentence}, after the {best} stage", *gains]) + "."


def runs_headline(records: Sequence[Record]) -> str:
    """Which run is best, and how far from the first."""
    scores = {
        record.name: record.stages[record.best_stage].mean_iou for record in records if record.best_stage is not None
    }
    if not scores:
        return "No validation has left a score here."
    best, first = max(scores, key=scores.__getitem__), records[0].name
    others = {name: score for name, score in scores.items() if name != best}
    sentence = f"{best} is best with {percent(scores[best])} % mean IoU"
    if not others:
        return f"{sentence}."
    other = first if first in others else max(others, key=others.__getitem__)
    gap = signed(100 * (scores[best] - scores[other]))
    return f"{sentence}, {gap} points over {other}. {ONE_SEED}"


def sweep_headline(rows: Sequence[Row], comparisons: Comparisons) -> str:
    """What came first, and how many of its differences to others are certain."""
    if not rows:
        return "No run with a context module is finished."
    best, num_runs = rows[0], sum(len(row.runs) for row in rows)
    gain = "" if best.gain is None else f", {signed(100 * best.gain, 2)} points over the front end"
    sentence = (
        f"{shortened(best.name, LONGEST_NAME)} is best of {len(rows)} rows, {num_runs} runs, with {score(best)} % mean "
        f"IoU{gain}."
    )
    compared = comparisons.compared
    if not compared:
        return sentence
    real, reference = sum(comparison.is_real for comparison in compared), shortened(comparisons.reference, LONGEST_NAME)
    return f"{sentence} Real beyond chance: {real} of {len(compared)} differences to {reference}."
