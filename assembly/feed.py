"""What a stage is trained and scored on: images as they are read, or frozen layers' maps from disk."""

from functools import cached_property
from typing import Any

from assembly.code_identity import LABELS_CODE, made_by
from assembly.kept_maps import kept_feed
from assembly.sources import Sources
from configs.schema import ResizeConfig, StageConfig
from data.balance import ClassBalance
from data.class_counts import Counts, open_counts
from data.dataset import ImageSet
from data.kept_images import images_to_keep, open_kept_images
from data.loaders import AS_IT_IS, train_batches
from data.store import refuse_too_many
from data.transforms import TrainTransform
from engine.contracts import KeptMaps, TrainBatches


class Feed(Sources):
    """Builds the batches and maps of every stage."""

    @cached_property
    def class_counts_NC(self) -> Counts:
        """Pixels of every class in every training label. Raises UserError where a label cannot be read."""
        threads, identity = self.config.runtime.workers, self._images_identity
        return open_counts(self.config.cache, identity, self.train_set, threads, self.log, self.locked, self.check)

    @cached_property
    def balance(self) -> ClassBalance | None:
        share = self.config.data.augment.class_balance
        return ClassBalance(share, self.class_counts_NC) if share > 0 else None

    def batches(self, stage: str, settings: StageConfig, seed: int) -> TrainBatches:
        """Micro-batches of a stage that is about to begin; kept maps are those of the network as it now is."""
        if settings.maps == "cached":
            return kept_feed(self, stage, settings).batches(seed, self.balance)
        augment, micro_batch, share = self.config.data.augment, settings.batch // settings.accumulation, self.share
        transform = TrainTransform(augment, _pair(settings.crop_px), self.model.margin_px, settings.mirror)
        balance, workers = self.balance, self.config.runtime.workers
        images, resize = self._images_to_learn
        return lambda first, last: train_batches(
            images,
            transform,
            balance,
            micro_batch=micro_batch,
            first=first,
            last=last,
            seed=seed,
            workers=workers,
            share=share,
            resize=resize,
            pin_memory=self.runtime.pin_memory,
        )

    @cached_property
    def _images_to_learn(self) -> tuple[ImageSet, ResizeConfig]:
        """And how they are still to be resized."""
        cache, resize, workers = self.config.cache, self.config.data.resize, self.config.runtime.workers
        if not cache.images:
            return self.train_set, resize
        identity, log, locked = self._images_identity, self.log, self.locked
        return open_kept_images(cache, identity, self.train_set, resize, workers, log, locked, self.check), AS_IT_IS

    @property
    def _images_identity(self) -> dict[str, Any]:
        return {"images": self.identity_of(self.train_set), "made_by": made_by(LABELS_CODE)}

    def check_cache(self) -> None:
        """Refuse now what would be refused once an earlier stage has trained.

        Raises UserError for images that a crop would cut, and for more maps and images than the cache may take.
        """
        settings: dict[str, StageConfig] = {stage: getattr(self.config.stage, stage) for stage in self.config.stages}
        needed = dict[str, int]()
        for stage, of_stage in settings.items():
            if of_stage.maps == "cached":
                needed |= kept_feed(self, stage, of_stage).to_keep()
        if self.config.cache.images and any(of_stage.maps == "computed" for of_stage in settings.values()):
            resize = self.config.data.resize
            needed |= images_to_keep(self.config.cache, self._images_identity, self.train_set, resize)
        refuse_too_many(self.config.cache, needed)

    def kept_maps(self, stage: str, settings: StageConfig) -> KeptMaps | None:
        """Maps for scoring in a stage that is about to begin; None if they are computed every time."""
        return kept_feed(self, stage, settings).windows() if settings.maps == "cached" else None

    def kept_map_bytes(self, stage: str, settings: StageConfig) -> int:
        """Of the files of maps that a stage with maps=cached learns from."""
        return kept_feed(self, stage, settings).bytes_to_learn

    def scored_after(self, stage: str, settings: StageConfig) -> int | None:
        """What scoring begins with: images (0), the maps after so many blocks, or class maps (None)."""
        return kept_feed(self, stage, settings).scored_after() if settings.maps == "cached" else 0


def _pair(crop_px: list[int]) -> tuple[int, int]:
    height, width = crop_px
    return height, width
