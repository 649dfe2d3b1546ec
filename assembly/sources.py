"""What a run reads and computes with, as its feeds share it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from configs.schema import Config
from data.build import image_sizes, meaning
from data.dataset import ImageSet
from data.features import file_identity
from data.loaders import Batch, Share, validation_batches
from data.resize import resized_size
from data.store import Log
from engine.runs.files import locked
from engine.runtime import Runtime
from models.segmenter import Segmenter


@dataclass(frozen=True)
class Sources:
    """Settings, both sets, the network. `check` is called between batches and may raise to stop."""

    config: Config
    train_set: ImageSet
    val_set: ImageSet
    model: Segmenter
    runtime: Runtime
    log: Log
    check: Callable[[], None]

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

    @cached_property
    def train_sizes(self) -> list[tuple[int, int]]:
        """Height and width at which the network sees each image to learn from; files' headers are read once."""
        return self._sizes(self.train_set)

    @cached_property
    def val_sizes(self) -> list[tuple[int, int]]:
        """Those of the images to score."""
        return self._sizes(self.val_set)

    def _sizes(self, images: ImageSet) -> list[tuple[int, int]]:
        return [resized_size(self.config.data.resize, size_px) for size_px in image_sizes(images)]

    def identity_of(self, images: ImageSet) -> str:
        return file_identity(images, meaning(self.config.data))

    def locked(self, path: Path, on_wait: Callable[[], None]) -> AbstractContextManager[None]:
        return locked(path, on_wait, self.check)
