"""What the evaluation servers of Pascal VOC and Cityscapes take: a label map for every image of the test set.

VOC 2012 (development kit, "Submission of Results"; http://host.robots.ox.ac.uk:8080): indexed PNG of the class ids 0-20
with VOC's colours, of the image's size, without 255, as `results/VOC2012/Segmentation/comp6_test_cls/NAME.png` in a
gzipped tar. comp6 is for networks that were trained on anything but the test set, comp5 for those that saw VOC's own
training data and nothing else: no weights from ImageNet, no SBD. The server says no more than "results were not
generated properly" for a plain tar, for RGB and for other sizes (zhanghang1989/PyTorch-Encoding#190, #225).

Cityscapes (README of mcordts/cityscapesScripts, getPrediction in its evalPixelLevelSemanticLabeling.py): PNG of one
channel of labelIds, not trainIds, of the image's size, one for each image, the name beginning with CITY_SEQUENCE_FRAME,
anywhere in a zip file (open-mmlab/mmsegmentation#875, CoinCheung/BiSeNet#119).
"""

import gzip
import io
import re
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from configs.errors import UserError
from configs.schema import DataName, SubmissionName
from data.dataset import TEST
from data.labels import CITYSCAPES, CITYSCAPES_LABEL_IDS, VOC, ClassSet
from data.palette import Color, voc_palette

RESULTS = "results"  # the folder of the label maps


@dataclass(frozen=True)
class Server:
    """`ids` holds what is written for each class; `palette` is None for gray PNGs. Sizes are (width, height)."""

    title: str
    address: str
    data_name: DataName
    classes: ClassSet
    ids: tuple[int, ...]
    palette: tuple[Color, ...] | None
    folder: str  # of the label maps, with {split}
    pattern: str  # of their paths in an archive, with {split}; its group is the image's name
    archive: str  # the archive's name, with {split}
    image_size: tuple[int, int] | None = None  # of the test set, where all images have one

    @property
    def is_zip(self) -> bool:
        return self.archive.endswith(".zip")

    def path(self, name: str, split: str) -> str:
        """Where the label map of an image lies, in the archive and beside it."""
        return f"{self.folder.format(split=split)}/{name}.png"

    def name_in(self, path: str, split: str) -> str | None:
        """Which image a file is the label map of; None for a file that the server does not look for."""
        match = re.fullmatch(self.pattern.format(split=re.escape(split)), path)
        return match and match[1]

    def encoded(self, ids_HW: NDArray[Any]) -> bytes:
        """The PNG file for class ids 0..C-1."""
        image = Image.fromarray(np.array(self.ids, dtype=np.uint8)[ids_HW])
        if self.palette is not None:
            image.putpalette(np.array(self.palette, dtype=np.uint8).tobytes())
        content = io.BytesIO()
        image.save(content, "PNG")
        return content.getvalue()

    def pack(self, file: IO[bytes], root: Path, paths: Sequence[str]) -> None:
        """Write the archive of these files below `root`. The same files give the same archive."""
        if self.is_zip:
            with zipfile.ZipFile(file, "w") as packed:  # not compressed: PNG is
                for path in paths:
                    packed.writestr(zipfile.ZipInfo(path), (root / path).read_bytes())
            return
        compressed = gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0)
        with compressed, tarfile.open(fileobj=compressed, mode="w") as tar:
            for path in paths:
                content = (root / path).read_bytes()
                entry = tarfile.TarInfo(path)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))


def _voc(competition: str) -> Server:
    return Server(
        title=f"VOC 2012, {competition}",
        address="http://host.robots.ox.ac.uk:8080",
        data_name="voc",
        classes=VOC,
        ids=tuple(range(VOC.num_classes)),
        palette=voc_palette(256),
        folder=f"{RESULTS}/VOC2012/Segmentation/{competition}_{{split}}_cls",
        pattern=rf"{RESULTS}/VOC2012/Segmentation/{competition}_{{split}}_cls/([^/]+)\.png",
        archive=f"voc_{competition}_{{split}}.tgz",
    )


SERVERS: dict[SubmissionName, Server] = {
    "voc": _voc("comp6"),
    "voc_comp5": _voc("comp5"),
    "cityscapes": Server(
        title="Cityscapes, pixel-level semantic labeling",
        address="https://www.cityscapes-dataset.com/submit",
        data_name="cityscapes",
        classes=CITYSCAPES,
        ids=CITYSCAPES_LABEL_IDS,
        palette=None,
        folder=RESULTS,
        pattern=r"(?:.*/)?([^/_]+_\d+_\d+)(?:_[^/]*)?\.png",
        archive="cityscapes_{split}.zip",
        image_size=(2048, 1024),
    ),
}


def check_images(server: Server, split: str, sizes: Mapping[str, tuple[int, int]]) -> None:
    """Raises UserError for an image (name, width and height) whose label map the server could not use."""
    for name, size in sizes.items():
        if server.name_in(server.path(name, split), split) != name:
            raise UserError(
                f"image {name}: the server ({server.title}) would not find its label map by this name; restore the "
                "name that it has in the data set's own archive (in Cityscapes: CITY_SEQUENCE_FRAME_leftImg8bit.png)"
            )
        if split == TEST and server.image_size not in (None, size):
            raise UserError(
                "image {} is {}x{}, and the server ({}) compares with labels of {}x{} (width x height); set data.root "
                "to the images as they were published".format(name, *size, server.title, *server.image_size)
            )
