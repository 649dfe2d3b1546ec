"""The config that a checkpoint carries, with what `eval.py` was told on top."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from configs.plain import from_plain, to_plain, with_changes
from configs.schema import Config, EvalConfig

VALIDATION_KEYS = ("protocol", "tile_px", "batch", "flip", "scales")


def evaluation_config(trained: Mapping[str, Any], precision: str, told: EvalConfig) -> Config:
    """The run's config, but data, validation and runtime as told; what was left out is as in training.

    `precision` is the one the run computed in: `auto` could mean another one on this machine.
    """
    config = from_plain(trained)
    words = to_plain(told)
    validation = {key: words[key] for key in VALIDATION_KEYS if words[key] not in (None, [])}
    runtime = {key: words[key] for key in ("device", "threads", "workers")}
    return replace(
        config,
        data=with_changes(config.data, told.data, "data"),
        validation=with_changes(config.validation, validation, "validation"),
        runtime=with_changes(config.runtime, {**runtime, "precision": words["precision"] or precision}, "runtime"),
    )
