"""What people see while a run goes on: lines, a bar, TensorBoard, the run's log."""

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Never

from tqdm import tqdm

from configs.schema import RunConfig, StageConfig
from engine.contracts import Batch, TrainBatch
from engine.evaluation.effective_field import FieldMeasurement
from engine.evaluation.evaluate import Evaluation, Identity
from engine.listener import SilentListener
from engine.process.stop import Stopped
from engine.reporting.commands import relative, resume_command, typed
from engine.reporting.figures import confusion_figure, field_figure, panel
from engine.reporting.samples import first_batch_picture
from engine.reporting.score_table import score_table
from engine.reporting.summary import hparams, last_page, write_summary
from engine.reporting.tensorboard import Board
from engine.reporting.waiting import Waiting
from engine.runs.changes import flatten
from engine.runs.folder import RunFolder
from engine.runs.header import RunHeader
from engine.runs.progress import Progress, StageResult
from engine.runs.resume import Run
from engine.runtime import Runtime

QUIET_INTERVAL_S = 20.0  # between two lines where there is no terminal


class Reporter:
    """A `Listener` that writes to the terminal, `log.txt` and TensorBoard."""

    def __init__(self, folder: RunFolder, header: RunHeader, first_step: int, config: RunConfig) -> None:
        """`first_step` is the global step that this sitting begins with."""
        self._folder, self._header, self._config = folder, header, config
        self._class_names, self._palette = header.classes.names, header.classes.palette
        self._board = Board(folder.path, first_step, self.log)
        self._steps_before = first_step - 1
        self._bar: tqdm[Never] | None = None
        self._stage, self._waiting = StageConfig(), Waiting()
        self._first_step: tuple[int, float] | None = None  # of this sitting: its number, and when it was done
        self._last_line_s = time.monotonic()

    def log(self, text: str) -> None:
        """Into the log first: the terminal may be gone."""
        self._folder.log(text)
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()

    def log_config(self) -> None:
        """The settings of this sitting, a line each as on the command line."""
        settings = flatten(self._header.config)
        self._board.text("config", [f"{key}={typed(value)}" for key, value in settings.items()], self._steps_before)

    def stage_started(self, progress: Progress, config: StageConfig, num_parameters: int) -> None:
        resumed_at = f", going on at step {progress.step}" if progress.step else ""
        self.log(
            f"\n== {progress.stage}: {config.steps} steps of {config.batch} images, {config.optimizer.name} at "
            f"{config.lr:g}, {num_parameters:,} parameters learn{resumed_at}"
        )
        self._stage, self._waiting, self._first_step = config, Waiting(), None
        self._bar = tqdm(
            total=config.steps, initial=progress.step, desc=progress.stage, unit="step", disable=not sys.stderr.isatty()
        )

    def first_batch(self, progress: Progress, batch: TrainBatch) -> None:
        """Kept maps have no pixels to show. Drawn at the step that the batch is for: what is repeated is purged."""
        if self._config.num_pictures and isinstance(batch, Batch):
            pixels_HW3 = first_batch_picture(batch, self._class_names, self._palette, self._config.num_pictures)
            self._board.picture(f"{progress.stage}/first_batch", pixels_HW3, progress.global_step + 1)

    def stage_ended(self, stage: str, result: StageResult) -> None:
        self.close_bar()
        if self._stage.maps == "computed" and (line := self._waiting.line(stage, self._header.config)):
            self.log(line)
        self.log(f"\n{score_table(self._class_names, {stage: result})}")

    def close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def step_done(
        self, progress: Progress, *, loss: float, lr: float, gradient_norm: float, took_s: float, waited_s: float
    ) -> None:
        self._waiting.add(took_s, waited_s)
        images_per_s = self._stage.batch / took_s
        if progress.global_step == 1:
            self._log_first_loss(loss)
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.3f}, lr {lr:.1e}, {images_per_s:.1f} images/s", refresh=False)
            self._bar.update()
        if progress.is_due(self._config.log_steps, self._stage.steps):
            values = {"loss": loss, "lr": lr, "gradient_norm": gradient_norm, "images_per_second": images_per_s}
            scalars = {f"{progress.stage}/{name}": value for name, value in values.items()}
            self._board.scalars(scalars, progress.global_step)
        first_step, first_s = self._first_step = self._first_step or (progress.step, time.monotonic())
        has_no_bar = self._bar is not None and self._bar.disable
        if has_no_bar and time.monotonic() - self._last_line_s > QUIET_INTERVAL_S:
            self._last_line_s = time.monotonic()
            num_done, num_left = progress.step - first_step, self._stage.steps - progress.step
            left_s = num_left * (time.monotonic() - first_s) / num_done if num_done else None
            ending = "" if left_s is None else f", about {left_s / 60:.1f} min left"
            self.log(
                f"{progress.stage} step {progress.step}/{self._stage.steps}: loss {loss:.3f}, lr {lr:.2e}, "
                f"{images_per_s:.1f} images/s{ending}"
            )

    def _log_first_loss(self, loss: float) -> None:
        num_classes = len(self._class_names)
        self.log(
            f"first loss {loss:.3f}; guessing evenly among {num_classes} classes costs "
            f"ln({num_classes}) = {math.log(num_classes):.3f}"
        )

    def validated(
        self, progress: Progress, evaluation: Evaluation, measurement: FieldMeasurement | None, is_best: bool
    ) -> None:
        scores, stage, step = evaluation.scores, progress.stage, progress.global_step
        best = ", the best of this stage so far" if is_best else ""
        self.log(
            f"{stage} step {progress.step}: mean IoU {100 * scores.mean_iou:.2f} % over "
            f"{scores.num_scored_classes} classes, pixel accuracy {100 * scores.pixel_accuracy:.2f} % "
            f"on {evaluation.num_images} images{best}"
        )
        ious = zip(self._class_names, scores.class_iou, strict=True)
        class_scalars = {f"iou/{name}": iou for name, iou in ious if iou is not None}
        values = {"validation/mean_iou": scores.mean_iou, "validation/pixel_accuracy": scores.pixel_accuracy}
        self._board.scalars({**values, **class_scalars}, step)
        for picture in evaluation.pictures:
            self._board.picture(f"validation/{picture.name}", panel(picture, self._palette), step)
        self._board.picture("validation/confusion", confusion_figure(scores.confusion_KK, self._class_names), step)

        if measurement is not None:
            self._log_effective_field(progress, measurement)

    def _log_effective_field(self, progress: Progress, measurement: FieldMeasurement) -> None:
        """What the context module in fact sees, beside the computed side of its field."""
        assert self._header.schedule is not None, "a field was measured, but no stage trains a context module"
        field_cells = self._header.schedule.field_cells
        grids = "".join(f", {score:.2f} at {period}" for period, score in measurement.gridding.items())
        side = f"{measurement.effective_cells:.1f}"
        self.log(
            f"{progress.stage} step {progress.step}: as many cells matter as a square of {side} x {side} has; the "
            f"field is {field_cells} x {field_cells} cells{grids and f'; gridding{grids[1:]}'}"
        )
        values = {
            "field/effective_cells": measurement.effective_cells,
            "field/share_of_computed": measurement.effective_cells / field_cells,
            "field/sigma_cells": measurement.sigma_cells,
            **{f"gridding/period_{period}": score for period, score in measurement.gridding.items()},
        }
        self._board.scalars(values, progress.global_step)
        picture = field_figure(measurement.gradient_hw, measurement.effective_cells, field_cells)
        self._board.picture("field/effective", picture, progress.global_step)

    def identity_certified(self, identity: Identity) -> None:
        self.log(
            f"identity of the fresh context module: mean IoU {100 * identity.before:.2f} % before, "
            f"{100 * identity.after:.2f} % after, same answer at {100 * identity.agreement:.3f} % of the pixels"
        )
        if identity.agreement < 0.99:
            self.log(
                "warning: the fresh context module changes more than 1 % of the answers; it passes on positive logits "
                "only, so a front end that trained too little, or a large model.context.noise_std, shows here"
            )

    def flush(self) -> None:
        self._board.flush()

    def finish(self, progress: Progress, runtime: Runtime) -> None:
        """The run is over: its row in TensorBoard's table of runs, summary.json, and the last page."""
        if self._header.schedule is not None:
            self._board.hparams(*hparams(progress, self._header, runtime))
        write_summary(self._folder, progress, self._header, runtime)
        self.log(last_page(self._folder, progress, self._class_names))

    def close(self) -> None:
        self.close_bar()
        self._board.close()


