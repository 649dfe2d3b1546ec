"""The paper's stages in order: front end, context, joint. Each starts from the weights of the one before."""

import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from configs.errors import UserError
from configs.schema import RunConfig, StageConfig, ValidationConfig
from engine.contracts import DenseModel, KeptMaps, TrainBatches, ValidationBatches
from engine.evaluation.effective_field import Probe
from engine.evaluation.evaluate import certify_identity, evaluate
from engine.process.stop import Stopped, StopRequest
from engine.reporting.reporter import Reporter
from engine.runs import checkpoint
from engine.runs.folder import RunFolder
from engine.runs.progress import Progress, StageResult
from engine.runs.shared_frontend import SharedFrontend
from engine.runtime import Runtime
from engine.training.loop import StageLoop
from engine.training.losses import CrossEntropy
from engine.training.optimizers import build_optimizer, load_state


@dataclass(frozen=True)
class Plan:
    """What a run is made of, by value. `header` is what every checkpoint says of itself (config, classes, versions)."""

    stages: list[str]
    settings: Mapping[str, StageConfig]
    validation: ValidationConfig
    run: RunConfig
    seed: int
    make_context: Callable[[int], nn.Module]  # of a seed
    train_batches: Callable[[StageConfig, int], TrainBatches]  # of a stage's settings and its seed
    validation_batches: ValidationBatches
    kept_maps: Callable[[StageConfig], KeptMaps | None]  # of a stage about to begin; None: computed
    shared_frontend: SharedFrontend | None
    header: dict[str, Any]


def stage_seed(seed: int, stage: str) -> int:
    """A stage draws the same numbers whether it runs alone or after others."""
    return zlib.crc32(f"{seed}/{stage}".encode())


