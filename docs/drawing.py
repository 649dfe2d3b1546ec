"""What a picture of the documents is, and what finished runs give for it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from assembly.trained import restore
from configs.schema import EvalConfig
from data.build import open_images
from data.loaders import validation_batches
from engine.evaluation.effective_field import FieldMeasurement, Probe
from engine.evaluation.evaluate import Evaluation, evaluate
from engine.reporting.figures import Rgb
from engine.runs.folder import RunFolder
from engine.runtime import choose_runtime

DPI = 100


class Drawing(NamedTuple):
    """A picture: its text in the document that shows it, and how it is made from a folder, if it needs one.

    `make` raises AssertionError if the text is not true. Several pictures of one size are a film.
    """

    caption: str
    make: Callable[[Path], Rgb | Sequence[Rgb]]
    needs: str = ""  # the option of make_pictures.py that names the folder


def evaluated(run: Path, stage: str) -> tuple[Evaluation, FieldMeasurement | None]:
    """The validation scenes as a stage of the run answers them, every one kept as a picture."""
    trained = restore(EvalConfig(checkpoint=str(RunFolder(run).stage_file(stage))))
    config, context = trained.config, trained.model.context
    runtime = choose_runtime(config.runtime)
    images = open_images(config.data, config.data.val_split)
    probe = None if context is None else Probe(context, config.model.context.dilations)
    evaluation = evaluate(
        trained.model.to(runtime.device),
        lambda: validation_batches(images, batch=config.validation.batch, workers=0, resize=config.data.resize),
        config.validation,
        runtime,
        observe=probe,
        num_pictures=len(images),
    )
    in_summary = summary(run)["stages"][stage]
    assert abs(evaluation.scores.mean_iou - in_summary["mean_iou"]) < 1e-3, f"{stage} scores as its run says"
    return evaluation, None if probe is None else probe.measure()


def summary(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(RunFolder(run).summary.read_text())
    return content
