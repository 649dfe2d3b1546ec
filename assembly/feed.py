"""What a stage is trained and scored on: images as they are read, or the frozen front end's maps from disk."""

import ast
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from configs.files import FOLDER
from configs.schema import Config, StageConfig
from data.balance import ClassBalance
from data.build import image_sizes, meaning
from data.class_counts import Counts, open_counts
from data.dataset import ImageSet
from data.features import ImageMaps, MapStore, WindowMaps, file_identity, open_store, open_windows
from data.loaders import WHOLE, Batch, Share, train_batches, validation_batches, whole_batches
from data.resize import resized_size
from data.store import claim_of
from data.transforms import TrainTransform, WholeTransform, refuse_cut
from engine.contracts import TrainBatches
from engine.evaluation.blocks import frontend_maps_in_blocks
from engine.evaluation.inference import view_of
from engine.evaluation.recorded_maps import RecordedMaps
from engine.runs.files import locked
from engine.runtime import Runtime
from engine.training.losses import CrossEntropy
from models import geometry
from models.cost import FLOAT_BYTES
from models.segmenter import Segmenter

# Whose bits decide those of the kept maps, and those of a trained front end.
MAPS_CODE = ("data", "models", "engine/evaluation", "engine/gpu.py", "engine/training/losses.py")
LABELS_CODE = ("data",)
TRAINING_CODE = ("data", "models", "engine/evaluation", "engine/gpu.py", "engine/training")
LIBRARIES = ("torch", "numpy", "pillow", "opencv-python-headless", "albumentations")


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

    def batches(self, stage: StageConfig, seed: int) -> TrainBatches:
        """Micro-batches of a stage that is about to begin; kept maps are those of the front end as it now is."""
        augment, micro_batch, share = self.config.data.augment, stage.batch // stage.accumulation, self.share
        if stage.maps == "cached":
            store, names = self._store(stage), [self.train_set.name(index) for index in range(len(self.train_set))]
            return lambda first, last: store.batches(
                names, mirror=augment.mirror, micro_batch=micro_batch, first=first, last=last, seed=seed, share=share
            )
        transform = TrainTransform(augment, _pair(stage.crop_px), self.model.margin_px, stage.mirror)
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

    def kept_maps(self, stage: StageConfig) -> WindowMaps | None:
        """Maps for scoring in a stage that is about to begin; None if its front end computes them every time."""
        if stage.maps != "cached":
            return None
        share = {} if self.share == WHOLE else {"share": self.share}
        settings = {"validation": self.config.validation.model_dump(), **share}
        identity = {**self._maps_identity(self.val_set), **settings}
        return open_windows(self.config.cache, identity, self._windows, self.log, self._locked)

    def check_kept_maps(self, stage: StageConfig) -> None:
        """Refuse now what would be refused once the front end has trained.

        Raises UserError for images that the crop would cut, and for more maps than the cache may take.
        """
        if stage.maps != "cached":
            return
        for size_px in self._sizes(self.train_set):
            refuse_cut(size_px, stage.crop_px)
        versions = 2 if self._mirrors_pixels(stage) else 1
        cells = math.prod(self._map_size([side + 2 * self.model.margin_px for side in stage.crop_px]))
        targets = math.prod(stage.crop_px) if stage.loss.grid == "pixels" else cells
        of_image = versions * (self.model.num_classes * cells * FLOAT_BYTES + targets)
        for_scoring = sum(count * self._window_bytes(size_px) for size_px, count in self._sizes(self.val_set).items())
        claim_of(self.config.cache)(len(self.train_set) * of_image + for_scoring)

    def _sizes(self, images: ImageSet) -> Counter[tuple[int, int]]:
        """Height and width at which the network sees the images, and how many it sees so."""
        return Counter(resized_size(self.config.data.resize, size_px) for size_px in image_sizes(images))

    def _window_bytes(self, size_px: tuple[int, int]) -> int:
        """Of the maps of all windows that scoring an image of this size asks for; nothing is computed."""
        total = 0

        def counted(window_B3HW: Tensor) -> Tensor:
            nonlocal total
            shape = (1, self.model.num_classes, *self._map_size(window_B3HW.shape[-2:]))
            total += math.prod(shape) * FLOAT_BYTES
            return torch.empty(shape)

        with FakeTensorMode():
            image = torch.empty((1, 3, *size_px), dtype=torch.uint8)
            view_of(self.model, self.config.validation, image, counted)
        return total

    def _map_size(self, window_px: Sequence[int]) -> list[int]:
        return [geometry.out_size(self.model.frontend.layers, side) for side in window_px]

    def _store(self, stage: StageConfig) -> MapStore:
        mirrors = self._mirrors_pixels(stage)
        identity: dict[str, Any] = {
            **self._maps_identity(self.train_set),
            "crop_px": stage.crop_px,
            "mirrored": mirrors,
            "targets": [stage.loss.grid, self.model.stride, self.model.node_offset_px],
        }
        return open_store(
            self.config.cache,
            identity,
            lambda: self._image_maps(stage, mirrors),
            len(self.train_set),
            self.log,
            self._locked,
        )

    def _mirrors_pixels(self, stage: StageConfig) -> bool:
        return self.config.data.augment.mirror and stage.mirror == "pixels"

    def _locked(self, path: Path, on_wait: Callable[[], None]) -> AbstractContextManager[None]:
        return locked(path, on_wait, self.check)

    def _maps_identity(self, images: ImageSet) -> dict[str, Any]:
        machine = {key: value for key, value in self.runtime.to_plain().items() if key != "processes"}
        return {
            "images": self._identity_of(images),
            "resize": self.config.data.resize.model_dump(),
            "frontend": self.model.frontend_digest(),
            "runtime": machine,
            "made_by": made_by(MAPS_CODE),
        }

    def _identity_of(self, images: ImageSet) -> str:
        return file_identity(images, meaning(self.config.data))

    def _windows(self) -> Iterator[NDArray[np.float32]]:
        """Maps of every window that scoring asks for, in its order."""
        self.model.eval()
        recorded = RecordedMaps(self.model)
        with torch.inference_mode(), self.runtime.autocast():
            for batch in self.validation_batches():
                self.check()
                frontend = recorded.recording(partial(frontend_maps_in_blocks, self.model))
                view_of(self.model, self.config.validation, batch.images_B3HW.to(self.runtime.device), frontend)
                yield from (maps_BKhw.float().cpu().numpy() for maps_BKhw in recorded.maps)

    def _image_maps(self, stage: StageConfig, mirrors: bool) -> Iterator[ImageMaps]:
        """Maps and targets of every image in order, with `mirrors` those of the mirrored image beside them."""
        self.model.eval()
        loss = CrossEntropy(stage.loss, self.model.stride, self.model.node_offset_px, self.model.head)
        transform = WholeTransform(_pair(stage.crop_px), self.model.margin_px)
        batch, workers, resize = self.config.validation.batch, self.config.runtime.workers, self.config.data.resize
        with torch.inference_mode(), self.runtime.autocast():
            batches = whole_batches(
                self.train_set,
                transform,
                batch=batch,
                workers=workers,
                resize=resize,
                pin_memory=self.runtime.pin_memory,
            )
            for whole in batches:
                self.check()
                images = [whole.images_B3HW, *([whole.images_B3HW.flip(-1)] if mirrors else [])]
                labels = [whole.labels_BHW, *([whole.labels_BHW.flip(-1)] if mirrors else [])]
                frontend = partial(frontend_maps_in_blocks, self.model)
                maps = [frontend(part.to(self.runtime.device)).float().cpu() for part in images]
                targets = [loss.targets(part).to(torch.uint8) for part in labels]
                yield from map(ImageMaps, torch.stack(maps, 1).numpy(), torch.stack(targets, 1).numpy())


def made_by(code: Sequence[str]) -> dict[str, str]:
    """The versions of the libraries, and a SHA-256 of our own code, that results on disk depend on.

    `code` names files and folders of the project. What is hashed is their syntax tree, so that a comment or a line
    break makes nothing stale.
    """
    root, digest = FOLDER.parent, sha256()
    for place in code:
        path = root / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(root).as_posix()} {ast.dump(ast.parse(file.read_text()))}\n".encode())
    return {"code": digest.hexdigest(), **{name: version(name) for name in LIBRARIES}}


def _pair(crop_px: list[int]) -> tuple[int, int]:
    height, width = crop_px
    return height, width
