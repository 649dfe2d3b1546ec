"""What a run says before it trains: its data, its network, and how both stand to the paper."""

from collections.abc import Iterator

from assembly.header import context_crop_px
from assembly.protocol import deviations
from configs.notices import notices
from configs.schema import Config
from data.build import leaks
from data.dataset import FileSet, ImageSet
from data.resize import resize_line
from data.splits import group_lines
from models.describe import network_line, schedule_verdict


def introduction(config: Config, train_set: ImageSet, val_set: ImageSet) -> Iterator[str]:
    """The lines that a run logs before its first stage; warnings begin with "warning: "."""
    yield from (train_set.describe(), val_set.describe(), *group_lines(train_set, val_set))
    for images in (train_set, val_set):
        yield from (f"left out: {reason}" for reason in (images.left_out if isinstance(images, FileSet) else ()))
    yield from filter(None, [resize_line(config.data.resize)])
    yield network_line(config.model)
    crop_px = context_crop_px(config)
    if crop_px:
        yield from schedule_verdict(config.model, crop_px)
    yield from (f"protocol: {line}" for line in deviations(config))
    yield from notices(config)
    leaked = leaks(train_set, val_set)
    if leaked:
        yield f"warning: {len(leaked)} images are in both splits, so the score flatters; first: {leaked[0]}"
