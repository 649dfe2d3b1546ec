"""What people see while a run goes on: lines, a bar, TensorBoard, the run's log."""

import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Never

from tqdm import tqdm

from engine.evaluation.effective_field import Measured
from engine.evaluation.evaluate import Evaluation, Identity
from engine.reporting.figures import confusion_figure, field_figure, panel
from engine.reporting.score_table import score_table
from engine.reporting.tensorboard import Board
from engine.runs.folder import RunFolder
from engine.runs.progress import Progress, StageResult

QUIET_INTERVAL_S = 20.0  # between two lines where there is no terminal


class Reporter:
    """Tells one run's story in the terminal, in `log.txt` and in TensorBoard."""

    def __init__(
        self, folder: RunFolder, class_names: Sequence[str], palette: Sequence[Sequence[int]], first_step: int
    ) -> None:
        self._folder = folder
        self._class_names, self._palette = class_names, palette
        self._board = Board(folder.path, first_step, self.say)
        self._bar: tqdm[Never] | None = None
        self._steps = 0
        self._first_step: tuple[int, float] | None = None  # of this sitting: its number, and when it was done
        self._last_line_s = time.monotonic()

    def say(self, text: str) -> None:
        """Into the log first: the terminal may be gone."""
        self._folder.log(text)
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()

    def config(self, lines: Sequence[str]) -> None:
        self._board.text("config", lines)

    def stage_begins(self, progress: Progress, steps: int, description: str) -> None:
        where = f", going on at step {progress.step}" if progress.step else ""
        self.say(f"\n== {progress.stage}: {description}{where}")
        self._steps, self._first_step = steps, None
        self._bar = tqdm(
            total=steps, initial=progress.step, desc=progress.stage, unit="step", disable=not sys.stderr.isatty()
        )

    def stage_ends(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def stepped(
        self, progress: Progress, *, loss: float, lr: float, norm: float, images_per_s: float, log: bool
    ) -> None:
        stage = progress.stage
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.3f}, lr {lr:.1e}, {images_per_s:.1f} images/s", refresh=False)
            self._bar.update()
        if log:
            values = {"loss": loss, "lr": lr, "gradient_norm": norm, "images_per_second": images_per_s}
            self._board.scalars({f"{stage}/{name}": value for name, value in values.items()}, progress.global_step)
        first_step, first_s = self._first_step = self._first_step or (progress.step, time.monotonic())
        quiet = self._bar is not None and self._bar.disable
        if quiet and time.monotonic() - self._last_line_s > QUIET_INTERVAL_S:
            self._last_line_s = time.monotonic()
            num_done, num_left = progress.step - first_step, self._steps - progress.step
            left_s = num_left * (time.monotonic() - first_s) / num_done if num_done else None
            ending = "" if left_s is None else f", about {left_s / 60:.1f} min left"
            self.say(
                f"{stage} step {progress.step}/{self._steps}: loss {loss:.3f}, lr {lr:.2e}, "
                f"{images_per_s:.1f} images/s{ending}"
            )

    def first_loss(self, loss: float, num_classes: int) -> None:
        expected = math.log(num_classes)
        self.say(
            f"first loss {loss:.3f}; guessing evenly among {num_classes} classes costs "
            f"ln({num_classes}) = {expected:.3f}"
        )

    def validated(self, progress: Progress, evaluation: Evaluation, is_best: bool) -> None:
        scores, stage, step = evaluation.scores, progress.stage, progress.global_step
        best = ", the best of this stage so far" if is_best else ""
        self.say(
            f"{stage} step {progress.step}: mean IoU {100 * scores.mean_iou:.2f} % over "
            f"{scores.num_scored_classes} classes, pixel accuracy {100 * scores.pixel_accuracy:.2f} % "
            f"on {evaluation.num_images} images{best}"
        )
        values = {"mean_iou": scores.mean_iou, "pixel_accuracy": scores.pixel_accuracy}
        for name, iou in zip(self._class_names, scores.class_iou, strict=True):
            if iou is not None:
                values[f"iou/{name}"] = iou
        self._board.scalars({f"validation/{name}": value for name, value in values.items()}, step)
        for picture in evaluation.pictures:
            self._board.picture(f"validation/{picture.name}", panel(picture, self._palette), step)
        self._board.picture("validation/confusion", confusion_figure(scores.confusion_KK, self._class_names), step)

    def measured(self, progress: Progress, measured: Measured, field_cells: int) -> None:
        """What the context module in fact sees, beside the computed side of its field."""
        grids = "".join(f", {score:.2f} at {period}" for period, score in measured.gridding.items())
        side = f"{measured.effective_cells:.1f}"
        self.say(
            f"{progress.stage} step {progress.step}: as many cells matter as a square of {side} x {side} has; the "
            f"field is {field_cells} x {field_cells} cells{grids and f'; gridding{grids[1:]}'}"
        )
        values = {
            "field/effective_cells": measured.effective_cells,
            "field/share_of_computed": measured.effective_cells / field_cells,
            "field/sigma_cells": measured.sigma_cells,
            **{f"gridding/period_{period}": score for period, score in measured.gridding.items()},
        }
        self._board.scalars(values, progress.global_step)
        picture = field_figure(measured.gradient_hw, measured.effective_cells, field_cells)
        self._board.picture("field/effective", picture, progress.global_step)

    def stage_result(self, stage: str, result: StageResult) -> None:
        self.say(f"\n{score_table(self._class_names, {stage: result})}")

    def identity(self, identity: Identity) -> None:
        self.say(
            f"identity of the fresh context module: mean IoU {100 * identity.before:.2f} % before, "
            f"{100 * identity.after:.2f} % after, same answer at {100 * identity.agreement:.3f} % of the pixels"
        )
        if identity.agreement < 0.99:
            self.say(
                "warning: the fresh context module changes more than 1 % of the answers; it passes on positive logits "
                "only, so a front end that trained too little, or a large model.context.noise_std, shows here"
            )

    def hparams(self, settings: Mapping[str, int | float | str], results: Mapping[str, float]) -> None:
        self._board.hparams(settings, results)

    def flush(self) -> None:
        self._board.flush()

    def close(self) -> None:
        self.stage_ends()
        self._board.close()


def relative(path: Path) -> str:
    """A path as one would type it from the working directory."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