@dataclass
class StageRunner:
    """Runs the stages of a plan that are still to do, and keeps the run's folder up to date."""

    plan: Plan
    model: DenseModel
    progress: Progress
    folder: RunFolder
    runtime: Runtime
    report: Reporter
    stop: StopRequest
    _kept: KeptMaps | None = None  # of the stage that runs
    _began_s: float = 0.0  # when this stage would have begun, had it run without a break

    def run(self, resumed: dict[str, Any] | None) -> None:
        """Train what is left; `resumed` is the checkpoint that this sitting goes on from. Raises Stopped."""
        todo = self.plan.stages[self.plan.stages.index(self.progress.stage) :]
        for stage in todo:
            own = resumed if resumed is not None and stage == resumed["progress"]["stage"] else None
            if stage == "frontend" and self.plan.shared_frontend is not None:
                self._share_frontend(self.plan.shared_frontend, own)
            else:
                self._run_stage(stage, own)
        self.progress.finished = True

    def _run_stage(self, stage: str, resumed: dict[str, Any] | None) -> None:
        self._began_s = time.perf_counter() - (self.progress.seconds if resumed is not None else 0.0)
        if resumed is None and stage != self.progress.stage:
            before = self.folder.stage_file(self.progress.stage)
            self.model.load_state_dict(checkpoint.load(before)["model"])
        self._kept = self.plan.kept_maps(self.plan.settings[stage])
        if resumed is None:
            self._enter(stage)
        self._train(stage, resumed)

    def _share_frontend(self, shared: SharedFrontend, resumed: dict[str, Any] | None) -> None:
        """Take the front end that another run has trained, or train it for this run and the others."""
        with shared.locked():
            content = shared.take() if resumed is None else None
            if content is None:
                self._run_stage("frontend", resumed)
                trained = checkpoint.load(self.folder.stage_file("frontend"))
                shared.publish({**trained, "progress": self.progress.to_plain()})
                return
        self.report.say(f"\n== frontend: taken from {shared.path}, where another run left it")
        self.model.load_state_dict(content["model"])
        self.progress.take_over(Progress.from_plain(content["progress"]))
        self._began_s = time.perf_counter() - self.progress.seconds
        self.folder.save_stage("frontend", self._content(), is_best_of_run=True)
        config = self.plan.settings["frontend"]
        self.model.freeze(frontend=False, blocks=config.frozen_blocks)
        self._save(build_optimizer(config.optimizer, self.model.named_parameters()))  # so that this run can go on, too
        self.report.stage_result("frontend", self.progress.results["frontend"])

    def check(self) -> None:
        """Refuse what only the data tells to be wrong. Raises UserError."""
        for stage in self.plan.stages:
            given = len(self.plan.settings[stage].loss.class_weights)
            if given not in (0, self.model.num_classes):
                raise UserError(
                    f"stage.{stage}.loss.class_weights has {given} values, the data {self.model.num_classes} classes; "
                    "give one for each class, or [] for none"
                )

    def _enter(self, stage: str) -> None:
        """Begin with a fresh clock and fresh random numbers; insert the context module where it is still missing."""
        self.progress.enter(stage)
        seed = stage_seed(self.plan.seed, stage)
        torch.manual_seed(seed)
        if stage != "frontend" and self.model.context is None:
            self.model.insert_context(self.plan.make_context(seed))
            identity = certify_identity(
                self.model,
                self.plan.validation_batches,
                self.plan.validation,
                self.runtime,
                kept=self._kept,
                check=self.stop.check,
            )
            self.progress.identity = identity
            self.report.identity(identity)

    def _train(self, stage: str, resumed: dict[str, Any] | None) -> None:
        config = self.plan.settings[stage]
        self.model.freeze(frontend=stage == "context", blocks=config.frozen_blocks)
        optimizer = build_optimizer(config.optimizer, self.model.named_parameters())
        if resumed is not None:
            load_state(optimizer, resumed["optimizer"])
            self._restore_random_state(resumed["rng"])
        loop = StageLoop(
            config=config,
            model=self.model,
            optimizer=optimizer,
            loss=CrossEntropy(config.loss, self.model.stride, self.model.node_offset_px, self.model.head),
            runtime=self.runtime,
            report=self.report,
            stop=self.stop,
            log_steps=self.plan.run.log_steps,
            save_steps=self.plan.run.save_steps,
        )
        num_trained = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        description = (
            f"{config.steps} steps of {config.batch} images, {config.optimizer.name.name} at {config.lr:g}, "
            f"{num_trained:,} parameters learn"
        )
        self.report.stage_begins(self.progress, config.steps, description)
        try:
            batches = self.plan.train_batches(config, stage_seed(self.plan.seed, stage))
            loop.run(self.progress, batches, self._validate, lambda: self._save(optimizer))
        except Stopped as stopped:
            self.report.say(f"{stopped}: saving, then stopping (once more: stop at once)")
            self._save(optimizer)
            raise
        finally:
            self.report.stage_ends()
        self.report.stage_result(stage, self.progress.results[stage])

    def _restore_random_state(self, rng: Mapping[str, Tensor]) -> None:
        torch.set_rng_state(rng["torch"])
        if self.runtime.device.type != "cuda":
            return
        if "cuda" in rng:
            torch.cuda.set_rng_state(rng["cuda"])
        else:  # begun on a CPU: no state to go on from, and `check_same_run` has said that bits may differ
            torch.cuda.manual_seed_all(stage_seed(self.plan.seed, f"{self.progress.stage}/{self.progress.step}"))

    def _validate(self) -> None:
        """Score the weights as they are; the best of a stage go to its file, the best of the run to best.pt."""
        progress = self.progress
        context, schedule = self.model.context, self.plan.header.get("schedule")
        probe = Probe(context, schedule["dilations"]) if context is not None and schedule else None
        evaluation = evaluate(
            self.model,
            self.plan.validation_batches,
            self.plan.validation,
            self.runtime,
            kept=self._kept,
            observe=probe,
            num_pictures=self.plan.run.num_pictures,
            check=self.stop.check,
        )
        measured = probe.measure() if probe else None
        self._read_clock()
        progress.validated_step = progress.step
        known = progress.results.get(progress.stage)
        is_best = known is None or evaluation.scores.mean_iou > known.mean_iou
        is_best_of_run = evaluation.scores.mean_iou > progress.best_mean_iou
        if is_best:
            effective_cells = measured.effective_cells if measured else None
            known = StageResult.from_scores(evaluation.scores, progress.step, progress.seconds, effective_cells)
            progress.results[progress.stage] = known
        assert known is not None
        known.steps = progress.step
        self.report.validated(progress, evaluation, is_best)
        if measured and schedule:
            self.report.measured(progress, measured, schedule["field_cells"])
        if is_best:
            self.folder.save_stage(progress.stage, self._content(), is_best_of_run)
            self.folder.save_confusions(progress.stage, evaluation.confusions_NKK)

    def _read_clock(self) -> None:
        """Wall time of the stage up to now, into its progress and its result."""
        self.progress.seconds = time.perf_counter() - self._began_s
        if self.progress.stage in self.progress.results:
            self.progress.results[self.progress.stage].seconds = self.progress.seconds

    def _content(self) -> dict[str, Any]:
        return {**self.plan.header, "model": self.model.state_dict(), "progress": self.progress.to_plain()}

    def _save(self, optimizer: Optimizer) -> None:
        self.report.flush()
        self._read_clock()
        rng = {"torch": torch.get_rng_state()}
        if self.runtime.device.type == "cuda":
            rng["cuda"] = torch.cuda.get_rng_state()
        self.folder.save_last({**self._content(), "optimizer": optimizer.state_dict(), "rng": rng})
