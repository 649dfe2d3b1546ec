"""VOC and COCO as one training split: the objects of COCO that are of VOC's classes, images without one left out."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from configs.errors import UserError
from data.coco_file import CocoFile, damaged, open_coco_file
from data.coco_masks import draw, require_pycocotools
from data.dataset import FileSet, LabelReader, Pair
from data.faults import OnFault, refuse
from data.files import missing, require_files
from data.labels import VOC, Labels

# COCO's names of VOC's classes, where they differ.
VOC_NAMES = {
    "airplane": "aeroplane",
    "couch": "sofa",
    "dining table": "diningtable",
    "motorcycle": "motorbike",
    "potted plant": "pottedplant",
    "tv": "tvmonitor",
}
COCO_HINT = (
    "data.coco_root must hold COCO as it is unpacked: for each of data.coco_splits annotations/instances_<split>.json "
    "and a folder <split> or images/<split> of images; correct one of them, or fetch COCO from "
    "https://cocodataset.org (data.download=true does not)"
)


def open_coco_voc(
    voc: FileSet, split: str, coco_root: Path | None, coco_splits: Sequence[str], on_fault: OnFault = refuse
) -> FileSet:
    """A split of VOC, and after it the images of COCO. Raises UserError for what is missing or damaged.

    Missing images are a fault.
    """
    require_pycocotools()
    if coco_root is None:
        raise UserError(f"data.coco_root is not set, and split {split} needs it: {COCO_HINT}")
    if voc.read_label is None:
        raise UserError(f"split {split}: labels of VOC are required; correct data.train_split")
    files = [_open_split(coco_root, name) for name in coco_splits]
    pairs = [*voc.pairs]
    for name, file in zip(coco_splits, files, strict=True):
        pairs += _pairs(_image_folder(coco_root, name), file, on_fault)
    read = partial(_read_label, files={file.path: file for file in files}, read_voc=voc.read_label)
    title = f"VOC 2012 and COCO ({', '.join(coco_splits)})"
    return FileSet(title, split, pairs, VOC, read, sources=[file.path for file in files])


def _open_split(root: Path, split: str) -> CocoFile:
    path = root / "annotations" / f"instances_{split}.json"
    if not path.is_file():
        raise missing(path, COCO_HINT)
    names = {name: name for name in VOC.names[1:]} | {voc: coco for coco, voc in VOC_NAMES.items()}
    return open_coco_file(path).with_categories(list(names.values()))


def _image_folder(root: Path, split: str) -> Path:
    folders = (root / split, root / "images" / split)
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        raise missing(folders[0], COCO_HINT)
    return folder


def _pairs(folder: Path, file: CocoFile, on_fault: OnFault) -> list[Pair]:
    """The label of an image is its annotations, named after the file that they lie in and the image's id there."""
    pairs = [
        Pair(os.path.splitext(image.file_name)[0], folder / image.file_name, file.path / str(key))
        for key, image in file.images.items()
    ]
    if len({pair.name for pair in pairs}) < len(pairs):
        raise damaged(file.path, "two images have one file_name")
    return require_files(pairs, file.path, with_labels=False, on_fault=on_fault)


def _read_label(path: Path, files: Mapping[Path, CocoFile], read_voc: LabelReader) -> Labels:
    file = files.get(path.parent)
    if file is None:
        return read_voc(path)
    key = int(path.name)
    class_ids = {category: VOC.names.index(VOC_NAMES.get(name, name)) for category, name in file.categories.items()}
    try:
        return draw(file.annotations(key), class_ids, file.images[key].height, file.images[key].width)
    except (ValueError, LookupError) as error:
        if isinstance(error, UserError):
            raise
        raise damaged(file.path, f"image {key} ({file.images[key].file_name}): {error}") from error
