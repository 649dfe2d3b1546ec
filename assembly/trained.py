"""A trained network from its file: a checkpoint, an exported `model.safetensors`, or Caffe's weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from configs.errors import DamagedFileError, UserError
from configs.evaluation import evaluation_config, released_config
from configs.schema import CAFFE_SUFFIX, Config, EvalConfig, ModelConfig, PredictConfig
from configs.validation import validated
from data.dataset import ImageSet
from data.labels import ClassSet, released_classes
from engine.runs.network_file import Description, NetworkFile, read_network
from engine.runtime import Runtime
from models.build import read_released, restore_segmenter
from models.cost import network_parameters
from models.describe import network_geometry, tiling_line
from models.segmenter import Segmenter

OVERSIZE = 10  # times what it holds, a file may describe: a smaller misfit is shown tensor by tensor


@dataclass(frozen=True)
class TrainedNetwork:
    """A network, the settings that it is evaluated with, and its classes. `stage` is the last one that trained it.

    `about` is what its file says of it, whatever the request changes.
    """

    model: Segmenter
    config: Config
    classes: ClassSet
    stage: str
    description: str  # for people: what was loaded, and how far its answers depend on tiles
    about: Description


def restore(request: EvalConfig | PredictConfig) -> TrainedNetwork:
    """Raises UserError where the file is damaged, holds no network, or one that does not fit the request."""
    path = Path(request.checkpoint)
    is_caffe = path.suffix == CAFFE_SUFFIX
    trained = _from_caffe(path, request) if is_caffe else from_file(read_network(path), path, request)
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


def runtime_lines(trained: TrainedNetwork, runtime: Runtime) -> list[str]:
    """What eval.py and predict.py say of device and precision; the authors' protocol leaves no choice of the latter."""
    is_free = trained.config.validation.protocol != "authors"
    return [f"on {runtime.describe()}", *([runtime.precision_line("precision")] if is_free else [])]


def where_classes_differ(theirs: Sequence[str], ours: Sequence[str]) -> str:
    """The first class that differs between a network's names and those that are required here."""
    first = next((k for k, (there, here) in enumerate(zip(theirs, ours, strict=False)) if there != here), None)
    return "one has more" if first is None else f"class {first} is {theirs[first]} there and {ours[first]} here"


def from_file(file: NetworkFile, path: Path, request: EvalConfig | PredictConfig) -> TrainedNetwork:
    """The network that a checkpoint or an exported file holds. Raises UserError as `restore`."""
    about = file.description
    classes = ClassSet(tuple(about.class_names), tuple((red, green, blue) for red, green, blue in about.palette))
    config = evaluation_config(validated(Config, about.config), about.precision, request)
    _check_size(path, config.model, file)
    model = restore_segmenter(config.model, classes.num_classes, file.weights)
    return TrainedNetwork(model, config, classes, about.stage, f"{path} ({about.stage} stage)", about)


def _check_size(path: Path, config: ModelConfig, file: NetworkFile) -> None:
    """A network is built before its weights are looked at: a file may not ask for more memory than it could fill."""
    described = network_parameters(config, len(file.description.class_names))
    held = sum(tensor.numel() for tensor in file.weights.values())
    if described > OVERSIZE * held:
        raise DamagedFileError(
            f"{path}: its settings describe a network of {described:,} weights, and it holds {held:,}; a file that a "
            "run or export.py has written is required"
        )


def _from_caffe(path: Path, request: EvalConfig | PredictConfig) -> TrainedNetwork:
    released = released_config(request.model)
    config = evaluation_config(released, "auto", request)
    assert request.model.classes_of is not None, "a named network"
    classes = released_classes(request.model.classes_of)
    model, report = read_released(path, config.model, classes.num_classes)
    about = Description(
        class_names=list(classes.names),
        palette=[list(color) for color in classes.palette],
        stage="frontend" if model.context is None else "joint",
        precision="auto",
        config=released.model_dump(),
        geometry=dict(network_geometry(config.model)),
    )
    return TrainedNetwork(model, config, classes, about.stage, str(report), about)
