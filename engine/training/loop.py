"""One stage: the loop over steps, in causal order on one screen."""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.optim import Optimizer

from configs.errors import FAILED, UserError
from configs.schema import StageConfig
from engine.contracts import DenseModel, TrainBatch, TrainBatches
from engine.listener import Listener
from engine.process.stop import StopRequest
from engine.runs.progress import Progress
from engine.runtime import Runtime
from engine.training.learning_rate import lr_factor
from engine.training.losses import CrossEntropy
from engine.training.optimizers import average_weights, set_lr

DIVERGED_FACTOR = 4.0  # of ln(C): a running loss above this never comes back
RUNNING_STEPS = 20.0  # over about how many steps that loss is averaged

Action = Callable[[], None]


class DivergedError(UserError):
    """The loss or its gradient left the numbers, or the loss stays far above guessing."""

    exit_code = FAILED


@dataclass
class LossWatch:
    """Compares the loss with ln(C), what guessing costs.

    Its average begins there, so that no single batch ends a run, nor the first after it was resumed.
    """

    num_classes: int
    running: float = field(init=False)

    def __post_init__(self) -> None:
        self.running = self.guessing

    @property
    def guessing(self) -> float:
        return math.log(self.num_classes)

    def check(self, loss: float, norm: float, progress: Progress, lr: float) -> None:
        where = f"{progress.stage} step {progress.step + 1}, learning rate {lr:.2e}"
        key = f"stage.{progress.stage}"
        advice = (
            f"lower {key}.lr, add {key}.schedule.warmup_steps, or set {key}.clip_norm. The last checkpoint is "
            f"untouched; to go on from it with such a change, name it: resume=auto 'resume_changes=[{key}.lr]'"
        )
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise DivergedError(f"training diverged at {where}: loss {loss}, gradient norm {norm}: {advice}")
        self.running += (loss - self.running) / RUNNING_STEPS
        if self.running > DIVERGED_FACTOR * self.guessing:
            raise DivergedError(
                f"training diverged at {where}: the loss, {self.running:.1f} on average of late, is far above "
                f"{self.guessing:.2f}, which guessing costs: {advice}"
            )


@dataclass
class StageLoop:
    """Trains one stage from `progress.step` to its end. `validate` and `save` are what happens between steps."""

    config: StageConfig
    model: DenseModel
    optimizer: Optimizer
    loss: CrossEntropy
    runtime: Runtime
    listener: Listener
    stop: StopRequest
    save_steps: int

    def run(self, progress: Progress, batches: TrainBatches, validate: Action, save: Action) -> None:
        """Raises Stopped between steps, DivergedError within one."""
        passes = self.config.accumulation
        watch = LossWatch(self.model.num_classes)
        self.model.train()
        with closing(batches(progress.step * passes, self.config.steps * passes)) as stream:
            while True:
                if self._is_due(progress, self.config.validate_steps) and progress.validated_step < progress.step:
                    save()  # first: whatever a validation ends in, the steps before it are safe
                    validate()
                    save()
                    self.model.train()
                elif self._is_due(progress, self.save_steps):
                    save()
                if progress.step >= self.config.steps:
                    return
                self.runtime.ranks.check(self.stop)
                began_s = time.perf_counter()
                micro_batches = [next(stream) for _ in range(passes)]
                if progress.step == 0:
                    self.listener.first_batch(progress, micro_batches[0])
                self._step(progress, micro_batches, watch, began_s)

    def _step(self, progress: Progress, micro_batches: list[TrainBatch], watch: LossWatch, began_s: float) -> None:
        """Learning rate, forward, loss, backward, step. The clock has run since the batches were requested."""
        config, waited_s = self.config, time.perf_counter() - began_s
        lr = config.lr * lr_factor(config.schedule, progress.step, config.steps)
        set_lr(self.optimizer, lr)
        loss, norm = self._gradient(micro_batches)
        watch.check(loss, norm, progress, lr)
        self.optimizer.step()
        progress.step += 1
        average_weights(self.optimizer, config.optimizer.ema_decay, progress.step)
        if progress.first_loss is None:
            progress.first_loss = loss
        took_s = time.perf_counter() - began_s
        self.listener.step_done(progress, loss=loss, lr=lr, gradient_norm=norm, took_s=took_s, waited_s=waited_s)

    def _is_due(self, progress: Progress, every_steps: int) -> bool:
        return progress.is_due(every_steps, self.config.steps)

    def _gradient(self, micro_batches: list[TrainBatch]) -> tuple[float, float]:
        """Loss and gradient norm over the valid pixels of all passes and ranks together: sum, count, divide once."""
        device, ranks = self.runtime.device, self.runtime.ranks
        targets = [_mirrored(batch.targets(self.loss.targets, device), batch) for batch in micro_batches]
        (weight,) = ranks.add(sum(self.loss.weight(target) for target in targets))
        weight = weight or 1.0  # all void: the loss is 0
        self.optimizer.zero_grad(set_to_none=True)
        loss = 0.0
        for batch, target in zip(micro_batches, targets, strict=True):
            with self.runtime.autocast():
                maps_BKhw = _mirrored(batch.frontend_maps(self.model.frontend_maps, device), batch)
                logits_BKhw = maps_BKhw if self.model.context is None else self.model.context(maps_BKhw)
            part: Tensor = self.loss.total(logits_BKhw, target) / weight
            part.backward()  # type: ignore[no-untyped-call]  # torch has no annotation here
            loss += float(part.detach())
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        ranks.add_gradients(parameters)
        (loss,) = ranks.add(loss)
        largest = self.config.clip_norm or math.inf
        norm = torch.nn.utils.clip_grad_norm_(parameters, largest)
        return loss, float(norm)


def _mirrored(cells: Tensor, batch: TrainBatch) -> Tensor:
    """Maps (B, K, h, w) or labels (B, h, w), with the samples of `batch.mirrored_B` mirrored from left to right.

    Cells are mirrored, not pixels, so each keeps its label; labels sampled in a mirrored image would lie 7 px further.
    """
    if batch.mirrored_B is None:
        return cells
    choice = batch.mirrored_B.to(cells.device).view(-1, *[1] * (cells.dim() - 1))
    return torch.where(choice, cells.flip(-1), cells)
