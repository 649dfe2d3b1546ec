"""Whether the images go with the crops of the stages, and the maps that are kept of them with the cache."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from assembly.feed import Feed
from configs.errors import UserError
from configs.schema import Config
from data.audit.findings import Finding, Place, listing
from data.audit.split import Split
from data.dataset import FileSet, ImageSet
from data.transforms import refuse_cut
from engine.runtime import Runtime
from models.build import build_segmenter


def size_findings(config: Config, train: Split, val: Split) -> Iterator[Finding]:
    """Of the stages to come; what a stage would refuse only when it begins is an error here."""
    yield from _small_images(config, train)
    if "context" in config.stages and config.stage.context.maps == "cached":
        yield from _kept_maps(config, train, val)


def _small_images(config: Config, train: Split) -> Iterator[Finding]:
    """They are padded, by reflection and with void."""
    stages_of_crop: dict[tuple[int, int], list[str]] = {}
    for stage in config.stages:
        height, width = getattr(config.stage, stage).crop_px
        stages_of_crop.setdefault((height, width), []).append(stage)
    for (height, width), stages in stages_of_crop.items():
        indices = [
            i
            for i, record in enumerate(train.records)
            if record.image and (record.image.size_px[0] < height or record.image.size_px[1] < width)
        ]
        if indices:
            what = f"images smaller than crop_px={listing((height, width))} of {', '.join(stages)}: {len(indices):,}"
            advice = "they are padded, and void there; if most are, lower stage.*.crop_px (multiples of 8)"
            yield Finding("note", "small_image", train.name, what, advice, _places(train, indices))


def _kept_maps(config: Config, train: Split, val: Split) -> Iterator[Finding]:
    crop_px, too_large, message = config.stage.context.crop_px, list[int](), ""
    for i, record in enumerate(train.records):
        try:
            if record.image:
                refuse_cut(record.image.size_px, crop_px)
        except UserError as error:
            too_large.append(i)
            message = message or str(error)
    if too_large:
        key = f"stage.context.crop_px={listing(crop_px)}"
        what = f"images larger than {key}, of which maps are to be kept: {len(too_large):,}"
        advice = message.rpartition("; ")[2]
        yield Finding("error", "larger_than_crop", train.name, what, advice, _places(train, too_large))
    fitting = _without(train, too_large)
    if fitting is None or val.images is None:
        return
    try:
        _feed(config, fitting, val.images).check_kept_maps(config.stage.context)
    except UserError as error:
        what, _, advice = str(error).rpartition("; ")
        yield Finding("error", "cache_size", "", what, advice)


def _feed(config: Config, train_set: ImageSet, val_set: ImageSet) -> Feed:
    """Of a network without weights, which takes no memory: layers and margin decide how large maps are."""
    with torch.device("meta"):
        model, _ = build_segmenter(
            config.model.model_copy(update={"pretrained": None}), train_set.classes.num_classes, (), seed=0
        )
    runtime = Runtime(torch.device("cpu"), "float32", 1)
    return Feed(config, train_set, val_set, model, runtime, log=lambda line: None, check=lambda: None)


def _without(split: Split, indices: list[int]) -> ImageSet | None:
    """The images that are left; None where none is."""
    if not isinstance(split.images, FileSet) or not indices:
        return split.images
    left_out = set(indices)
    pairs = [pair for i, pair in enumerate(split.images.pairs) if i not in left_out]
    return replace(split.images, pairs=pairs) if pairs else None


def _places(split: Split, indices: list[int]) -> list[Place]:
    return [Place(file) for file in split.files(*indices)]
