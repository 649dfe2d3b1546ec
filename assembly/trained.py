"""A trained network from its file, a checkpoint of ours or Caffe's weights: what `eval.py` and `predict.py` share."""

from dataclasses import dataclass
from pathlib import Path

from configs.errors import UserError
from configs.evaluation import evaluation_config, released_config
from configs.schema import Config, EvalConfig, PredictConfig
from configs.validation import validated
from data.dataset import ImageSet
from data.labels import ClassSet, released_classes
from engine.runs import checkpoint
from models.build import read_released, restore_segmenter
from models.caffe import CAFFE_SUFFIX
from models.describe import tiling_line
from models.segmenter import Segmenter


@dataclass(frozen=True)
class Trained:
    """A network, the settings to ask it with, and its classes. `stage` is the last one that trained it."""

    model: Segmenter
    config: Config
    classes: ClassSet
    stage: str
    about: str  # for people: what was loaded, and how far its answers depend on tiles


def restore(told: EvalConfig | PredictConfig) -> Trained:
    """Raises UserError where the file is damaged, is no network, or is none that fits what was told."""
    path = Path(told.checkpoint)
    trained = _from_caffe(path, told) if path.suffix == CAFFE_SUFFIX else _from_checkpoint(path, told)
    tiling = tiling_line(trained.config.model, trained.config.validation, has_context=trained.model.context is not None)
    return Trained(**{**vars(trained), "about": "\n".join(filter(None, (trained.about, tiling)))})


def check_classes(trained: Trained, images: ImageSet) -> None:
    """Raises UserError unless the labels of a set mean what the network answers with."""
    known, given = trained.classes.names, images.classes.names
    if known == given:
        return
    first = next((k for k, (one, other) in enumerate(zip(known, given, strict=False)) if one != other), None)
    where = f"class {first} is {known[first]} there and {given[first]} here" if first is not None else "one has more"
    raise UserError(
        f"the network answers with {len(known)} classes ({', '.join(known)}), the labels of {images.describe()} have "
        f"{len(given)} ({', '.join(given)}): {where}; the same classes in the same order are required; score on the "
        "data that the network was trained for, or map the labels with data.name=folder, data.folder.label_ids and "
        "data.folder.class_names"
    )


def _from_checkpoint(path: Path, told: EvalConfig | PredictConfig) -> Trained:
    content = checkpoint.load(path)
    names, palette = content["classes"]["names"], content["classes"]["palette"]
    classes = ClassSet(tuple(names), tuple((red, green, blue) for red, green, blue in palette))
    config = evaluation_config(validated(Config, content["config"]), content["runtime"]["precision"], told)
    model = restore_segmenter(config.model, classes.num_classes, content["model"])
    stage = content["progress"]["stage"]
    return Trained(model, config, classes, stage, f"{path} ({stage} stage)")


def _from_caffe(path: Path, told: EvalConfig | PredictConfig) -> Trained:
    config = evaluation_config(released_config(told.model), "auto", told)
    assert told.model.classes_of is not None, "a named network"
    classes = released_classes(told.model.classes_of)
    model, report = read_released(path, config.model, classes.num_classes)
    return Trained(model, config, classes, "frontend" if model.context is None else "joint", str(report))
