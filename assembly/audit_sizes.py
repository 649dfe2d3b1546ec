"""Whether the images go with the crops of the stages, and what is kept of them with the cache."""

import math
from collections.abc import Iterator
from dataclasses import replace

from assembly.audit_feed import audit_feed
from configs.errors import UserError
from configs.schema import CROP_MULTIPLE_PX, Config, StageConfig
from data.audit.findings import Finding, Place, listing
from data.audit.split import Split
from data.dataset import FileSet, ImageSet
from data.resize import resized_size
from data.store import CacheTooSmall
from data.transforms import refuse_cut

FAR_LARGER = 4  # crops along a side, from which on a resize is worth a try


def size_findings(config: Config, train: Split, val: Split) -> Iterator[Finding]:
    """Of the stages to come; what a stage would refuse only when it begins is an error here."""
    yield from _small_images(config, train)
    yield from _large_images(config, train)
    if "context" in config.stages and config.stage.context.maps == "cached":  # others cut crops, of any size
        context, cut = _holding_all(config, config.stage.context, train)
        yield from cut
        config = config.model_copy(update={"stage": config.stage.model_copy(update={"context": context})})
    yield from _cache_size(config, train, val)


def _small_images(config: Config, train: Split) -> Iterator[Finding]:
    """They are padded, by reflection and with void."""
    stages_of_crop: dict[tuple[int, int], list[str]] = {}
    for stage in config.stages:
        height, width = getattr(config.stage, stage).crop_px
        stages_of_crop.setdefault((height, width), []).append(stage)
    sizes_px = _seen_sizes(config, train)
    for (height, width), stages in stages_of_crop.items():
        indices = [i for i, size_px in sizes_px.items() if size_px[0] < height or size_px[1] < width]
        if indices:
            what = f"images smaller than crop_px={listing((height, width))} of {', '.join(stages)}: {len(indices):,}"
            advice = (
                f"they are padded, and void there; if most are, lower stage.*.crop_px (multiples of {CROP_MULTIPLE_PX})"
            )
            yield Finding("note", "small_image", train.name, what, advice, _places(train, indices))


def _large_images(config: Config, train: Split) -> Iterator[Finding]:
    """Photographs of many megapixels: a crop of one is a patch of wall or lawn, and says little of what it is."""
    crop_px = max((getattr(config.stage, stage).crop_px for stage in config.stages), key=math.prod)
    indices = [i for i, size_px in _seen_sizes(config, train).items() if min(size_px) >= FAR_LARGER * max(crop_px)]
    if indices:
        what = f"images of {FAR_LARGER} crops or more on each side, crop_px={listing(crop_px)}: {len(indices):,}"
        advice = "a crop shows a small part of them; data.resize says at what size the network sees images, for example"
        others = config.data.resize.model_dump(exclude={"short_px"}, exclude_none=True)  # an image has one size
        overrides = [*(f"data.resize.{key}=null" for key in others), f"data.resize.short_px={2 * max(crop_px)}"]
        yield Finding("note", "large_image_for_crop", train.name, what, advice, _places(train, indices), overrides)


def _seen_sizes(config: Config, split: Split) -> dict[int, tuple[int, int]]:
    """Height and width at which the network sees each image that can be read."""
    records = enumerate(split.records)
    return {i: resized_size(config.data.resize, record.image.size_px) for i, record in records if record.image}


def _cache_size(config: Config, train: Split, val: Split) -> Iterator[Finding]:
    train_set, val_set = _as_if_readable(train), _as_if_readable(val)
    if train_set is None or val_set is None:
        return
    try:
        audit_feed(config, train_set, val_set, log=lambda line: None).check_cache()
    except CacheTooSmall as error:
        what = str(error).partition("; ")[0]
        keeping = [stage for stage in config.stages if getattr(config.stage, stage).maps == "cached"]
        kept = [f"stage.{stage}.maps=computed" for stage in keeping]
        kept += ["cache.images=false"] * config.cache.images
        advice = f"remove folders there, set {' or '.join(kept)}, or add"
        yield Finding("error", "cache_size", "", what, advice, overrides=[f"cache.max_gb={error.required_gb:g}"])


def _holding_all(config: Config, settings: StageConfig, train: Split) -> tuple[StageConfig, list[Finding]]:
    """The settings of the context stage with a crop that cuts no image, and what there is to say of theirs."""
    too_large, largest_px = list[int](), list(settings.crop_px)
    for i, size_px in _seen_sizes(config, train).items():
        try:
            refuse_cut(size_px, settings.crop_px)
        except UserError:
            too_large.append(i)
            largest_px = [max(largest, _in_cells(side)) for largest, side in zip(largest_px, size_px, strict=True)]
    if not too_large:
        return settings, []
    key = f"stage.context.crop_px={listing(settings.crop_px)}"
    what = f"images larger than {key}, of which maps are to be kept: {len(too_large):,}"
    advice = "take them out of the split, set stage.context.maps=computed, or add"
    overrides = [f"stage.context.crop_px={listing(largest_px)}"]
    finding = Finding("error", "larger_than_crop", train.name, what, advice, _places(train, too_large), overrides)
    return settings.model_copy(update={"crop_px": largest_px}), [finding]


def _in_cells(size_px: int) -> int:
    """The next size that a crop may have."""
    return -(-size_px // CROP_MULTIPLE_PX) * CROP_MULTIPLE_PX


def _as_if_readable(split: Split) -> ImageSet | None:
    """The set as it will be once its images are repaired: each that cannot be read counts as one that can."""
    readable = [i for i, record in enumerate(split.records) if record.image]
    if not readable or not isinstance(split.images, FileSet):
        return split.images if readable else None
    pairs = split.images.pairs
    return replace(
        split.images, pairs=[pairs[i if record.image else readable[0]] for i, record in enumerate(split.records)]
    )


def _places(split: Split, indices: list[int]) -> list[Place]:
    return [Place(file) for file in split.files(*indices)]
