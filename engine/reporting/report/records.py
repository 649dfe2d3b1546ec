"""What a run left in its folder, as far as it can be read: a stranger's files, so every value is judged before use."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from configs.errors import DamagedFileError
from configs.schema import STAGES, VOID
from engine.reporting.leaderboard_rows import summaries_below
from engine.reporting.report.events import Events, read_events
from engine.runs.folder import (
    BEST_NAME,
    CONFIG_NAME,
    LAST_NAME,
    SUMMARY_NAME,
    confusions_name,
    read_confusions,
    stage_name,
)
from engine.runs.progress import judged_stage

MOST_JSON_BYTES = 4 * 2**20  # of a file that is read whole
MOST_LAYERS, MOST_SITTINGS, MOST_ENTRIES = 64, 1000, 100  # of what a page shows in full

Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=2**62)]
Amount = Annotated[float, Field(ge=0)]


class Content(BaseModel):
    """A part of summary.json. Keys that a report does not show are left out."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class StageScores(Content):
    """The best validation of a stage."""

    mean_iou: Fraction
    class_iou: list[Fraction | None]
    pixel_accuracy: Fraction | None = None
    frequency_weighted_iou: Fraction | None = None
    best_step: Count | None = None
    steps: Count | None = None
    seconds: Amount | None = None
    effective_cells: Amount | None = None
    taken: bool = False


class Schedule(Content):
    dilations: list[Annotated[int, Field(ge=1, le=512)]] = Field(min_length=1, max_length=MOST_LAYERS)
    widths: list[Annotated[int, Field(ge=1, le=64)]] = Field([], max_length=MOST_LAYERS)
    field_cells: Count
    field_px: Count
    holes_per_axis: Count
    gcd: Count
    parameters: Count
    multiply_adds: Count


class Identity(Content):
    before: Fraction
    class_iou_before: list[Fraction | None]


class ScoredImages(Content):
    digest: str
    count: Count


class Sitting(Content):
    """After the first: when the run went on, from where, and what was another one from then on."""

    resumed_at: str
    stage: str
    step: Count
    changes: dict[str, tuple[Any, Any]] = Field(max_length=MOST_ENTRIES)


class Summary(Content):
    stages: dict[str, StageScores] = Field(min_length=1)
    classes: list[str] = Field(min_length=1, max_length=VOID)
    seed: Count = 0
    experiment: str = ""
    identity: Identity | None = None
    schedule: Schedule | None = None
    scored_images: ScoredImages | None = None
    peak_memory_mib: Amount | None = None
    runtime: dict[str, str | int] = Field({}, max_length=MOST_ENTRIES)
    versions: dict[str, str] = Field({}, max_length=MOST_ENTRIES)
    history: list[Sitting] = Field([], max_length=MOST_SITTINGS)

    @model_validator(mode="after")
    def _fits_together(self) -> "Summary":
        if not self.stages.keys() <= set(STAGES):
            raise ValueError(f"stages are {', '.join(STAGES)}")
        ious = [scores.class_iou for scores in self.stages.values()]
        ious += [self.identity.class_iou_before] if self.identity else []
        if any(len(class_iou) != len(self.classes) for class_iou in ious):
            raise ValueError("one IoU for each class is required")
        return self

    @property
    def is_comparable(self) -> bool:
        """Whether a leaderboard has all that it needs."""
        result = self.stages[judged_stage(self.stages)]
        measured = (result.effective_cells, result.seconds, self.peak_memory_mib)
        return self.schedule is not None and None not in measured


@dataclass(frozen=True, eq=False)
class Record:
    """A run's folder. What is missing or damaged is None or empty, and `problems` says so."""

    folder: Path
    name: str
    summary: Summary | None  # None: not finished, or damaged
    config: dict[str, Any]
    problems: list[str] = field(default_factory=list)

    @cached_property
    def events(self) -> Events:
        return read_events(self.folder, self.problems.append)

    @cached_property
    def class_names(self) -> list[str]:
        return self.summary.classes if self.summary else list(self.events.class_iou)

    @cached_property
    def stages(self) -> dict[str, StageScores]:
        """Of an unfinished run the best validation of each stage, from TensorBoard's files."""
        if self.summary is not None:
            return self.summary.stages
        return {
            stage: StageScores(mean_iou=mean_iou, class_iou=self.events.class_iou_at(step), steps=step)
            for stage, (step, mean_iou) in self.events.best_validations().items()
            if 0 <= mean_iou <= 1
        }

    @property
    def best_stage(self) -> str | None:
        """The stage with the best mean IoU, of those that this run trained itself: of others it has no matrices."""
        own = [stage for stage, scores in self.stages.items() if not scores.taken] or list(self.stages)
        return max(own, key=lambda stage: self.stages[stage].mean_iou) if own else None

    @property
    def schedule(self) -> Schedule | None:
        return self.summary.schedule if self.summary else None

    def best_step(self, stage: str) -> int | None:
        """The step of a stage's best validation, counted from the first step of the run."""
        if self.summary is None:
            return self.stages[stage].steps
        steps = [result.steps for name, result in self.stages.items() if STAGES.index(name) < STAGES.index(stage)]
        own = self.stages[stage].best_step
        return None if own is None or None in steps else own + sum(step or 0 for step in steps)

    def checkpoint(self, stage: str) -> Path | None:
        """The best weights of a stage."""
        file = self.folder / stage_name(stage)
        return file if file.is_file() else None

    def confusions(self, stage: str) -> NDArray[np.int64] | None:
        """Of every validation image, (N, K, K); rows are the truth."""
        path = self.folder / confusions_name(stage)
        if not path.is_file():
            return None
        try:
            counts_NKK = read_confusions(path)
        except DamagedFileError as error:
            self.problems.append(str(error))
            return None
        if counts_NKK.shape[1] != len(self.class_names):
            self.problems.append(f"{path.name}: {counts_NKK.shape[1]} classes, the run has {len(self.class_names)}")
            return None
        return counts_NKK


def holds_a_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (SUMMARY_NAME, CONFIG_NAME, LAST_NAME, BEST_NAME))


def run_folders(folder: Path) -> list[Path]:
    """The runs below a folder: the finished ones in the order in which they ended, then the others by name."""
    finished = [path.parent for path in summaries_below(folder) if path.is_file()]
    begun = sorted({path.parent for path in folder.rglob(CONFIG_NAME)} - set(finished))
    return finished + begun


def read_record(folder: Path, name: str) -> Record:
    problems: list[str] = []
    config = _read_json(folder / CONFIG_NAME, problems)
    content = _read_json(folder / SUMMARY_NAME, problems)
    summary = None
    if content:
        try:
            summary = Summary.model_validate(content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            problems.append(f"{SUMMARY_NAME} is damaged: {place}{': ' * bool(place)}{first['msg']}")
    elif not (folder / SUMMARY_NAME).exists():
        problems.append(f"the run is not finished: there is no {SUMMARY_NAME} yet, the scores are TensorBoard's")
    return Record(folder, name, summary, config, problems)


def _read_json(path: Path, problems: list[str]) -> dict[str, Any]:
    """Empty where the file is not there or cannot be read."""
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > MOST_JSON_BYTES:
            raise ValueError(f"larger than {MOST_JSON_BYTES >> 20} MiB")
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError("no object in it")
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{path.name} cannot be read: {error}")
        return {}
    return content
