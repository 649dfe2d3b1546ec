"""What frozen layers answer, kept on disk: the front end's class maps in the context stage, else its frozen blocks'."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assembly.code_identity import MAPS_CODE, made_by
from assembly.sources import Sources
from configs.schema import Config, StageConfig
from data.balance import ClassBalance
from data.block_maps import BlockMaps, ImageBlockMaps, Layout, block_maps_of, open_block_maps
from data.dataset import ImageSet
from data.features import ImageMaps, MapStore, open_store, open_windows
from data.loaders import WHOLE, whole_batches
from data.store import is_kept, to_keep
from data.stored_types import to_stored
from data.transforms import Completed, WholeTransform, holding_all, in_cells, refuse_cut
from data.versions import Versions
from engine.contracts import KeptMaps, TrainBatches, WindowMapper
from engine.evaluation.blocks import frontend_maps_in_blocks, maps_after_blocks
from engine.evaluation.inference import view_of
from engine.evaluation.recorded_maps import RecordedMaps
from engine.training.losses import CrossEntropy
from models import geometry
from models.segmenter import Segmenter

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Frozen:
    """The layers of a stage that do not learn, and what is kept of them.

    In the context stage, `blocks` None, the class maps of whole images; else the maps of the first blocks, from which
    crops are cut.
    """

    model: Segmenter
    blocks: int | None
    dtype: torch.dtype  # of what is kept to learn from
    window_dtype: torch.dtype  # of what is kept to score

    @property
    def mapper(self) -> WindowMapper:
        return self.model if self.blocks is None else self.model.first_blocks(self.blocks)

    @property
    def layers(self) -> tuple[geometry.Layer, ...]:
        return self.model.frontend.layers if self.blocks is None else self.model.first_blocks(self.blocks).layers

    def shape(self, window_px: Sequence[int]) -> tuple[int, int, int]:
        """Channels and cells of the maps of a window."""
        channels = self.model.num_classes if self.blocks is None else self.layers[-1].out_channels
        height, width = (geometry.out_size(self.layers, side) for side in window_px)
        return channels, height, width


@dataclass(frozen=True)
class KeptFeed:
    """Maps to learn from, and to score, of a stage about to begin, whose settings `stage` are."""

    sources: Sources
    name: str  # of the stage
    stage: StageConfig
    frozen: Frozen
    earlier: "KeptFeed | None" = None  # of a stage before, whose blocks are as they were then

    def batches(self, seed: int, balance: ClassBalance | None) -> TrainBatches:
        names = [self.sources.train_set.name(index) for index in range(len(self.sources.train_set))]
        draw: dict[str, Any] = {
            "versions": self._versions,
            "balance": balance,
            "micro_batch": self.stage.batch // self.stage.accumulation,
            "seed": seed,
            "share": self.sources.share,
        }
        if self.frozen.blocks is None:
            class_maps = self._class_maps()
            return lambda first, last: class_maps.batches(names, first=first, last=last, **draw)
        block_maps, crop_px = self._block_maps(), self.stage.crop_px
        return lambda first, last: block_maps.batches(names, crop_px=crop_px, first=first, last=last, **draw)

    def windows(self) -> KeptMaps:
        """Of every window that scoring asks for, in its order."""
        if self.earlier is not None:
            return self.earlier.windows()
        what = "front-end maps" if self.frozen.blocks is None else block_maps_of(self.frozen.blocks)
        maps = open_windows(
            self._config.cache, self._window_identity, self._windows, self.sources.log, self.sources.locked, what
        )
        return KeptMaps(maps, self.frozen.blocks)

    def to_keep(self) -> dict[str, int]:
        """Bytes of what the cache still lacks, by its folder's name; while nobody can know that, by the stage's.

        Raises UserError for images that the crop would cut.
        """
        if not self._is_known:
            of_stage = f"maps-of-{self.name}"
            return {f"{of_stage}-to-learn": self.bytes_to_learn, f"{of_stage}-to-score": self._score_bytes}
        needed = to_keep(self._config.cache, self._identity_to_learn, self.bytes_to_learn)
        if self.earlier is None:
            needed |= to_keep(self._config.cache, self._window_identity, self._score_bytes)
        return needed

    def scored_after(self) -> int | None:
        """Of how many blocks the maps are read to score, None: of the front end; 0 while some must be computed."""
        scored, cache = self.earlier or self, self._config.cache
        has_all = is_kept(cache, self._identity_to_learn) and is_kept(cache, scored._window_identity)
        return scored.frozen.blocks if has_all else 0

    @property
    def _score_bytes(self) -> int:
        """Of the maps to score, unless an earlier stage keeps them."""
        sizes = {} if self.earlier else Counter(self.sources.val_sizes)
        return sum(count * self._window_bytes(size_px) for size_px, count in sizes.items())

    @property
    def _is_known(self) -> bool:
        """Whether the weights of the frozen layers are there, and no stage before this one changes them."""
        stages, blocks = self._config.stages, self.frozen.blocks
        before = [getattr(self._config.stage, name) for name in stages[: stages.index(self.name)] if name != "context"]
        is_final = not before if blocks is None else all(stage.frozen_blocks >= blocks for stage in before)
        return is_final and not self._model.mean_rgb.is_meta

    @property
    def bytes_to_learn(self) -> int:
        """Of the maps and labels to learn from, kept already or not."""
        return self._class_map_bytes() if self.frozen.blocks is None else self._layout().num_bytes

    # Class maps of whole images.

    def _class_maps(self) -> MapStore:
        identity, num_images = self._identity_to_learn, len(self.sources.train_set)
        return open_store(
            self._config.cache, identity, self._image_maps, num_images, self.sources.log, self.sources.locked
        )

    def _class_map_bytes(self) -> int:
        for size_px in set(self.sources.train_sizes):
            refuse_cut(size_px, self.stage.crop_px)
        input_px = [side + 2 * self._model.margin_px for side in self.stage.crop_px]
        cells = math.prod(self.frozen.shape(input_px)[1:])
        targets = math.prod(self.stage.crop_px) if self.stage.loss.grid == "pixels" else cells
        return (
            len(self.sources.train_set)
            * self._versions.number
            * (math.prod(self.frozen.shape(input_px)) * self.frozen.dtype.itemsize + targets)
        )

    def _image_maps(self) -> Iterator[ImageMaps]:
        """Maps and targets of every version of every image in order."""
        loss = CrossEntropy(self.stage.loss, self._model.stride, self._model.node_offset_px, self._model.head)
        if self._blocks is not None:
            yield from self._image_maps_of(self._blocks._block_maps(), loss)
            return
        for images_MB3HW, labels_MBHW in self._whole(holding_all(self.stage.crop_px)):
            maps = [self._maps(images).float().cpu() for images in images_MB3HW]
            targets = [loss.targets(labels).to(torch.uint8) for labels in labels_MBHW]
            yield from map(ImageMaps, torch.stack(maps, 1).numpy(), torch.stack(targets, 1).numpy())

    @cached_property
    def _blocks(self) -> "KeptFeed | None":
        """Of the maps that an earlier stage learns from, where the front end's can be computed from them.

        Settings alone decide, so that a run whose cache was removed goes on with the same bits.
        """
        completed, crop_px = in_cells(self._model.stride), tuple(self.stage.crop_px)
        if self.earlier is None or self.earlier._versions.identity != self._versions.identity:
            return None
        has_all = all(completed(size_px) == crop_px for size_px in set(self.sources.train_sizes))
        return self.earlier if has_all else None

    def _image_maps_of(self, block_maps: BlockMaps, loss: CrossEntropy) -> Iterator[ImageMaps]:
        self._model.eval()
        device, layout, rest = self.sources.runtime.device, block_maps.layout, partial(maps_after_blocks, self._model)
        with torch.inference_mode(), self.sources.runtime.autocast():
            for index in range(len(layout.size_N2)):
                self.sources.check()
                versions = [block_maps.whole(index, version) for version in range(layout.versions)]
                maps = [one.frontend_maps(rest, device).float().cpu() for one in versions]
                targets = [loss.targets(one.labels_BHW).to(torch.uint8) for one in versions]
                yield ImageMaps(torch.cat(maps).numpy(), torch.cat(targets).numpy())

    # Maps of the first blocks, which crops are cut from.

    def _block_maps(self) -> BlockMaps:
        kept, precision = self.frozen.dtype, self._config.cache.precision
        if precision not in ("auto", "float32", self.sources.runtime.precision):
            self.sources.log(
                f"cache.precision={precision}: values of kept maps change by up to {torch.finfo(kept).eps / 2:.2%}"
            )
        identity, compute = self._identity_to_learn, self._image_block_maps
        return open_block_maps(
            self._config.cache, identity, compute, self._layout(), self.sources.log, self.sources.locked
        )

    def _layout(self) -> Layout:
        assert self.frozen.blocks is not None, "class maps lie otherwise"
        stride, first_blocks = self._model.stride, self._model.first_blocks(self.frozen.blocks)
        return Layout(
            size_N2=-(-np.array(self.sources.train_sizes).reshape(-1, 2) // stride),
            margin_cells=first_blocks.margin_cells,
            num_channels=self.frozen.layers[-1].out_channels,
            stride=stride,
            blocks=self.frozen.blocks,
            versions=self._versions.number,
            dtype=self.frozen.dtype,
        )

    def _image_block_maps(self) -> Iterator[ImageBlockMaps]:
        for images_MB3HW, labels_MBHW in self._whole(in_cells(self._model.stride)):
            maps = torch.cat([self._maps(images).permute(0, 2, 3, 1) for images in images_MB3HW])
            yield ImageBlockMaps(maps, torch.cat(labels_MBHW))

    # Maps of what scoring asks for.

    @property
    def _window_identity(self) -> dict[str, Any]:
        share = {} if self.sources.share == WHOLE else {"share": self.sources.share}
        return {
            **self._identity(self.sources.val_set, self.frozen.window_dtype),
            "validation": self._config.validation.model_dump(),
            **share,
        }

    def _windows(self) -> Iterator[NDArray[Any]]:
        self._model.eval()
        recorded = RecordedMaps(self._model)
        with torch.inference_mode(), self.sources.runtime.autocast():
            for batch in self.sources.validation_batches():
                self.sources.check()
                record = recorded.recording(self._maps)
                view_of(self._model, self._config.validation, batch.images_B3HW.to(self.sources.runtime.device), record)
                yield from (to_stored(maps_BKhw, self.frozen.window_dtype) for maps_BKhw in recorded.maps)

    def _window_bytes(self, size_px: tuple[int, int]) -> int:
        """Of the maps of all windows that scoring asks for in an image of this size; nothing is computed."""
        total, frontend = 0, replace(self.frozen, blocks=None)

        def counted(window_B3HW: Tensor) -> Tensor:
            nonlocal total
            window_px = window_B3HW.shape[-2:]
            total += math.prod(self.frozen.shape(window_px)) * self.frozen.window_dtype.itemsize
            return torch.zeros((1, *frontend.shape(window_px)))

        image = torch.empty((1, 3, *size_px), dtype=torch.uint8, device="meta")
        view_of(self._model, self._config.validation, image, counted)
        return total

    # Of both.

    def _whole(self, completed: Completed) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
        """Every version of each image and its labels, while the network is asked and does not learn.

        One by one: what the batch is, decides last bits.
        """
        versions = self._versions
        transform = WholeTransform(versions.changes, self._model.margin_px, completed, versions.mirror)
        epochs = max(1, versions.drawn)
        self._model.eval()
        with torch.inference_mode(), self.sources.runtime.autocast():
            for whole in whole_batches(
                self.sources.train_set,
                transform,
                batch=1,
                workers=self._config.runtime.workers,
                epochs=epochs,
                resize=self._config.data.resize,
                pin_memory=self.sources.runtime.pin_memory,
            ):
                self.sources.check()
                yield self._versions_in(whole.images_B3HW, epochs), self._versions_in(whole.labels_BHW, epochs)

    def _maps(self, images_B3HW: Tensor) -> Tensor:
        return frontend_maps_in_blocks(self.frozen.mapper, images_B3HW.to(self.sources.runtime.device))

    def _versions_in(self, images: Tensor, epochs: int) -> list[Tensor]:
        """Of images, or labels: each epoch's and, where they are kept, those of the mirror images."""
        return [*(images[epoch::epochs] for epoch in range(epochs)), *[images.flip(-1)] * self._versions.has_mirrored]

    @property
    def _identity_to_learn(self) -> dict[str, Any]:
        identity = {**self._identity(self.sources.train_set, self.frozen.dtype), **self._versions.identity}
        if self.frozen.blocks is not None:
            return identity
        return {
            **identity,
            "crop_px": self.stage.crop_px,
            **({"from_blocks": self._blocks.frozen.blocks} if self._blocks else {}),
            "targets": [self.stage.loss.grid, self._model.stride, self._model.node_offset_px],
        }

    def _identity(self, images: ImageSet, dtype: torch.dtype) -> dict[str, Any]:
        """Of maps of these images, which are kept in this type."""
        machine = {key: value for key, value in self.sources.runtime.to_plain().items() if key != "processes"}
        return {
            "images": self.sources.identity_of(images),
            "resize": self._config.data.resize.model_dump(),
            "frontend": self._model.frontend_digest(self.frozen.blocks),
            "blocks": self.frozen.blocks,
            "margin_px": self._model.margin_px,
            "dtype": str(dtype),
            "runtime": {**machine, "processor": self.sources.runtime.processor},
            "made_by": made_by(MAPS_CODE),
        }

    @property
    def _config(self) -> Config:
        return self.sources.config

    @property
    def _model(self) -> Segmenter:
        return self.frozen.model

    @property
    def _versions(self) -> Versions:
        return Versions(self.stage.kept_versions, self._config.data.augment, self.stage.mirror)


def kept_feed(sources: Sources, stage: str, settings: StageConfig) -> KeptFeed:
    """Of a stage that keeps maps; they are those of the network as it is when they are asked for."""
    precision, protocol = sources.config.cache.precision, sources.config.validation.protocol
    kept = DTYPES[sources.runtime.precision if precision == "auto" else precision]
    as_computed = precision in ("auto", sources.runtime.precision)
    scored = torch.float32 if as_computed and protocol == "authors" else kept  # it computes in float32

    def of_blocks(name: str, settings: StageConfig) -> KeptFeed:
        return KeptFeed(sources, name, settings, Frozen(sources.model, settings.frozen_blocks, kept, scored))

    if stage != "context":
        return of_blocks(stage, settings)
    stages = sources.config.stages
    before = [(name, getattr(sources.config.stage, name)) for name in stages[: stages.index(stage)]]
    is_exact = precision in ("auto", "float32", sources.runtime.precision)
    earlier = next((of_blocks(*other) for other in before if other[1].maps == "cached" and is_exact), None)
    return KeptFeed(sources, stage, settings, Frozen(sources.model, None, torch.float32, torch.float32), earlier)
