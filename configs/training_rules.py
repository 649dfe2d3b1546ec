"""Rules of a training: the order of its stages, settings of one stage that do not go together."""

from pydantic.fields import FieldInfo

from configs.keys import did_you_mean, known_keys, unknown_key
from configs.schema import (
    NUM_POOLED_BLOCKS,
    STAGES,
    Config,
    DataConfig,
    LossGrid,
    StageConfig,
)
from configs.validation import shown


def training_problems(config: Config) -> list[str]:
    """No problem is an empty list."""
    problems = _order(config)
    for name in STAGES:
        problems += _stage(f"stage.{name}", getattr(config.stage, name), config.data)
    return problems + _loss_grids(config) + _mirrors(config) + _kept_maps(config)


def resume_problems(config: Config) -> list[str]:
    names, known = config.resume_changes, known_keys(Config)
    key = f"resume_changes={shown(names)}"
    if names and config.resume == "never":
        return [f"{key}: it names what may differ when a run goes on; add resume=auto, or leave it out"]
    problems = [f"{key}: {unknown_key(name, known)}" for name in names if name not in known]
    return problems + [
        f"{key}: {name} cannot change while a run goes on; single keys of stage and data.augment can, for example "
        "stage.joint.lr"
        for name in names
        if name in known
        and (not name.startswith(("stage.", "data.augment.")) or not isinstance(known[name], FieldInfo))
    ]


def _order(config: Config) -> list[str]:
    stages, key = config.stages, f"stages={shown(config.stages)}"
    unknown = [name for name in stages if name not in STAGES]
    if unknown:
        hint = did_you_mean(unknown[0], STAGES)
        position = stages.index(unknown[0])
        return [f'{key}: there is no stage "{unknown[0]}" (position {position}); {hint}stages: {", ".join(STAGES)}']
    ordered = [name for name in STAGES if name in stages]
    if stages != ordered:
        return [f"{key}: each stage once and in this order is required: {', '.join(STAGES)}; write {shown(ordered)}"]
    if stages and stages[0] not in ("frontend", "warmup") and config.init.checkpoint is None:
        return [
            f"{key}: {stages[0]} without frontend starts from trained weights; set init.checkpoint=FILE, "
            f"or add frontend to stages"
        ]
    return []


def _stage(key: str, stage: StageConfig, data: DataConfig) -> list[str]:
    problems = []
    if stage.accumulation >= 1 and stage.batch % stage.accumulation:
        divisors = [str(n) for n in range(1, max(stage.batch, 0) + 1) if stage.batch % n == 0]
        problems.append(
            f"{key}.accumulation={stage.accumulation}: a divisor of {key}.batch={stage.batch} is required; "
            f"one of {', '.join(divisors)}"
        )
    weights, num_names = stage.loss.class_weights, len(data.folder.class_names)
    if isinstance(weights, str):
        return problems
    if weights and not any(weights):
        problems.append(
            f"{key}.loss.class_weights={shown(weights)}: one weight above 0 is required; [] means 1 for all"
        )
    if weights and data.name == "folder" and len(weights) != num_names:
        problems.append(
            f"{key}.loss.class_weights={shown(weights)}: one for each of the {num_names} data.folder.class_names "
            f"is required; got {len(weights)}"
        )
    return problems


def _loss_grids(config: Config) -> list[str]:
    """A loss at the cells needs a label under each of them."""
    offset = config.model.node_offset_px
    at_cells = [name for name in config.stages if name in STAGES and _grid(config, name) == "cells"]
    if offset == int(offset) or not at_cells:
        return []
    keys = " ".join(f"stage.{name}.loss.grid=pixels" for name in at_cells)
    return [
        f"model.node_offset_px={offset}: no label lies at half a pixel, and the loss is taken at the cells; set {keys}"
    ]


def _mirrors(config: Config) -> list[str]:
    """Cells can be mirrored where the front end no longer learns and every cell has a label of its own."""
    problems = []
    for name in config.stages:
        if name not in STAGES or getattr(config.stage, name).mirror == "pixels":
            continue
        key, hint = f"stage.{name}.mirror=cells", f"stage.{name}.mirror=pixels"
        if name != "context":
            problems.append(
                f"{key}: the front end learns from mirrored images here, not from mirrored maps; set {hint}"
            )
        elif _grid(config, name) == "pixels":
            problems.append(
                f"{key}: a loss at the cells is required, where each has a label that is mirrored with it, and "
                f"stage.{name}.loss.grid=pixels; set {hint}, or stage.{name}.loss.grid=cells"
            )
        if not config.data.augment.mirror:
            problems.append(f"{key}: data.augment.mirror=false, so there is nothing to mirror; set {hint}")
    return problems


def _kept_maps(config: Config) -> list[str]:
    """Maps can be kept of layers that do not learn, from where on every layer has the stride of the cells."""
    problems, num_blocks = [], len(config.model.frontend.depths)
    for name in config.stages:
        if name not in STAGES or name == "context" or getattr(config.stage, name).maps != "cached":
            continue
        frozen = getattr(config.stage, name).frozen_blocks
        if not NUM_POOLED_BLOCKS <= frozen <= num_blocks:
            problems.append(
                f"stage.{name}.maps=cached: maps are kept of blocks that do not learn, and stage.{name}.frozen_blocks="
                f"{frozen}; set it to {NUM_POOLED_BLOCKS} ... {num_blocks}, or stage.{name}.maps=computed"
            )
    return problems


def _grid(config: Config, stage: str) -> LossGrid:
    settings: StageConfig = getattr(config.stage, stage)
    return settings.loss.grid
