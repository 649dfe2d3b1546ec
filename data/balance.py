"""Samples that favour rare classes: first a class, then an image that has it, then a crop that holds it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data.class_counts import Counts
from data.streams import SampleKey, generator


class Choice(NamedTuple):
    """The image that a sample is cut from, and the class that its crop has to hold; None: no class in particular."""

    image: int
    anchor_class: int | None


class ClassBalance:
    """For a share of the samples: a class that occurs, drawn evenly, and an image that has a pixel of it, evenly.

    `counts_NC` are the pixels of every class in every image. A sample outside the share keeps its image. The class
    uniform sampling of Zhu et al. (CVPR 2019), with a pixel of the class in place of the centre of a region.
    """

    def __init__(self, share: float, counts_NC: Counts) -> None:
        assert counts_NC.any(), "labels without a class have nothing to balance"
        self.share, self.counts_NC = share, counts_NC
        self._classes = np.flatnonzero(counts_NC.any(axis=0))
        self._images_with = {int(k): np.flatnonzero(counts_NC[:, k]) for k in self._classes}

    def choose(self, key: SampleKey) -> Choice:
        """For the sample that would be of image `index`; a pure function of (seed, epoch, index)."""
        random = generator(key, "class_balance")
        if random.random() >= self.share:
            return Choice(key[2], None)
        anchor_class = int(random.choice(self._classes))
        return Choice(int(random.choice(self._images_with[anchor_class])), anchor_class)

    def anchor_shares_C(self) -> NDArray[np.float64]:
        """The expected share of all samples whose crop is placed by a pixel of each class; they add up to `share`."""
        shares_C: NDArray[np.float64] = np.where(self.counts_NC.any(axis=0), self.share / len(self._classes), 0.0)
        return shares_C

    def image_shares_N(self) -> NDArray[np.float64]:
        """The expected share of all samples that are cut from each image."""
        has_NC = self.counts_NC > 0
        per_image_C = self.anchor_shares_C() / np.maximum(has_NC.sum(axis=0), 1)
        shares_N: NDArray[np.float64] = (1 - self.share) / len(self.counts_NC) + has_NC @ per_image_C
        return shares_N

    def pixel_shares_C(self) -> NDArray[np.float64]:
        """The expected share of the pixels of each class where crops hold whole images.

        Smaller crops hold more of the class of their anchor, by as much as its pixels lie together.
        """
        pixels_C = self.image_shares_N() @ self.counts_NC
        shares_C: NDArray[np.float64] = pixels_C / pixels_C.sum()
        return shares_C


def chosen(balance: ClassBalance | None, key: SampleKey) -> Choice:
    """A sample is known by its key even where another image is chosen for it: no two of an epoch are the same."""
    return balance.choose(key) if balance else Choice(key[2], None)
