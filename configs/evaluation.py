"""The config of a trained network, with what `eval.py` or `predict.py` was told on top."""

from dataclasses import replace

from omegaconf import OmegaConf

from configs.check import authors_problems, scenes_problems
from configs.compose import FOLDER
from configs.keys import ConfigError
from configs.plain import from_plain, to_plain, with_changes
from configs.schema import (
    Config,
    DataConfig,
    EvalConfig,
    ModelConfig,
    Precision,
    PredictConfig,
    Protocol,
    ValidationConfig,
)

VALIDATION_KEYS = ("protocol", "tile_px", "batch", "flip", "scales")
RUNTIME_KEYS = ("device", "threads", "workers")


def released_config(model: ModelConfig) -> Config:
    """What a released network would say of itself: the data set whose classes it has, its tiles."""
    assert model.classes_of is not None, "a named network"
    data = OmegaConf.to_container(OmegaConf.load(FOLDER / "data" / f"{model.classes_of.name}.yaml"))
    assert isinstance(data, dict), "a section"
    return Config(
        experiment="released",
        data=from_plain({str(key): value for key, value in data.items()}, DataConfig, "data"),
        model=model,
        validation=ValidationConfig(tile_px=model.tile_px),
    )


def evaluation_config(trained: Config, precision: str, told: EvalConfig | PredictConfig) -> Config:
    """The trained network's config, but data, validation and runtime as told; what was left out is as in training.

    `precision` is the one the run computed in: `auto` could mean another one on this machine. Raises ConfigError where
    what was told does not fit the network.
    """
    words = to_plain(told)
    validation = {key: words[key] for key in VALIDATION_KEYS if words.get(key) not in (None, [])}
    runtime = {key: words[key] for key in RUNTIME_KEYS if key in words}
    config = replace(
        trained,
        data=with_changes(trained.data, words.get("data", {}), "data"),
        validation=with_changes(trained.validation, validation, "validation"),
        runtime=with_changes(trained.runtime, {**runtime, "precision": words["precision"] or precision}, "runtime"),
    )
    wrong = scenes_problems(config.data)
    if wrong:
        raise ConfigError(wrong)
    if config.validation.protocol is not Protocol.authors:
        return config
    wrong = authors_problems(config.model, config.validation)
    if told.precision not in (None, Precision.float32):
        wrong.append(f"precision={words['precision']}: protocol=authors is always float32; leave it out")
    if wrong:
        raise ConfigError(wrong)
    return replace(config, runtime=replace(config.runtime, precision=Precision.float32))
