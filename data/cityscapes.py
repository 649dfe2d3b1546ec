"""Cityscapes: `leftImg8bit/{split}/*/*_leftImg8bit.png` with `gtFine/{split}/*/*_gtFine_*.png`."""

import os
from functools import partial
from pathlib import Path

import numpy as np

from configs.errors import UserError
from data.dataset import TEST, FileSet, LabelReader, Pair, read_label
from data.faults import OnFault, refuse
from data.files import SPLIT_HINT, files_below, list_files, missing, pair_files
from data.labels import CITYSCAPES, CITYSCAPES_LABEL_IDS, VOID, IdDecoder, id_table
from data.names import without_suffix

IMAGE_SUFFIX = "_leftImg8bit.png"
LABEL_IDS, TRAIN_IDS = "_gtFine_labelIds.png", "_gtFine_labelTrainIds.png"
HINT = (
    "unpack leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip into data.root (folders leftImg8bit and gtFine, "
    f"label files *{LABEL_IDS} or *{TRAIN_IDS}), or {SPLIT_HINT}"
)


def open_cityscapes(root: Path, split: str, on_fault: OnFault = refuse) -> FileSet:
    """The files of labelIds, mapped to the 19 train ids when read, or those of trainIds where only they are there.

    The title tells which. trainIds under a name of labelIds mostly betray themselves by 255, which is no labelId.
    The split test has no labels: gtFine/test is not there, or holds void alone (the camera's own car, the border).
    """
    images, labels = root / "leftImg8bit" / split, root / "gtFine" / split
    for folder in (images, labels) if split != TEST else (images,):
        if not os.path.isdir(folder):
            raise missing(folder, HINT)
    has_label_ids = os.path.isdir(labels) and bool(files_below(labels, LABEL_IDS))
    read = partial(read_label, decoder=_decoder(has_label_ids))
    suffix = LABEL_IDS if has_label_ids else TRAIN_IDS
    image_files = list_files(images, IMAGE_SUFFIX, on_fault)
    if split == TEST and _is_void(labels, suffix, read):
        pairs = [Pair(name, image_files[name], labels / f"{name}{suffix}") for name in sorted(image_files)]
        title, reader = "Cityscapes", None
    else:
        pairs = pair_files(image_files, list_files(labels, suffix, on_fault), on_fault)
        title = f"Cityscapes ({'labelIds mapped to trainIds' if has_label_ids else 'trainIds as they are'})"
        reader = read
    pairs = [pair._replace(name=without_suffix(pair.image.name, IMAGE_SUFFIX)) for pair in pairs]
    return FileSet(title, split, pairs, CITYSCAPES, reader)


def _is_void(labels: Path, suffix: str, read: LabelReader) -> bool:
    """Whether there are no labels, or the first and the last of them hold void alone."""
    files = sorted(files_below(labels, suffix)) if os.path.isdir(labels) else []
    try:
        return all((read(labels / f"{name}{suffix}") == VOID).all() for name in {*files[:1], *files[-1:]})
    except UserError:  # raised again when the label itself is read
        return False


def _decoder(has_label_ids: bool) -> IdDecoder:
    void = np.setdiff1d(np.arange(34), CITYSCAPES_LABEL_IDS)
    return IdDecoder(
        id_table(CITYSCAPES_LABEL_IDS, void.tolist())
        if has_label_ids
        else id_table(range(CITYSCAPES.num_classes), [VOID]),
        f"the file's name says that it holds {'labelIds' if has_label_ids else 'trainIds'}; name it by what it holds: "
        f"*{LABEL_IDS} or *{TRAIN_IDS}",
    )
