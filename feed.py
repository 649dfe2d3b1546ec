"""What a stage is trained and scored on: images as they are read, or the frozen front end's maps from disk."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from configs.plain import to_plain
from configs.schema import Config, MapSource, Mirror, StageConfig
from data.dataset import ImageSet
from data.features import Computed, MapStore, WindowMaps, file_identity, open_store, open_windows
from data.loaders import train_batches, validation_batches, whole_batches
from data.transforms import TrainTransform, WholeTransform
from engine.contracts import TrainBatches
from engine.inference import probabilities
from engine.losses import CrossEntropy
from engine.runtime import Runtime
from models.segmenter import Segmenter


@dataclass(frozen=True)
class Feed:
    """What every stage asks for. `say` is for people, `check` may raise to stop."""

    config: Config
    images: ImageSet
    scored: ImageSet
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

    def kept_maps(self, stage: StageConfig) -> WindowMaps | None:
        """Maps for scoring in a stage that is about to begin; None if its front end is asked every time."""
        if stage.maps is not MapSource.cached:
            return None
        settings = {"validation": to_plain(self.config.validation), "images": self._identity_of(self.scored)}
        identity = {**self._frontend_identity(), **settings}
        return open_windows(self.config.cache, identity, self._windows, self.say)

    def _store(self, stage: StageConfig) -> MapStore:
        mirrors = self.config.data.augment.mirror and stage.mirror is Mirror.pixels
        identity: dict[str, Any] = {
            **self._frontend_identity(),
            "images": self._identity_of(self.images),
            "crop_px": stage.crop_px,
            "mirrored": mirrors,
            "targets": [stage.loss.grid.name, self.model.stride, self.model.node_offset_px],
        }
        return open_store(
            self.config.cache, identity, lambda: self._computed(stage, mirrors), len(self.images), self.say
        )

    def _frontend_identity(self) -> dict[str, Any]:
        runtime = self.runtime
        return {
            "frontend": self.model.frontend_digest(),
            "padding": self.config.model.padding.name,
            "runtime": [runtime.device.type, runtime.precision.name, runtime.threads, torch.__version__],
        }

    def _identity_of(self, images: ImageSet) -> str:
        return file_identity(images, self.config.data.shapes)

    def _windows(self) -> Iterator[NDArray[np.float32]]:
        """Maps of every window that scoring asks for, in its order."""
        self.model.eval()
        seen: list[NDArray[np.float32]] = []

        def remembered(window_B3HW: Tensor) -> Tensor:
            maps_BKhw = self.model.frontend_maps(window_B3HW)
            seen.append(maps_BKhw.float().cpu().numpy())
            return maps_BKhw

        validation, workers = self.config.validation, self.config.runtime.workers
        with torch.inference_mode(), self.runtime.autocast():
            for batch in validation_batches(self.scored, batch=validation.batch, workers=workers):
                self.check()
                probabilities(self.model, validation, batch.images_B3HW.to(self.runtime.device), remembered)
                yield from seen
                seen.clear()

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
