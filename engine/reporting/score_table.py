"""Scores as text."""

from collections.abc import Mapping, Sequence

from engine.evaluation.metrics import Scores
from engine.runs.progress import StageResult


def percent(fraction: float | None) -> str:
    return "n/a" if fraction is None else f"{100 * fraction:.1f}"


def schedule_name(dilations: Sequence[int], widths: Sequence[int] = ()) -> str:
    """A context module in a few signs: 1,1,2 or 1,1,2 x [2, 4, 8]."""
    return ",".join(map(str, dilations)) + (f" x {list(widths)}" if widths else "")


def score_table(class_names: Sequence[str], columns: Mapping[str, StageResult | Scores]) -> str:
    """A column a result: IoU of every class in per cent, mean IoU with the number of classes it is over, accuracies."""
    rows: list[tuple[str, list[str]]] = [("IoU, %", list(columns))]
    for index, name in enumerate(class_names):
        rows.append((name, [percent(result.class_iou[index]) for result in columns.values()]))
    rule = len(rows)
    rows.append(("mean IoU", [percent(result.mean_iou) for result in columns.values()]))
    counts = [sum(iou is not None for iou in result.class_iou) for result in columns.values()]
    rows.append(("  over classes", [f"{count} of {len(class_names)}" for count in counts]))
    rows.append(("pixel accuracy", [percent(result.pixel_accuracy) for result in columns.values()]))
    rows.append(("freq.-weighted", [percent(result.frequency_weighted_iou) for result in columns.values()]))
    first = max(len(label) for label, _ in rows)
    width = max(9, *(len(cell) for _, cells in rows for cell in cells)) + 2
    lines = [label.ljust(first) + "".join(cell.rjust(width) for cell in cells) for label, cells in rows]
    line = "-" * len(lines[0])
    return "\n".join([lines[0], line, *lines[1:rule], line, *lines[rule:]])


def stage_table(class_names: Sequence[str], results: Mapping[str, StageResult]) -> str:
    """All stages side by side, and what each added to the one before."""
    table = score_table(class_names, results)
    steps: list[str] = []
    previous: tuple[str, StageResult] | None = None
    for name, result in results.items():
        if previous is not None:
            gain = 100 * (result.mean_iou - previous[1].mean_iou)
            steps.append(f"{name} over {previous[0]}: {gain:+.1f} points of mean IoU")
        previous = (name, result)
    return "\n".join([table, *steps])
