"""The overrides of a run on the built-in scenes that is small enough for a test."""

from collections.abc import Sequence

STAGE = {"batch": 2, "maps": "computed", "schedule.warmup_steps": 0}


def small_run(stages: Sequence[str], *, limit: int, **stage_settings: object) -> list[str]:
    """`stages` alone, each with the same settings, on `limit` scenes of 192 px, the front end a quarter as wide."""
    settings = {**STAGE, **stage_settings}
    return [
        "model.frontend.width=0.25",
        "data.shapes.size_px=192",
        f"data.limit={limit}",
        "runtime.threads=1",
        "run.num_pictures=1",
        *(f"stage.{stage}.{key}={value}" for stage in stages for key, value in settings.items()),
        f"stages=[{','.join(stages)}]",
    ]
