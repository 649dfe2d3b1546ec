"""One stage of training, without a run around it."""

from typing import Any

from configs.schema import RuntimeConfig, StageConfig
from engine.contracts import DenseModel, TrainBatches
from engine.listener import SilentListener
from engine.process.stop import StopRequest
from engine.runs.progress import Progress
from engine.runtime import Runtime, choose_runtime
from engine.training.loop import StageLoop
from engine.training.losses import CrossEntropy
from engine.training.optimizers import build_optimizer


class Record(SilentListener):
    """Keeps the loss and the gradient's norm of every step."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.norms: list[float] = []

    def step_done(self, progress: Progress, *, loss: float, gradient_norm: float, **_: Any) -> None:
        self.losses.append(loss)
        self.norms.append(gradient_norm)


def run_stage(
    stage: str, model: DenseModel, config: StageConfig, batches: TrainBatches, runtime: Runtime | None = None
) -> Record:
    """All steps of the stage, by default in float32 with one thread; nothing is validated or saved."""
    record = Record()
    loop = StageLoop(
        config=config,
        model=model,
        optimizer=build_optimizer(config.optimizer, model.named_parameters()),
        loss=CrossEntropy(config.loss, model.stride, model.node_offset_px, model.head),
        runtime=runtime or choose_runtime(RuntimeConfig(precision="float32", threads=1)),
        listener=record,
        stop=StopRequest(),
        save_steps=config.steps,
    )
    loop.run(Progress(stage), batches, lambda: None, lambda: None)
    return record
