"""What an evaluation leaves on disk: scores.json and the confusion matrix as a picture."""

from collections.abc import Sequence
from pathlib import Path

from configs.errors import cannot_write
from configs.schema import ResizeConfig, ValidationConfig
from engine.evaluation.evaluate import Evaluation
from engine.reporting.figures import confusion_figure, panel, write_png
from engine.runs.files import write_json

SCORES_NAME = "scores.json"


def make_output(folder: Path) -> None:
    """Make the folder that `output` names. Raises UserError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(f"output={folder}", error, "set output elsewhere") from error


def write_scores(
    folder: Path,
    evaluation: Evaluation,
    names: Sequence[str],
    palette: Sequence[Sequence[int]],
    validation: ValidationConfig,
    resize: ResizeConfig,
    *,
    checkpoint: str,
    split: str,
    precision: str,
) -> Path:
    """scores.json (fractions 0..1; absent classes null), confusion.png and a picture of each image that was kept."""
    scores = evaluation.scores
    make_output(folder)
    write_json(
        folder / SCORES_NAME,
        {
            "mean_iou": scores.mean_iou,
            "pixel_accuracy": scores.pixel_accuracy,
            "frequency_weighted_iou": scores.frequency_weighted_iou,
            "class_iou": dict(zip(names, scores.class_iou, strict=True)),
            "confusion": scores.confusion_KK,
            "num_images": evaluation.num_images,
            "num_scored_classes": scores.num_scored_classes,
            "checkpoint": checkpoint,
            "split": split,
            "protocol": {**validation.model_dump(), "resize": resize.model_dump(), "precision": precision},
        },
    )
    write_png(folder / "confusion.png", confusion_figure(scores.confusion_KK, names))
    write_pictures(folder, evaluation, palette)
    return folder / SCORES_NAME


def write_pictures(folder: Path, evaluation: Evaluation, palette: Sequence[Sequence[int]]) -> None:
    """Input | truth | prediction | errors of each kept image; names with folders in them are flattened."""
    for picture in evaluation.pictures:
        write_png(folder / f"{picture.name.replace('/', '_')}.png", panel(picture, palette))
