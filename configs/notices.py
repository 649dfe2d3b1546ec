"""What a run says about its settings though nothing about them is wrong."""

from configs.schema import AugmentConfig, Config, StageConfig

NAMED_OTHERWISE = ("scale_min", "scale_max", "rotation_deg")
OF_KEPT_MAPS = ("mirror", "class_balance")  # what is done to them as well


def notices(config: Config) -> list[str]:
    """One line for everything that these settings leave out or never reach."""
    lines = []
    for name in config.stages:
        stage: StageConfig = getattr(config.stage, name)
        lines += _defaults(name, stage) + _kept_maps(name, stage, config) + _warmup(name, stage)
    return lines


def _defaults(name: str, stage: StageConfig) -> list[str]:
    """A recipe need not know each stage that `stages` may name."""
    if stage != StageConfig():
        return []
    return [
        f"stage.{name}: the recipe leaves all of it at its defaults: {stage.steps} steps of {stage.batch} images, "
        f"{stage.optimizer.name} at {stage.lr:g}; --cfg job -p stage.{name} prints them"
    ]


def _kept_maps(name: str, stage: StageConfig, config: Config) -> list[str]:
    if stage.maps != "cached":
        key = f"stage.{name}.kept_versions={stage.kept_versions}"
        return [f"{key}: of maps=cached alone; this stage keeps none"] if stage.kept_versions else []
    if stage.kept_versions:
        return []
    augment = config.data.augment
    lost = {
        "scale": (augment.scale_min, augment.scale_max) != (1, 1),
        "rotation": augment.rotation_deg > 0,
        **{
            name: getattr(augment, name) > 0
            for name in AugmentConfig.model_fields
            if name not in NAMED_OTHERWISE + OF_KEPT_MAPS
        },
    }
    left_out = [key for key, is_set in lost.items() if is_set]
    if not left_out:
        return []
    return [
        f"stage.{name}.maps=cached: this stage learns from maps of unchanged images; of data.augment it leaves "
        f"out {', '.join(left_out)}; stage.{name}.maps=computed applies them, stage.{name}.kept_versions to a few "
        "versions of every image"
    ]


def _warmup(name: str, stage: StageConfig) -> list[str]:
    if stage.schedule.warmup_steps <= stage.steps:
        return []
    return [
        f"stage.{name}: the warm-up of {stage.schedule.warmup_steps} steps is longer than the stage's {stage.steps}; "
        f"the learning rate never reaches {stage.lr:g}"
    ]
