"""What a stage is trained and scored on: images as they are read, or frozen layers' maps from disk."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from assembly.code_identity import LABELS_CODE, made_by
from assembly.kept_maps import Frozen, KeptFeed
from configs.schema import Config, StageConfig
from data.balance import ClassBalance
from data.build import meaning
from data.class_counts import Counts, open_counts
from data.dataset import ImageSet
from data.features import file_identity
from data.loaders import Batch, Share, train_batches, validation_batches
from data.transforms import TrainTransform
from engine.contracts import KeptMaps, TrainBatches
from engine.runs.files import locked
from engine.runtime import Runtime
from models.segmenter import Segmenter

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Feed:
    """Builds the batches and maps of every stage. `check` is called between batches and may raise to stop."""

    config: Config
    train_set: ImageSet
    val_set: ImageSet
    model: Segmenter
    runtime: Runtime
    log: Callable[[str], None]
    check: Callable[[], None]

    @cached_property
    def class_counts_NC(self) -> Counts:
        """Pixels of every class in every training label. Raises UserError where a label cannot be read."""
        identity = {"images": self._identity_of(self.train_set), "made_by": made_by(LABELS_CODE)}
        threads = self.config.runtime.workers
        return open_counts(self.config.cache, identity, self.train_set, threads, self.log, self._locked, self.check)

    @cached_property
    def balance(self) -> ClassBalance | None:
        """Of the stages that read images; kept maps are drawn evenly."""
        config, share = self.config, self.config.data.augment.class_balance
        reads_images = any(getattr(config.stage, stage).maps == "computed" for stage in config.stages)
        return ClassBalance(share, self.class_counts_NC) if share > 0 and reads_images else None

    @property
    def share(self) -> Share:
        """Of every micro-batch, and of the images to score, what this process reads."""
        return Share(self.runtime.ranks.rank, self.runtime.ranks.size)

    def validation_batches(self) -> Iterator[Batch]:
        return validation_batches(
            self.val_set,
            batch=self.config.validation.batch,
            workers=self.config.runtime.workers,
            share=self.share,
            resize=self.config.data.resize,
            pin_memory=self.runtime.pin_memory,
        )

    def batches(self, stage: str, settings: StageConfig, seed: int) -> TrainBatches:
        """Micro-batches of a stage that is about to begin; kept maps are those of the network as it now is."""
        if settings.maps == "cached":
            return self._kept(stage, settings).batches(seed)
        augment, micro_batch, share = self.config.data.augment, settings.batch // settings.accumulation, self.share
        transform = TrainTransform(augment, _pair(settings.crop_px), self.model.margin_px, settings.mirror)
        balance, workers = self.balance, self.config.runtime.workers
        return lambda first, last: train_batches(
            self.train_set,
            transform,
            balance,
            micro_batch=micro_batch,
            first=first,
            last=last,
            seed=seed,
            workers=workers,
            share=share,
            resize=self.config.data.resize,
            pin_memory=self.runtime.pin_memory,
        )

    def kept_maps(self, stage: str, settings: StageConfig) -> KeptMaps | None:
        """Maps for scoring in a stage that is about to begin; None if they are computed every time."""
        return self._kept(stage, settings).windows() if settings.maps == "cached" else None

    def check_kept_maps(self, stage: str, settings: StageConfig) -> None:
        """Refuse now what would be refused once an earlier stage has trained. See `KeptFeed.refuse_too_many`."""
        if settings.maps == "cached":
            self._kept(stage, settings).refuse_too_many()

    def _kept(self, stage: str, settings: StageConfig) -> KeptFeed:
        return KeptFeed(
            config=self.config,
            stage=settings,
            frozen=self._frozen(stage, settings),
            train_set=self.train_set,
            val_set=self.val_set,
            runtime=self.runtime,
            share=self.share,
            validation_batches=self.validation_batches,
            log=self.log,
            check=self.check,
        )

    def _frozen(self, stage: str, settings: StageConfig) -> Frozen:
        if stage == "context":
            return Frozen(self.model, None, torch.float32, torch.float32)
        precision = self.config.cache.precision
        if precision != "auto":
            return Frozen(self.model, settings.frozen_blocks, DTYPES[precision], DTYPES[precision])
        computed = DTYPES[self.runtime.precision]
        scored = torch.float32 if self.config.validation.protocol == "authors" else computed
        return Frozen(self.model, settings.frozen_blocks, computed, scored)

    def _locked(self, path: Path, on_wait: Callable[[], None]) -> AbstractContextManager[None]:
        return locked(path, on_wait, self.check)

    def _identity_of(self, images: ImageSet) -> str:
        return file_identity(images, meaning(self.config.data))


def _pair(crop_px: list[int]) -> tuple[int, int]:
    height, width = crop_px
    return height, width
