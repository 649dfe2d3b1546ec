"""The header of a run, from its settings, its data and its network."""

from configs.schema import Config
from data.build import content_digest, digest
from data.dataset import ImageSet
from engine.runs.header import ClassTable, DataDigest, RunHeader, ScheduleFigures, versions
from engine.runtime import Runtime
from models.describe import network_geometry, schedule_figures


def run_header(config: Config, train_set: ImageSet, val_set: ImageSet, runtime: Runtime) -> RunHeader:
    """The header of a run that begins; that of a resumed one has a history besides (`engine.runs.resume`)."""
    classes, sets, crop_px = train_set.classes, (train_set, val_set), context_crop_px(config)
    return RunHeader(
        config=config.model_dump(),
        classes=ClassTable(list(classes.names), [list(color) for color in classes.palette]),
        runtime=runtime.to_plain(),
        versions=versions(),
        data=DataDigest(
            samples=[digest(images) for images in sets],
            sizes=[len(images) for images in sets],
            files=[content_digest(images) for images in sets],
        ),
        geometry=network_geometry(config.model),
        schedule=ScheduleFigures(**schedule_figures(config.model, classes.num_classes, crop_px)) if crop_px else None,
    )


def context_crop_px(config: Config) -> list[int]:
    """Height and width that the context module is first trained on; empty if it is not trained."""
    stages = [getattr(config.stage, stage) for stage in config.stages if stage != "frontend"]
    return stages[0].crop_px if stages else []
