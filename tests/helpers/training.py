"""One stage of training, without a run around it."""

from dataclasses import dataclass, field
from typing import Any

from configs.schema import Precision, RuntimeConfig, StageConfig
from engine.contracts import DenseModel, TrainBatches
from engine.process.stop import StopRequest
from engine.runs.progress import Progress
from engine.runtime import choose_runtime
from engine.training.loop import StageLoop
from engine.training.losses import CrossEntropy
from engine.training.optimizers import build_optimizer


@dataclass
class Record:
    """Stands where the reporter does, and keeps the loss and the gradient's norm of every step."""

    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)

    def first_loss(self, loss: float, num_classes: int) -> None: ...

    def stepped(self, progress: Progress, *, loss: float, norm: float, **_: Any) -> None:
        self.losses.append(loss)
        self.norms.append(norm)


def run_stage(stage: str, model: DenseModel, config: StageConfig, batches: TrainBatches) -> Record:
    """All steps of the stage, in the model's own precision with one thread; nothing is validated or saved."""
    record = Record()
    loop = StageLoop(
        config=config,
        model=model,
        optimizer=build_optimizer(config.optimizer, model.named_parameters()),
        loss=CrossEntropy(config.loss, model.stride, model.node_offset_px, model.head),
        runtime=choose_runtime(RuntimeConfig(precision=Precision.float32, threads=1)),
        report=record,  # type: ignore[arg-type]
        stop=StopRequest(),
        log_steps=config.steps,
        save_steps=config.steps,
    )
    loop.run(Progress(stage), batches, lambda: None, lambda: None)
    return record
