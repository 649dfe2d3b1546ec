"""What an audit draws: samples that training would get, and a sheet of each split."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from assembly.sample_stream import SampleStream, chosen_samples, has_enough, sample_stream
from configs.errors import UserError, cannot_write
from configs.schema import VOID, Config
from data.class_counts import Counts, pixels_of_values
from data.dataset import ImageSet
from data.store import Log
from engine.reporting.blending import blended
from engine.reporting.contact_sheet import Tile, class_entries, contact_sheet, failed_picture, fitted_size
from engine.reporting.legend import per_cent
from engine.reporting.samples import sample_panels
from engine.runs.files import replacing

NUM_VALUES = 256  # of a label
SPLIT_IMAGES, SPLIT_COLUMNS, SPLIT_IMAGE_PX = 24, 4, 384  # on the sheet of a split; longer side of an image
SAMPLES_A_SHEET, SAMPLE_COLUMNS, SAMPLE_PX = 24, 3, 256  # longer side of each of a sample's two panels
SINGLE_LEAST_PX, SINGLE_LARGEST_PX = 512, 1024  # likewise, in a file of its own
PNG_LEVEL = 3  # less than half of the time that level 6, the default, takes, and 2 to 11 % more bytes
SAMPLES = "training_samples"


class _Choice(NamedTuple):
    """A sample to draw: its position in the stream, and the label value that it was chosen for."""

    position: int
    value: int


def write_contact_sheets(sets: Mapping[str, ImageSet], folder: Path) -> list[Path]:
    """`sheet_<split>.png`: images evenly spread over each split, whole, with their labels; what cannot be read is gray.

    Raises UserError where `folder` cannot be written.
    """
    _begin(folder, [])
    paths = []
    for split, images in sets.items():
        paths.append(folder / f"sheet_{_file_name(split)}.png")
        _write(_split_sheet(images), paths[-1])
    return paths


def write_training_samples(
    config: Config, train_set: ImageSet, num_pictures: int, folder: Path, log: Log
) -> list[Path]:
    """`training_samples.png`, more sheets if there are many, and in `training_samples/` a larger file for each sample.

    They are of the stream that the first stage would be trained on, from its beginning up to where every class has
    some, or to the stream's end; see `chosen_samples`. Earlier files of these names are removed. Raises UserError where
    `folder` cannot be written.
    """
    try:
        stream = sample_stream(config, train_set, log)
    except UserError as error:
        log(f"no training samples are drawn: {error}")
        return []
    if stream is None:
        log("no training samples are drawn: every stage reads maps that are kept of whole images")
        return []
    choices = _choices(stream, train_set.classes.names, num_pictures)
    _begin(folder, [f"{SAMPLES}.png", f"{SAMPLES}_[0-9]*.png"])
    _begin(folder / SAMPLES, ["sample_[0-9][0-9][0-9]*_*.png"])
    return [
        path
        for first in range(0, len(choices), SAMPLES_A_SHEET)
        for path in _write_samples(stream, choices[first : first + SAMPLES_A_SHEET], first, train_set, folder)
    ]


def _choices(stream: SampleStream, names: Sequence[str], num_pictures: int) -> list[_Choice]:
    positions: list[int] = []
    counts_NV = np.zeros((stream.length, NUM_VALUES), np.int64)
    with tqdm(total=stream.length, desc="training samples", unit="sample", disable=None, leave=False) as bar:
        for position, batch in stream.samples():
            counts_NV[len(positions)] = pixels_of_values(batch.labels_BHW.numpy())
            positions.append(position)
            bar.update()
            if has_enough(counts_NV[: len(positions)], len(names), num_pictures):
                break
    counts_NV = counts_NV[: len(positions)]
    absent = [name for name, pixels in zip(names, counts_NV.sum(axis=0), strict=False) if pixels == 0]
    if absent:
        stream.log(f"none of the {len(positions)} training samples that were looked at shows {', '.join(absent)}")
    chosen = chosen_samples(counts_NV, len(names), num_pictures)
    return [_Choice(positions[number], value) for number, value in chosen]


def _write_samples(
    stream: SampleStream, choices: list[_Choice], first: int, train_set: ImageSet, folder: Path
) -> list[Path]:
    """A sheet, and the single files of its samples, whose numbers go on from `first`."""
    classes = train_set.classes
    tiles, singles, totals = [], [], np.zeros(NUM_VALUES, np.int64)
    for number, choice in enumerate(choices, first):
        batch = stream.sample(choice.position)
        image_HW3, label_HW = batch.images_B3HW[0].numpy().transpose(1, 2, 0), batch.labels_BHW[0].numpy()
        counts = pixels_of_values(label_HW)
        totals += counts
        target = "void" if choice.value == VOID else classes.names[choice.value]
        shares = counts / label_HW.size
        caption = [batch.names[0], f"for {target}, {per_cent(shares[choice.value])}; void {per_cent(shares[VOID])}"]
        if batch.mirrored_B is not None and batch.mirrored_B[0]:
            caption.append("its cells are then mirrored")
        panels = sample_panels(image_HW3, label_HW, classes.palette, least_px=SAMPLE_PX, largest_px=SAMPLE_PX)
        tiles.append(Tile(panels, caption))
        large = sample_panels(
            image_HW3, label_HW, classes.palette, least_px=SINGLE_LEAST_PX, largest_px=SINGLE_LARGEST_PX
        )
        singles.append(folder / SAMPLES / f"sample_{number:03}_{_file_name(target)}.png")
        _write(
            contact_sheet([Tile(large, caption)], class_entries(counts, classes.names, classes.palette), columns=1),
            singles[-1],
        )
    title = (
        f"{train_set.describe()}; what stage {stream.stage} gets, and what is scored; below: shares of the pixels drawn"
    )
    path = folder / (f"{SAMPLES}_{first // SAMPLES_A_SHEET + 1}.png" if first else f"{SAMPLES}.png")
    entries = class_entries(totals, classes.names, classes.palette)
    _write(contact_sheet(tiles, entries, columns=SAMPLE_COLUMNS, title=title), path)
    return [path, *singles]


def _split_sheet(images: ImageSet) -> Image.Image:
    indices = np.unique(np.linspace(0, len(images) - 1, min(SPLIT_IMAGES, len(images))).round().astype(int)).tolist()
    tiles, totals = [], np.zeros(NUM_VALUES, np.int64)
    for index in indices:
        tile, counts = _image_tile(images, index)
        tiles.append(tile)
        totals += counts
    title = f"{images.describe()}; {len(tiles)} of them, evenly spread; below: shares of their pixels"
    entries = class_entries(totals, images.classes.names, images.classes.palette)
    return contact_sheet(tiles, entries, columns=SPLIT_COLUMNS, title=title)


def _image_tile(images: ImageSet, index: int) -> tuple[Tile, Counts]:
    """A whole image with its label, made smaller; and the pixels of each label value."""
    name = images.name(index)
    try:
        image_HW3, label_HW = images.read(index)
    except Exception as error:  # a damaged file may raise anything, and the other tiles are still wanted
        message = re.sub(r"\S+/(?=\S)", "", str(error))  # the names of files say enough
        picture = failed_picture(message or type(error).__name__, (SPLIT_IMAGE_PX, SPLIT_IMAGE_PX * 3 // 4))
        return Tile(picture, [name, "cannot be read"]), np.zeros(NUM_VALUES, np.int64)
    height, width = label_HW.shape
    counts = pixels_of_values(label_HW)
    size = fitted_size((width, height), SPLIT_IMAGE_PX, SPLIT_IMAGE_PX)
    image = Image.fromarray(image_HW3).resize(size, Image.Resampling.BOX)
    label = Image.fromarray(label_HW).resize(size, Image.Resampling.NEAREST)
    picture = blended(np.asarray(image), np.asarray(label), images.classes.palette)
    return Tile(picture, [name, f"{width}x{height}; void {per_cent(counts[VOID] / label_HW.size)}"]), counts


def _file_name(text: str) -> str:
    return re.sub(r"[^\w-]+", "_", text)[:40]


def _begin(folder: Path, patterns: Sequence[str]) -> None:
    """Make the folder, and remove what an earlier audit left there under such names."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for earlier in [path for pattern in patterns for path in folder.glob(pattern)]:
            earlier.unlink()
    except OSError as error:
        raise cannot_write(str(folder), error, "set output elsewhere") from error


def _write(image: Image.Image, path: Path) -> None:
    with replacing(path) as file:
        image.save(file, "png", compress_level=PNG_LEVEL)
