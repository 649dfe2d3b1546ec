"""The config of a trained network, with the request of `eval.py` or `predict.py` on top."""

from omegaconf import OmegaConf

from configs.data_rules import scenes_problems, split_problems
from configs.errors import ConfigError
from configs.files import FOLDER
from configs.model_rules import authors_problems
from configs.schema import Config, DataConfig, EvalConfig, ModelConfig, PredictConfig, ResizeConfig, ValidationConfig
from configs.validation import validated, with_changes

VALIDATION_KEYS = ("protocol", "tile_px", "batch", "flip", "scales")
RUNTIME_KEYS = ("device", "threads", "workers")


def released_config(model: ModelConfig) -> Config:
    """What a released network would say of itself: the data set whose classes it has, its tiles."""
    assert model.classes_of is not None, "a named network"
    data = OmegaConf.to_container(OmegaConf.load(FOLDER / "data" / f"{model.classes_of}.yaml"))
    assert isinstance(data, dict), "a section"
    return Config(
        experiment="released",
        data=validated(DataConfig, {str(key): value for key, value in data.items()}, "data"),
        model=model,
        validation=ValidationConfig(tile_px=model.tile_px),
    )


def evaluation_config(trained: Config, precision: str, request: EvalConfig | PredictConfig) -> Config:
    """The trained network's config, but data, validation and runtime as requested; the rest is as in training.

    `precision` is the one the run computed in: `auto` could mean another one on this machine. Raises ConfigError where
    the request does not fit the network.
    """
    settings = request.model_dump()
    data = with_changes(trained.data, request.model_dump(exclude_unset=True).get("data", {}), "data")
    validation = {key: settings[key] for key in VALIDATION_KEYS if settings.get(key) not in (None, [])}
    runtime = {key: settings[key] for key in RUNTIME_KEYS if key in settings}
    runtime["precision"] = request.precision or precision
    config = trained.model_copy(
        update={
            "data": data.model_copy(update={"resize": _requested_resize(request) or trained.data.resize}),
            "validation": with_changes(trained.validation, validation, "validation"),
            "runtime": with_changes(trained.runtime, runtime, "runtime"),
        }
    )
    problems = scenes_problems(config.data) + split_problems(config.data)
    if config.validation.protocol == "authors":
        problems += authors_problems(config.model, config.validation, config.data.resize)
        if request.precision not in (None, "float32"):
            problems.append(f"precision={request.precision}: protocol=authors is always float32; leave it out")
    if problems:
        raise ConfigError(problems)
    if config.validation.protocol != "authors":
        return config
    return config.model_copy(update={"runtime": config.runtime.model_copy(update={"precision": "float32"})})


def _requested_resize(request: EvalConfig | PredictConfig) -> ResizeConfig | None:
    """Any key replaces them all, for only one can be set; None: as the checkpoint says."""
    if isinstance(request, PredictConfig):
        return request.resize if request.resize != ResizeConfig() else None
    return request.data.resize if "resize" in request.data.model_fields_set else None
