"""How far a run has come: plain numbers that ride in every checkpoint."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from engine.evaluation.evaluate import Identity
from engine.evaluation.metrics import Scores


@dataclass
class StageResult:
    """The best validation of a stage so far; fractions 0..1.

    `seconds` is the stage's wall time over all its sittings: waiting for data, steps, validations and saving.
    """

    mean_iou: float
    pixel_accuracy: float
    frequency_weighted_iou: float
    class_iou: list[float | None]
    best_step: int
    steps: int
    seconds: float
    effective_cells: float | None = None  # side of the context module's effective field
    taken: bool = False  # trained by another run, in that run's seconds; a key in files, so it keeps its name

    @classmethod
    def from_scores(cls, scores: Scores, step: int, seconds: float, effective_cells: float | None) -> "StageResult":
        return cls(
            scores.mean_iou,
            scores.pixel_accuracy,
            scores.frequency_weighted_iou,
            scores.class_iou,
            best_step=step,
            steps=step,
            seconds=seconds,
            effective_cells=effective_cells,
        )


@dataclass
class Progress:
    """The stage, the step in it, and the best result of every stage so far."""

    stage: str
    step: int = 0  # optimizer steps done in this stage
    validated_step: int = 0  # the last step of this stage whose weights were scored
    seconds: float = 0.0  # wall time of this stage, over all its sittings
    first_step_of_stage: int = 0  # steps of all stages before
    results: dict[str, StageResult] = field(default_factory=dict)
    identity: Identity | None = None
    first_loss: float | None = None
    finished: bool = False

    def enter(self, stage: str) -> None:
        """Move on to the first step of the next stage."""
        if stage != self.stage:
            self.first_step_of_stage += self.step
            self.stage, self.step, self.validated_step, self.seconds = stage, 0, 0, 0.0

    def is_due(self, every_steps: int, num_steps: int) -> bool:
        """Whether what happens every so many steps happens after this one; after the last step it always does."""
        return self.step > 0 and (self.step % every_steps == 0 or self.step == num_steps)

    def record(self, scores: Scores, effective_cells: float | None) -> bool:
        """Note a validation of the weights as they are; whether they are the best of this stage so far."""
        self.validated_step = self.step
        best = self.results.get(self.stage)
        is_best = best is None or scores.mean_iou > best.mean_iou
        if is_best:
            self.results[self.stage] = StageResult.from_scores(scores, self.step, self.seconds, effective_cells)
        self.results[self.stage].steps = self.step
        return is_best

    def take_over(self, other: "Progress") -> None:
        """Become the progress of another run, whose results are marked as that run's."""
        vars(self).update(vars(other))
        for result in self.results.values():
            result.taken = True

    @property
    def global_step(self) -> int:
        return self.first_step_of_stage + self.step

    @property
    def best_mean_iou(self) -> float:
        """Over all stages; -1 before the first validation."""
        return max((result.mean_iou for result in self.results.values()), default=-1.0)

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Progress":
        values = dict(plain)
        values["results"] = {name: StageResult(**result) for name, result in plain["results"].items()}
        values["identity"] = Identity(**plain["identity"]) if plain["identity"] else None
        return cls(**values)


def judged_stage(stages: Mapping[str, Any]) -> str:
    """The stage by whose score a schedule is judged: the context stage, or else the last one."""
    return "context" if "context" in stages else list(stages)[-1]
