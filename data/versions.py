"""The versions of an image that maps are kept of: itself and its mirror image, or as many as augmentation drew."""

from dataclasses import dataclass
from typing import Any

from configs.schema import AugmentConfig, Mirror
from data.streams import SampleKey, generator
from data.transforms import UNCHANGED, is_mirrored

CHOICE = {"class_balance"}  # of data.augment: which samples are drawn, not what becomes of them


@dataclass(frozen=True)
class Versions:
    """`drawn`: so many, as `augment` draws them. 0: the image as it is and, where `mirror` is of pixels, its mirror
    image."""

    drawn: int
    augment: AugmentConfig
    mirror: Mirror

    @property
    def has_mirrored(self) -> bool:
        return not self.drawn and self.augment.mirror and self.mirror == "pixels"

    @property
    def number(self) -> int:
        return self.drawn or 1 + self.has_mirrored

    @property
    def identity(self) -> dict[str, Any]:
        """Of all that determines them; every run draws the same."""
        if not self.drawn:
            return {"mirrored": self.has_mirrored}
        return {"drawn": self.drawn, "augment": self.augment.model_dump(exclude=CHOICE), "mirror": self.mirror}

    @property
    def changes(self) -> AugmentConfig:
        """Of whole images, in the epoch that a version's number is."""
        return self.augment if self.drawn else UNCHANGED

    def of(self, key: SampleKey) -> int:
        """Which of them a sample is. All that were drawn are equally likely, and so is a mirror image."""
        if self.drawn:
            return int(generator(key, "kept version").integers(self.drawn))
        return int(self.has_mirrored and is_mirrored(key))

    def mirrors_cells(self, key: SampleKey) -> bool:
        """Whether the maps of a sample are still to be mirrored."""
        return self.augment.mirror and self.mirror == "cells" and is_mirrored(key)
