"""Cityscapes: `leftImg8bit/{split}/*/*_leftImg8bit.png` with `gtFine/{split}/*/*_gtFine_*.png`."""

import os
from functools import partial
from pathlib import Path

import numpy as np

from data.dataset import FileSet, read_label
from data.files import SPLIT_HINT, files_below, list_files, missing, pair_files
from data.labels import CITYSCAPES, CITYSCAPES_LABEL_IDS, IdDecoder, Labels, id_table
from data.names import without_suffix

IMAGE_SUFFIX = "_leftImg8bit.png"
LABEL_IDS, TRAIN_IDS = "_gtFine_labelIds.png", "_gtFine_labelTrainIds.png"
HINT = (
    "unpack leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip into data.root (folders leftImg8bit and gtFine, "
    f"label files *{LABEL_IDS} or *{TRAIN_IDS}), or {SPLIT_HINT}"
)


def open_cityscapes(root: Path, split: str) -> FileSet:
    """The files of labelIds, mapped to the 19 train ids when read, or those of trainIds where only they are there.

    The title tells which. trainIds under a name of labelIds mostly betray themselves by 255, which is no labelId.
    """
    images, labels = root / "leftImg8bit" / split, root / "gtFine" / split
    for folder in (images, labels):
        if not os.path.isdir(folder):
            raise missing(folder, HINT)
    has_label_ids = bool(files_below(labels, LABEL_IDS))
    suffix = LABEL_IDS if has_label_ids else TRAIN_IDS
    pairs = pair_files(list_files(images, IMAGE_SUFFIX), list_files(labels, suffix))
    pairs = [pair._replace(name=without_suffix(pair.image.name, IMAGE_SUFFIX)) for pair in pairs]
    kind = "labelIds mapped to trainIds" if has_label_ids else "trainIds as they are"
    decoder = IdDecoder(
        _label_id_table() if has_label_ids else id_table(range(CITYSCAPES.num_classes), [255]),
        f"the file's name says that it holds {'labelIds' if has_label_ids else 'trainIds'}; name it by what it holds: "
        f"*{LABEL_IDS} or *{TRAIN_IDS}",
    )
    return FileSet(f"Cityscapes ({kind})", split, pairs, CITYSCAPES, partial(read_label, decoder=decoder))


def _label_id_table() -> Labels:
    void = np.setdiff1d(np.arange(34), CITYSCAPES_LABEL_IDS)
    return id_table(CITYSCAPES_LABEL_IDS, void.tolist())
