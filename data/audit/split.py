"""A split as an audit has it: opened, and every sample of it looked at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from configs.errors import UserError
from configs.schema import VOID, DataConfig
from data.audit.sample import SampleRecord
from data.class_counts import Counts
from data.dataset import FileSet, ImageSet
from data.faults import Fault
from data.names import readable
from data.skipping import leave_out, may_skip


@dataclass(frozen=True)
class Split:
    """A split as far as it could be opened: its samples, their records, and what opening has found.

    `images` is None, and `failure` the reason, where it could not be opened at all.
    """

    name: str
    images: ImageSet | None
    records: Sequence[SampleRecord] = ()
    faults: Sequence[Fault] = ()
    failure: UserError | None = None

    def files(self, *indices: int) -> list[str]:
        """Of the images of samples, for messages."""
        assert self.images is not None, "samples are of a split that is open"
        if isinstance(self.images, FileSet):
            return [readable(self.images.pairs[index].image) for index in indices]
        return [self.images.name(index) for index in indices]

    def label_files(self, *indices: int) -> list[str]:
        """Of the labels of samples; of what lies in no files, the samples' names."""
        if isinstance(self.images, FileSet):
            return [readable(self.images.pairs[index].label) for index in indices]
        return self.files(*indices)

    @cached_property
    def pixels_256(self) -> Counts:
        """Of every class, the last is void; of the labels that can be read."""
        labels = [record.label.pixels_256 for record in self.records if record.label]
        return np.sum(labels, axis=0, dtype=np.int64) if labels else np.zeros(VOID + 1, np.int64)

    def skips(self, config: DataConfig) -> bool:
        """Whether training would leave out the samples that have a problem."""
        num_bad = sum(bool(record.problems) for record in self.records)
        return config.on_error == "skip" and may_skip(num_bad, len(self.records), config.max_skipped)

    def without_skipped(self, config: DataConfig) -> "Split":
        """The split as training gets it."""
        if not isinstance(self.images, FileSet) or not self.skips(config):
            return self
        reasons = {i: record.problems[0].message for i, record in enumerate(self.records) if record.problems}
        records = [record for record in self.records if not record.problems]
        return replace(self, images=leave_out(self.images, reasons), records=records)
