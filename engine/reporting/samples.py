"""A training sample as the loader delivers it: what the network gets, and beside it what it is scored on."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from configs.schema import VOID
from engine.contracts import Batch
from engine.reporting.blending import blended
from engine.reporting.contact_sheet import Tile, class_entries, contact_sheet, fitted_size
from engine.reporting.legend import PAPER, per_cent

FRAME_PX, FRAME, FRAME_EDGE = 3, (255, 255, 255), (0, 0, 0)  # around the scored region, on both sides of its line
MARGIN_ALPHA = 0.55  # of the paper's colour over what is not scored
# Of a batch, so many samples with panels of this longer side: what a run can spare less than 0.1 s for. Four of 256 px
# take three times as long.
FIRST_BATCH_SAMPLES, FIRST_BATCH_PX = 2, 176

Pixels = NDArray[np.uint8]


class Region(NamedTuple):
    """Where the scored pixels lie in an image, each side's first pixel and the one past the last."""

    left: int
    top: int
    right: int
    bottom: int


def sample_panels(
    image_HW3: Pixels, label_HW: Pixels, palette: Sequence[Sequence[int]], *, least_px: int, largest_px: int
) -> Image.Image:
    """RGB: the image as it is, and beside it with its label; both with a frame around the scored region.

    The label lies in the middle of the image, the margin around it. The longer side of each panel, without the
    `FRAME_PX` that are added all around, becomes `least_px` to `largest_px`.
    """
    image, region = Image.fromarray(image_HW3), _region(image_HW3, label_HW)
    size = fitted_size(image.size, least_px, largest_px)
    if size != image.size:
        enlarges = size[0] > image.width
        image = image.resize(size, Image.Resampling.NEAREST if enlarges else Image.Resampling.BOX)
        region = _scaled(region, size[0] / image_HW3.shape[1], size[1] / image_HW3.shape[0])
    label = Image.fromarray(label_HW).resize((region.right - region.left, region.bottom - region.top), 0)
    scored = blended(np.asarray(image.crop(region)), np.asarray(label), palette)
    labelled = Image.blend(image, Image.new("RGB", image.size, PAPER), MARGIN_ALPHA)
    labelled.paste(scored, (region.left, region.top))
    panels = [_framed(panel, region) for panel in (image, labelled)]
    canvas = Image.new("RGB", (2 * panels[0].width, panels[0].height), PAPER)
    canvas.paste(panels[0], (0, 0))
    canvas.paste(panels[1], (panels[0].width, 0))
    return canvas


def first_batch_picture(batch: Batch, names: Sequence[str], palette: Sequence[Sequence[int]], most: int) -> Pixels:
    """The first samples of a batch, up to `most` of them and never more than a few, HW3."""
    most = min(most, FIRST_BATCH_SAMPLES, len(batch.names))
    labels = batch.labels_BHW[:most].cpu().numpy()
    images = batch.images_B3HW[:most].cpu().numpy().transpose(0, 2, 3, 1)
    tiles = [
        Tile(
            sample_panels(image_HW3, label_HW, palette, least_px=FIRST_BATCH_PX, largest_px=FIRST_BATCH_PX),
            [name, f"void {per_cent(float((label_HW == VOID).mean()))}"],
        )
        for image_HW3, label_HW, name in zip(images, labels, batch.names, strict=False)
    ]
    counts = np.bincount(labels.ravel(), minlength=256)
    return np.array(contact_sheet(tiles, class_entries(counts, names, palette), columns=2))


def _region(image_HW3: Pixels, label_HW: Pixels) -> Region:
    (height, width), (label_height, label_width) = image_HW3.shape[:2], label_HW.shape
    left, top = (width - label_width) // 2, (height - label_height) // 2
    return Region(left, top, left + label_width, top + label_height)


def _scaled(region: Region, across: float, down: float) -> Region:
    """At least one pixel of it is left."""
    left, top = int(region.left * across), int(region.top * down)
    right, bottom = round(region.right * across), round(region.bottom * down)
    return Region(left, top, max(right, left + 1), max(bottom, top + 1))


def _framed(panel: Image.Image, region: Region) -> Image.Image:
    """The frame lies around the region, on no pixel of it."""
    canvas = Image.new("RGB", (panel.width + 2 * FRAME_PX, panel.height + 2 * FRAME_PX), PAPER)
    canvas.paste(panel, (FRAME_PX, FRAME_PX))
    draw = ImageDraw.Draw(canvas)
    # On the canvas the region lies FRAME_PX further to the right and below.
    outer = (region.left, region.top, region.right + 2 * FRAME_PX - 1, region.bottom + 2 * FRAME_PX - 1)
    draw.rectangle(outer, outline=FRAME, width=FRAME_PX)
    draw.rectangle(outer, outline=FRAME_EDGE, width=1)
    return canvas
