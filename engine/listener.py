"""What training reports while it goes on, to whoever listens."""

from typing import Protocol

from configs.schema import StageConfig
from engine.contracts import TrainBatch
from engine.evaluation.effective_field import FieldMeasurement
from engine.evaluation.evaluate import Evaluation, Identity
from engine.runs.progress import Progress, StageResult


class Listener(Protocol):
    """`progress` is the run's own and goes on changing: read it at once."""

    def log(self, text: str) -> None:
        """A line for people."""

    def flush(self) -> None:
        """A checkpoint is about to be written: what was reported so far must not be lost."""

    def stage_started(self, progress: Progress, config: StageConfig, num_parameters: int) -> None:
        """A stage begins or goes on at `progress.step`; so many parameters are trained."""

    def first_batch(self, progress: Progress, batch: TrainBatch) -> None:
        """A stage's first step is about to be taken, on this micro-batch and maybe others."""

    def step_done(
        self, progress: Progress, *, loss: float, lr: float, gradient_norm: float, took_s: float, waited_s: float
    ) -> None:
        """`progress.step` counts the step, which took so long; for `waited_s` of it its batches were not there."""

    def identity_certified(self, identity: Identity) -> None:
        """The fresh context module was compared with the front end alone."""

    def validated(
        self, progress: Progress, evaluation: Evaluation, measurement: FieldMeasurement | None, is_best: bool
    ) -> None:
        """The weights as they are were scored; `measurement` is of the context module's field, if there is one."""

    def stage_ended(self, stage: str, result: StageResult) -> None:
        """A stage is finished; one that is broken off does not end."""


class SilentListener:
    """A `Listener` that does nothing."""

    def log(self, text: str) -> None: ...
    def flush(self) -> None: ...
    def stage_started(self, progress: Progress, config: StageConfig, num_parameters: int) -> None: ...
    def first_batch(self, progress: Progress, batch: TrainBatch) -> None: ...
    def step_done(
        self, progress: Progress, *, loss: float, lr: float, gradient_norm: float, took_s: float, waited_s: float
    ) -> None: ...
    def identity_certified(self, identity: Identity) -> None: ...
    def validated(
        self, progress: Progress, evaluation: Evaluation, measurement: FieldMeasurement | None, is_best: bool
    ) -> None: ...
    def stage_ended(self, stage: str, result: StageResult) -> None: ...
