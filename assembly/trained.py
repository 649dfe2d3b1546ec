"""A trained network from its file: a checkpoint of this project, or Caffe's weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from configs.errors import UserError
from configs.evaluation import evaluation_config, released_config
from configs.schema import CAFFE_SUFFIX, Config, EvalConfig, PredictConfig
from configs.validation import validated
from data.dataset import ImageSet
from data.labels import ClassSet, released_classes
from engine.runs import checkpoint
from models.build import read_released, restore_segmenter
from models.describe import tiling_line
from models.segmenter import Segmenter


@dataclass(frozen=True)
class TrainedNetwork:
    """A network, the settings that it is evaluated with, and its classes. `stage` is the last one that trained it."""

    model: Segmenter
    config: Config
    classes: ClassSet
    stage: str
    description: str  # for people: what was loaded, and how far its answers depend on tiles


def restore(request: EvalConfig | PredictConfig) -> TrainedNetwork:
    """Raises UserError where the file is damaged, holds no network, or one that does not fit the request."""
    path = Path(request.checkpoint)
    trained = _from_caffe(path, request) if path.suffix == CAFFE_SUFFIX else _from_checkpoint(path, request)
    tiling = tiling_line(trained.config.model, trained.config.validation, has_context=trained.model.context is not None)
    return replace(trained, description="\n".join(filter(None, (trained.description, tiling))))


def check_classes(trained: TrainedNetwork, images: ImageSet) -> None:
    """Raises UserError unless the labels of a set have the network's classes, in its order."""
    trained_on, labels = trained.classes.names, images.classes.names
    if trained_on == labels:
        return
    where = where_classes_differ(trained_on, labels)
    raise UserError(
        f"the network answers with {len(trained_on)} classes ({', '.join(trained_on)}), the labels of "
        f"{images.describe()} have {len(labels)} ({', '.join(labels)}): {where}; the same classes in the same order "
        "are required; score on the data that the network was trained for, or map the labels with data.name=folder, "
        "data.folder.label_ids and data.folder.class_names"
    )


def where_classes_differ(theirs: Sequence[str], ours: Sequence[str]) -> str:
    """The first class that differs between a network's names and those that are required here."""
    first = next((k for k, (there, here) in enumerate(zip(theirs, ours, strict=False)) if there != here), None)
    return "one has more" if first is None else f"class {first} is {theirs[first]} there and {ours[first]} here"


def _from_checkpoint(path: Path, request: EvalConfig | PredictConfig) -> TrainedNetwork:
    content = checkpoint.load(path)
    names, palette = content["classes"]["names"], content["classes"]["palette"]
    classes = ClassSet(tuple(names), tuple((red, green, blue) for red, green, blue in palette))
    config = evaluation_config(validated(Config, content["config"]), content["runtime"]["precision"], request)
    model = restore_segmenter(config.model, classes.num_classes, content["model"])
    stage = content["progress"]["stage"]
    return TrainedNetwork(model, config, classes, stage, f"{path} ({stage} stage)")


def _from_caffe(path: Path, request: EvalConfig | PredictConfig) -> TrainedNetwork:
    config = evaluation_config(released_config(request.model), "auto", request)
    assert request.model.classes_of is not None, "a named network"
    classes = released_classes(request.model.classes_of)
    model, report = read_released(path, config.model, classes.num_classes)
    return TrainedNetwork(model, config, classes, "frontend" if model.context is None else "joint", str(report))
