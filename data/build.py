"""From the config to a data set."""

import filecmp
from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from configs.errors import UserError
from configs.schema import WITH_COCO, DataConfig
from data.camvid import RAW_IDS as CAMVID_IDS
from data.camvid import open_camvid
from data.cityscapes import open_cityscapes
from data.coco import open_coco_voc
from data.dataset import FileSet, ImageSet
from data.faults import OnFault, refuse
from data.folder import open_folder
from data.folder_labels import raw_ids as folder_ids
from data.joined import open_joined
from data.kitti import open_kitti
from data.labels import CITYSCAPES_LABEL_IDS
from data.pixels import claimed_size
from data.shapes import Shapes
from data.skipping import without_damaged
from data.splits import open_split
from data.voc import open_voc

DIGESTED_PAIRS = 16  # of a split, about so many images and labels are read for its digest


def open_images(config: DataConfig, split: str, *, needs_labels: bool = True, on_fault: OnFault = refuse) -> ImageSet:
    """The split of the data set that `config.name` names, its first `config.limit` samples.

    Reads no pixels, unless `config.on_error` is skip. Raises UserError where the root, the split, single files, or
    labels that are needed are not there, or the config does not fit; with an `on_fault` that returns, what
    is wrong with single files is handed to it, and they are left out.
    """
    if config.name == "shapes":
        limit = config.limit or max(config.shapes.num_train, config.shapes.num_val)
        num_train, num_val = min(config.shapes.num_train, limit), min(config.shapes.num_val, limit)
        return Shapes(config.shapes.model_copy(update={"num_train": num_train, "num_val": num_val}), split)
    images = open_split(config, split, partial(_open_files, config, on_fault))
    if needs_labels and not images.has_labels:
        raise UserError(
            f"{images.describe()}: a score needs labels, and those of this split are kept by the evaluation server; "
            f"eval.py submission={config.name} split={split} writes what the server takes, predict.py labels images; "
            "or choose a split with labels"
        )
    images = images.first(config.limit)
    return images if config.on_error == "raise" else without_damaged(images, config.max_skipped)


def _open_files(config: DataConfig, on_fault: OnFault, split: str) -> FileSet:
    root = _root(config)
    match config.name:
        case "voc":
            sbd_root = Path(config.sbd_root) if config.sbd_root else None
            images = open_voc(root, WITH_COCO.get(split, split), sbd_root, config.download, on_fault)
            if split not in WITH_COCO:
                return images
            coco_root = Path(config.coco_root) if config.coco_root else None
            return open_coco_voc(images, split, coco_root, config.coco_splits, on_fault)
        case "cityscapes":
            return open_cityscapes(root, split, on_fault)
        case "camvid":
            return open_camvid(root, split, on_fault)
        case "kitti":
            return open_kitti(root, split, on_fault)
        case "folder":
            return (open_joined if config.folder.sets else open_folder)(root, split, config.folder, on_fault)
        case "shapes":
            raise AssertionError("the built-in scenes lie in no files")


def raw_ids(config: DataConfig, num_classes: int) -> Sequence[int]:
    """The id that each class has in the data set's own files, the first where several mean it.

    Where colours mean classes, its position; of joined sets, as those without `label_ids` of their own have it.
    """
    match config.name:
        case "cityscapes":
            return CITYSCAPES_LABEL_IDS
        case "camvid":
            return CAMVID_IDS
        case "folder":
            return folder_ids(config.folder)
        case "shapes" | "voc" | "kitti":
            return range(num_classes)


def leaks(train: ImageSet, val: ImageSet) -> list[str]:
    """Names that appear in both sets; of files only those with the same bytes.

    Many data sets number the images of each split from 0, so that a name alone proves nothing.
    """
    val_indices = {val.name(index): index for index in range(len(val))}
    shared = [(index, val_indices[name]) for index in range(len(train)) if (name := train.name(index)) in val_indices]
    if isinstance(train, FileSet) and isinstance(val, FileSet):
        shared = [(i, j) for i, j in shared if filecmp.cmp(train.pairs[i].image, val.pairs[j].image, shallow=False)]
    return [train.name(i) for i, _ in shared]


def digest(images: ImageSet) -> str:
    """SHA-256 of the names in their order: tells whether a split is the same as at another time."""
    return sha256("\n".join(images.name(index) for index in range(len(images))).encode()).hexdigest()


def content_digest(images: ImageSet) -> str:
    """SHA-256 of the sizes of all files of a set and the bytes of a few: tells whether equal names are equal files.

    Neither places nor times are part of it, for a data set may be moved or copied. Built-in scenes have no files:
    of them the settings tell all.
    """
    content = sha256(repr(images.classes.names).encode())
    pairs, sources = (images.pairs, images.sources) if isinstance(images, FileSet) else ((), ())
    for path in sources:
        content.update(f"{path.stat().st_size}\n".encode())
    every = max(1, len(pairs) // DIGESTED_PAIRS)
    for number, pair in enumerate(pairs):
        for path in (pair.image, pair.label):
            content.update(f"{path.stat().st_size if path.is_file() else None}\n".encode())
            if number % every == 0 and path.is_file():
                content.update(path.read_bytes())
    return content.hexdigest()


def meaning(config: DataConfig) -> dict[str, Any]:
    """The settings that determine which scenes are drawn and how label files are decoded, as plain data.

    `data.resize` is none of them: labels are counted as they are, and maps of resized images say so themselves.
    """
    return {"name": config.name, "shapes": config.shapes.model_dump(), "folder": config.folder.model_dump()}


def image_sizes(images: ImageSet) -> list[tuple[int, int]]:
    """Height and width of every image, from the files' headers; of a file that cannot be read, none."""
    if not isinstance(images, FileSet):
        return [images.read(index)[1].shape for index in range(min(1, len(images)))] * len(images)
    claimed = (claimed_size(pair.image) for pair in images.pairs)
    return [(height, width) for width, height in filter(None, claimed)]


def _root(config: DataConfig) -> Path:
    """The folder of a data set in files; it may be absent only if it is going to be downloaded."""
    name = config.name
    if not config.root:
        raise UserError(f"data.root is not set: the {name} data set lies in files; set data.root=DIR to its folder")
    root = Path(config.root)
    may_download = config.name == "voc"
    hint = f"set data.root to the folder of the {name} data set" + (", or data.download=true" if may_download else "")
    if may_download and config.download and not root.is_file():
        return root
    if not root.is_dir():
        raise UserError(f"data.root={config.root}: {'a file' if root.exists() else 'no such folder'}; {hint}")
    if not any(root.iterdir()):
        raise UserError(f"data.root={config.root}: the folder is empty; {hint}")
    return root
