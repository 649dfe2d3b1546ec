"""Learning rate as a pure function of the step."""

from configs.schema import ScheduleConfig


def lr_factor(config: ScheduleConfig, step: int, num_steps: int) -> float:
    """What the stage's learning rate is multiplied by at `step` (0 ... num_steps - 1)."""
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    match config.name:
        case "constant":
            return warmup
        case "step":
            return float(warmup * config.factor ** (step // config.every_steps))
        case "poly":
            return float(warmup * (1 - step / num_steps) ** config.power)
