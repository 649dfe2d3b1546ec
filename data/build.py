"""From the config to a data set."""

import filecmp
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from configs.errors import UserError
from configs.schema import DataConfig, DataName
from data.camvid import open_camvid
from data.cityscapes import open_cityscapes
from data.dataset import FileSet, ImageSet
from data.folder import open_folder
from data.kitti import open_kitti
from data.shapes import Shapes
from data.voc import open_voc


def open_images(config: DataConfig, split: str) -> ImageSet:
    """The split of the data set that `config.name` names, its first `config.limit` samples. Reads no pixels.

    Raises UserError where the root, the split, or single files are not there, or the config does not fit.
    """
    match config.name:
        case DataName.shapes:
            limit = config.limit or max(config.shapes.num_train, config.shapes.num_val)
            num_train, num_val = min(config.shapes.num_train, limit), min(config.shapes.num_val, limit)
            return Shapes(replace(config.shapes, num_train=num_train, num_val=num_val), split)
        case DataName.voc:
            sbd_root = Path(config.sbd_root).expanduser() if config.sbd_root else None
            images = open_voc(_root(config), split, sbd_root, config.download)
        case DataName.cityscapes:
            images = open_cityscapes(_root(config), split)
        case DataName.camvid:
            images = open_camvid(_root(config), split)
        case DataName.kitti:
            images = open_kitti(_root(config), split)
        case DataName.folder:
            images = open_folder(_root(config), split, config.folder)
    return images.first(config.limit)


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


def _root(config: DataConfig) -> Path:
    """The folder of a data set in files; it may lack only if it is going to be downloaded."""
    name = config.name.name
    if not config.root:
        raise UserError(f"data.root is not set: the {name} data set lies in files; set data.root=DIR to its folder")
    root = Path(config.root).expanduser()
    may_download = config.name is DataName.voc
    cure = f"set data.root to the folder of the {name} data set" + (", or data.download=true" if may_download else "")
    if may_download and config.download and not root.is_file():
        return root
    if not root.is_dir():
        raise UserError(f"data.root={config.root}: {'a file' if root.exists() else 'no such folder'}; {cure}")
    if not any(root.iterdir()):
        raise UserError(f"data.root={config.root}: the folder is empty; {cure}")
    return root
