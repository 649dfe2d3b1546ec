"""What a stage is trained on: images as they are read, or the frozen front end's maps from disk."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from configs.schema import Config, MapSource, Mirror, StageConfig
from data.dataset import ImageSet
from data.features import Computed, MapStore, file_identity, open_store
from data.loaders import train_batches, whole_batches
from data.transforms import TrainTransform, WholeTransform
from engine.contracts import TrainBatches
from engine.losses import CrossEntropy
from engine.runtime import Runtime
from models.segmenter import Segmenter


@dataclass(frozen=True)
class Feed:
    """Training batches of any stage. `say` is for people, `check` may raise to stop."""

    config: Config
    images: ImageSet
    model: Segmenter
    runtime: Runtime
    say: Callable[[str], None]
    check: Callable[[], None]

    def batches(self, stage: StageConfig, seed: int) -> TrainBatches:
        """For a stage that is about to begin: maps are those of the front end as it now is."""
        augment, micro_batch = self.config.data.augment, stage.batch // stage.accumulation
        if stage.maps is MapSource.cached:
            store, names = self._store(stage), [self.images.name(index) for index in range(len(self.images))]
            return lambda first, last: store.batches(
                names, mirror=augment.mirror, micro_batch=micro_batch, first=first, last=last, seed=seed
            )
        transform = TrainTransform(augment, _pair(stage.crop_px), self.model.margin_px, stage.mirror)
        workers = self.config.runtime.workers
        return lambda first, last: train_batches(
            self.images, transform, micro_batch=micro_batch, first=first, last=last, seed=seed, workers=workers
        )

    def _store(self, stage: StageConfig) -> MapStore:
        mirrors = self.config.data.augment.mirror and stage.mirror is Mirror.pixels
        identity: dict[str, Any] = {
            "frontend": self.model.frontend_digest(),
            "padding": self.config.model.padding.name,
            "images": file_identity(self.images, self.config.data.shapes),
            "crop_px": stage.crop_px,
            "mirrored": mirrors,
            "targets": [stage.loss.grid.name, self.model.stride, self.model.node_offset_px],
            "runtime": [self.runtime.device.type, self.runtime.precision.name, self.runtime.threads, torch.__version__],
        }
        return open_store(
            self.config.cache, identity, lambda: self._computed(stage, mirrors), len(self.images), self.say
        )

    def _computed(self, stage: StageConfig, mirrors: bool) -> Iterator[Computed]:
        """Maps and targets of every image in order, with `mirrors` those of the mirrored image beside them."""
        self.model.eval()
        loss = CrossEntropy(stage.loss, self.model.stride, self.model.node_offset_px, self.model.head)
        transform = WholeTransform(_pair(stage.crop_px), self.model.margin_px)
        batch, workers = self.config.validation.batch, self.config.runtime.workers
        with torch.inference_mode(), self.runtime.autocast():
            for whole in whole_batches(self.images, transform, batch=batch, workers=workers):
                self.check()
                images = [whole.images_B3HW, *([whole.images_B3HW.flip(-1)] if mirrors else [])]
                labels = [whole.labels_BHW, *([whole.labels_BHW.flip(-1)] if mirrors else [])]
                maps = [self.model.frontend_maps(one.to(self.runtime.device)).float().cpu() for one in images]
                targets = [loss.targets(one).to(torch.uint8) for one in labels]
                yield from map(Computed, torch.stack(maps, 1).numpy(), torch.stack(targets, 1).numpy())


def _pair(crop_px: list[int]) -> tuple[int, int]:
    height, width = crop_px
    return height, width
