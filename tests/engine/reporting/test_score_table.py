"""The table of scores that a run prints."""

from engine.reporting.score_table import stage_table
from engine.runs.progress import StageResult


def result(mean_iou: float, class_iou: list[float | None]) -> StageResult:
    return StageResult(mean_iou, 0.9, 0.8, class_iou, best_step=1, steps=1, seconds=1.0)


def test_table_shows_absent_classes_as_na_the_count_and_the_gain() -> None:
    results = {"frontend": result(0.5, [0.5, None]), "context": result(0.625, [0.75, 0.5])}
    lines = [line.split() for line in stage_table(["road", "tree"], results).splitlines()]
    assert ["tree", "n/a", "50.0"] in lines
    assert ["over", "classes", "1", "of", "2", "2", "of", "2"] in lines
    assert ["context", "over", "frontend:", "+12.5", "points", "of", "mean", "IoU"] in lines