class SilentReporter(SilentListener):
    """Of all ranks but the first, which has the voice."""

    def log_config(self) -> None: ...
    def finish(self, progress: Progress, runtime: Runtime) -> None: ...


@contextmanager
def reporter_of(run: Run, runtime: Runtime, config: RunConfig) -> Iterator[Reporter | SilentReporter]:
    """The reporter of a run: logs the run's notes, and the command that resumes where it breaks off.

    At the end it closes TensorBoard and the run's folder.
    """
    if not runtime.ranks.is_first:
        yield SilentReporter()
        return
    progress, settings = run.progress, run.header.config
    num_steps_before = progress.global_step
    reporter = Reporter(run.folder, run.header, num_steps_before + 1, config)
    try:
        for note in run.notes:
            reporter.log(note)
        place = relative(run.folder.path)
        reporter.log(f"{settings['experiment']} in {place} on {runtime.describe()}, seed {settings['seed']}")
        if runtime.measurement is not None:
            reporter.log(runtime.precision_line("runtime.precision"))
        yield reporter
    except Stopped as stopped:
        reporter.close_bar()
        where = f"{progress.stage} step {progress.step}"
        reporter.log(f"stopped by {stopped} at {where}; resume with\n{resume_command(run.folder)}")
        raise
    except Exception:
        reporter.close_bar()
        if progress.global_step > num_steps_before:
            reporter.log(f"what was learned up to the last save is safe; go on with\n{resume_command(run.folder)}")
        raise
    finally:
        reporter.close()
        run.folder.close(is_used=progress.global_step > 0)
