"""The samples that training would get, one by one, and which of them show every class."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from assembly.audit_feed import audit_feed
from configs.errors import UserError
from configs.schema import VOID, Config, StageConfig
from data.class_counts import Counts
from data.dataset import ImageSet
from data.loaders import Batch
from data.store import Log
from engine.contracts import TrainBatches
from engine.training.random_state import stage_seed

MOST_SAMPLES = 3000  # a look, not a pass over COCO
MOST_UNREADABLE = 20  # after so many samples that cannot be read the rest is left alone


@dataclass(frozen=True)
class SampleStream:
    """The first epoch of a stage, as much of it as it has steps for, and not more than `MOST_SAMPLES`."""

    stage: str
    length: int
    batches: TrainBatches  # of one sample each
    batches_without_workers: TrainBatches  # the same, for a few samples here and there
    log: Log

    def samples(self) -> Generator[tuple[int, Batch]]:
        """Position and sample. One that cannot be read is logged and passed over."""
        position, num_unreadable = 0, 0
        while position < self.length and num_unreadable < MOST_UNREADABLE:
            try:
                with closing(self.batches(position, self.length)) as batches:
                    for batch in batches:
                        yield position, _of_images(batch)
                        position += 1
            except UserError as error:
                self.log(f"sample {position} of stage {self.stage} cannot be read: {error}")
                position, num_unreadable = position + 1, num_unreadable + 1
        if num_unreadable == MOST_UNREADABLE and position < self.length:
            self.log(f"{num_unreadable} samples cannot be read: those from {position} on are not looked at")

    def sample(self, position: int) -> Batch:
        """A sample is a pure function of its position, so it needs not be kept to be had again."""
        with closing(self.batches_without_workers(position, position + 1)) as batches:
            return _of_images(next(batches))


def sample_stream(config: Config, train_set: ImageSet, log: Log) -> SampleStream | None:
    """Of the first stage that reads images; None where all read kept maps.

    Raises UserError where a label that the classes are balanced by cannot be read.
    """
    stage = next((stage for stage in config.stages if getattr(config.stage, stage).maps == "computed"), None)
    if stage is None:
        return None
    settings: StageConfig = getattr(config.stage, stage)
    config = config.model_copy(update={"cache": config.cache.model_copy(update={"images": False})})  # a look keeps none
    # Position p of the stream is the same sample whatever the batch is.
    single = settings.model_copy(update={"batch": 1, "accumulation": 1})
    seed, length = stage_seed(config.seed, stage), min(len(train_set), settings.steps * settings.batch, MOST_SAMPLES)
    # Nothing is scored: the second set is only there because a feed has two.
    batches = audit_feed(config, train_set, train_set, log).batches(stage, single, seed)
    alone = config.model_copy(update={"runtime": config.runtime.model_copy(update={"workers": 0})})
    batches_alone = audit_feed(alone, train_set, train_set, lambda line: None).batches(stage, single, seed)
    return SampleStream(stage, length, batches, batches_alone, log)


def _of_images(batch: object) -> Batch:
    assert isinstance(batch, Batch), "a stage that reads images is fed with images"
    return batch


def has_enough(counts_NV: Counts, num_classes: int, num_samples: int) -> bool:
    """Whether there are so many samples, and every class is in as many of them as its share of the choice."""
    num_with_class_C = np.count_nonzero(counts_NV[:, :num_classes], axis=0)
    return len(counts_NV) >= num_samples and bool((num_with_class_C >= -(-num_samples // num_classes)).all())


def chosen_samples(counts_NV: Counts, num_classes: int, num_samples: int) -> list[tuple[int, int]]:
    """Up to `num_samples` samples, and the label value that each was chosen for.

    `counts_NV` are the pixels of each label value in every sample. Round after round one sample for each class that
    occurs, the class with the fewest pixels first, and then one for void: of those that are left, the one with the
    most such pixels.
    """
    left_NV, pixels_V = counts_NV.copy(), counts_NV.sum(axis=0)
    classes = sorted(np.flatnonzero(pixels_V[:num_classes]).tolist(), key=lambda k: int(pixels_V[k]))
    chosen: list[tuple[int, int]] = []
    while len(chosen) < num_samples and left_NV.any():
        for value in [*classes, VOID]:
            number = int(left_NV[:, value].argmax())
            if left_NV[number, value] > 0 and len(chosen) < num_samples:
                chosen.append((number, value))
                left_NV[number] = 0
    return chosen
