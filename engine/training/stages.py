"""The stages in order: the paper's front end, context, joint, and a warm-up. Each starts from the weights before."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from configs.errors import UserError
from configs.schema import RunConfig, StageConfig, ValidationConfig
from engine.contracts import DenseModel, KeptMaps, TrainBatches, ValidationBatches
from engine.evaluation.effective_field import Probe
from engine.evaluation.evaluate import certify_identity, evaluate
from engine.listener import Listener
from engine.process.heap import give_back_freed_memory, keeping_freed_memory
from engine.process.stop import Stopped, StopRequest
from engine.runs.folder import RunFolder
from engine.runs.header import RunHeader
from engine.runs.progress import Progress
from engine.runs.shared_frontend import SharedFrontend
from engine.runtime import Runtime
from engine.training.frontend_sharing import take_or_train
from engine.training.loop import StageLoop
from engine.training.losses import CrossEntropy
from engine.training.optimizers import averaged, build_optimizer, load_state
from engine.training.random_state import restore_random_state, stage_seed
from engine.training.saver import Saver


@dataclass(frozen=True)
class Plan:
    """All that training needs beside the network: settings, and functions that make modules, batches and maps."""

    stages: list[str]
    settings: Mapping[str, StageConfig]
    validation: ValidationConfig
    run: RunConfig
    seed: int
    make_context: Callable[[int], nn.Module]  # of a seed
    train_batches: Callable[[str, StageConfig, int], TrainBatches]  # of a stage, its settings and its seed
    validation_batches: ValidationBatches
    kept_maps: Callable[[str, StageConfig], KeptMaps | None]  # of a stage about to begin; None: computed
    # Of a stage about to begin or, with True, to go on: what it will take.
    memory_lines: Callable[[str, StageConfig, bool], Iterable[str]]
    shared_frontend: SharedFrontend | None
    header: RunHeader  # of every checkpoint


@dataclass
class StageRunner:
    """Runs the stages of a plan that are still to do, and keeps the run's folder up to date."""

    plan: Plan
    model: DenseModel
    progress: Progress
    folder: RunFolder
    runtime: Runtime
    listener: Listener
    stop: StopRequest
    _saver: Saver = field(init=False)
    _kept_maps: KeptMaps | None = None  # of the stage that runs

    def __post_init__(self) -> None:
        self._saver = Saver(self.plan.header, self.model, self.progress, self.folder, self.runtime)

    def check(self) -> None:
        """Refuse what only the data, or the number of processes, tells to be wrong. Raises UserError."""
        for stage in self.plan.stages:
            self._check_batch(stage)
            num_weights = len(self.plan.settings[stage].loss.class_weights)
            if num_weights not in (0, self.model.num_classes):
                raise UserError(
                    f"stage.{stage}.loss.class_weights has {num_weights} values, the data {self.model.num_classes} "
                    "classes; give one for each class, or [] for none"
                )

    def _check_batch(self, stage: str) -> None:
        config, num_processes = self.plan.settings[stage], self.runtime.ranks.size
        if config.batch % (config.accumulation * num_processes):
            passes = f" in {config.accumulation} passes" if config.accumulation > 1 else ""
            raise UserError(
                f"stage.{stage}.batch={config.batch}{passes}: each of {num_processes} processes takes the same number "
                f"of images; a multiple of {config.accumulation * num_processes} is required; change batch or "
                "accumulation, or torchrun's --nproc-per-node"
            )

    def run(self, resumed: dict[str, Any] | None) -> None:
        """Train what is left; `resumed` is the checkpoint that this sitting goes on from. Raises Stopped."""
        plan = self.plan
        for stage in plan.stages[plan.stages.index(self.progress.stage) :]:
            if resumed is not None and stage != resumed["progress"]["stage"]:
                resumed = None
            if stage == "frontend" and plan.shared_frontend is not None:
                self._share_frontend(plan.shared_frontend, resumed)
            else:
                self._run_stage(stage, resumed)
        self.progress.finished = True

    def _share_frontend(self, shared: SharedFrontend, resumed: dict[str, Any] | None) -> None:
        take_or_train(
            shared,
            self._saver,
            self.plan.settings["frontend"],
            self.listener,
            train=lambda: self._run_stage("frontend", resumed),
            may_take=resumed is None,
        )

    def _run_stage(self, stage: str, resumed: dict[str, Any] | None) -> None:
        """The whole stage, or what is left of it after `resumed`."""
        self._saver.start_clock(self.progress.seconds if resumed is not None else 0.0)
        if resumed is not None and self._is_complete(stage):  # nothing is left to feed it with
            self.listener.stage_ended(stage, self.progress.results[stage])
            return
        if resumed is None and stage != self.progress.stage:
            self._saver.load_best(self.progress.stage)
        self._kept_maps = self.runtime.ranks.agree(lambda: self.plan.kept_maps(stage, self.plan.settings[stage]))
        if resumed is None:
            self._enter(stage)
        self._train(stage, resumed)
        self.listener.stage_ended(stage, self.progress.results[stage])

    def _is_complete(self, stage: str) -> bool:
        step = self.progress.step
        return step >= self.plan.settings[stage].steps and self.progress.validated_step == step

    def _enter(self, stage: str) -> None:
        """Begin with a fresh clock and fresh random numbers; insert the context module where it is still missing."""
        self.progress.enter(stage)
        seed = stage_seed(self.plan.seed, stage)
        torch.manual_seed(seed)
        if stage != "frontend" and self.model.context is None:
            self.model.insert_context(self.plan.make_context(seed))
            if stage != "warmup" or "frontend" in self.plan.stages:  # else its answers are still to be learned
                self._certify_identity()
        if not self.runtime.ranks.is_first:  # the ranks' masks must differ
            torch.manual_seed(stage_seed(self.plan.seed, f"{stage}, rank {self.runtime.ranks.rank}"))

    def _certify_identity(self) -> None:
        identity = certify_identity(
            self.model,
            self.plan.validation_batches,
            self.plan.validation,
            self.runtime,
            kept=self._kept_maps,
            check=self.stop.check,
        )
        self.progress.identity = identity
        self.listener.identity_certified(identity)

    def _train(self, stage: str, resumed: dict[str, Any] | None) -> None:
        config, seed = self.plan.settings[stage], stage_seed(self.plan.seed, stage)
        self.model.freeze(frontend=stage == "context", blocks=config.frozen_blocks)
        self.model.checkpoint_activations(config.checkpoint_activations)
        optimizer = build_optimizer(config.optimizer, self.model.named_parameters())
        if resumed is not None:
            load_state(optimizer, resumed["optimizer"])
            restore_random_state(
                resumed["rng"], self.runtime, stage_seed(self.plan.seed, f"{stage}/{self.progress.step}")
            )
        loop = StageLoop(
            config=config,
            model=self.model,
            optimizer=optimizer,
            loss=CrossEntropy(config.loss, self.model.stride, self.model.node_offset_px, self.model.head),
            runtime=self.runtime,
            listener=self.listener,
            stop=self.stop,
            save_steps=self.plan.run.save_steps,
        )
        num_parameters = sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)
        self.listener.stage_started(self.progress, config, num_parameters)
        give_back_freed_memory()
        for line in self.plan.memory_lines(stage, config, resumed is not None):
            self.listener.log(line)
        try:
            batches = self.runtime.ranks.agree(lambda: self.plan.train_batches(stage, config, seed))
            with keeping_freed_memory():
                loop.run(self.progress, batches, lambda: self._validate(optimizer), lambda: self._save(optimizer))
        except Stopped as stopped:
            self.listener.log(f"{stopped}: saving, then stopping (once more: stop at once)")
            self._save(optimizer)
            raise

    def _validate(self, optimizer: Optimizer) -> None:
        """Score the weights, or their averages; the best of a stage go to its file, the best of the run to best.pt."""
        with averaged(optimizer):
            self._score()

    def _score(self) -> None:
        context, schedule = self.model.context, self.plan.header.schedule
        probe = Probe(context, schedule.dilations) if context is not None and schedule is not None else None
        evaluation = evaluate(
            self.model,
            self.plan.validation_batches,
            self.plan.validation,
            self.runtime,
            kept=self._kept_maps,
            observe=probe,
            num_pictures=self.plan.run.num_pictures,
            check=self.stop.check,
        )
        measurement = None
        if probe is not None:
            probe.gather(self.runtime)
            measurement = probe.measure()
        self._saver.read_clock()
        is_best_of_run = evaluation.scores.mean_iou > self.progress.best_mean_iou
        is_best = self.progress.record(evaluation.scores, measurement.effective_cells if measurement else None)
        self.listener.validated(self.progress, evaluation, measurement, is_best)
        if is_best:
            self._saver.save_best(is_best_of_run, evaluation.confusions_NKK)

    def _save(self, optimizer: Optimizer) -> None:
        self.listener.flush()
        self._saver.save_last(optimizer)
