"""The header of a run without data and without a network."""

from typing import Any

from configs.schema import Config
from engine.runs.header import ClassTable, DataDigest, RunHeader, ScheduleFigures


def run_header(**parts: Any) -> RunHeader:
    """Of the default config on two classes; `parts` are fields of the header to have otherwise."""
    default: dict[str, Any] = {
        "config": Config().model_dump(),
        "classes": ClassTable(["road", "car"], [[0, 0, 0], [9, 9, 9]]),
        "runtime": {"device": "cpu", "precision": "float32", "threads": 2},
        "versions": {"torch": "2"},
        "data": DataDigest(samples=["a", "b"], sizes=[2, 1], files=["c", "d"]),
        "geometry": {},
    }
    return RunHeader(**{**default, **parts})


def schedule_figures(dilations: list[int], **figures: int) -> ScheduleFigures:
    """Of a schedule; a figure that is not given is 1."""
    names = ("field_cells", "field_px", "holes_per_axis", "gcd", "parameters", "multiply_adds")
    return ScheduleFigures(dilations, [], **{**dict.fromkeys(names, 1), **figures})
