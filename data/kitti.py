"""KITTI with the 11 classes of the paper (its labels were drawn by others than KITTI, who ship layouts of their own).

Expected here: `{split}/images/NAME.png` (or .jpg) and `{split}/labels/NAME.png`, the labels gray or palette PNG of the
ids 0 Building, 1 Tree, 2 Sky, 3 Car, 4 Sign, 5 Road, 6 Pedestrian, 7 Fence, 8 Pole, 9 Sidewalk, 10 Bicyclist, and 11
or 255 for void. Other layouts, ids and colours: data=folder.
"""

from functools import partial
from pathlib import Path

from data.dataset import FileSet, read_label
from data.faults import OnFault, refuse
from data.files import pair_folders
from data.labels import KITTI, IdDecoder, id_table

HINT = (
    "number the classes in the order Building, Tree, Sky, Car, ... (data/kitti.py), or use data=folder with label_ids"
)


def open_kitti(root: Path, split: str, on_fault: OnFault = refuse) -> FileSet:
    pairs = pair_folders(root / split / "images", root / split / "labels", on_fault=on_fault)
    decoder = IdDecoder(id_table(range(KITTI.num_classes), [11, 255]), HINT)
    return FileSet("KITTI (11 classes)", split, pairs, KITTI, partial(read_label, decoder=decoder))
