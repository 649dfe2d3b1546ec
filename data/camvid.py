"""CamVid with 11 classes: the edition of 12 ids in two layouts, and the original edition of 32 colours."""

from functools import partial
from pathlib import Path

from data.dataset import FileSet, Pair, read_label
from data.faults import OnFault, refuse
from data.files import SPLIT_HINT, Shelf, missing, pair_folders, require_files
from data.labels import CAMVID, VOID, ColorDecoder, IdDecoder, id_table
from data.lists import read_names
from data.palette import Color

# Raw ids of the 12-id edition in our order: Building, Tree, Sky, Car, Sign, Road, Pedestrian, Fence, Pole, Sidewalk,
# Bicyclist. Its own order is Sky, Building, Pole, Road, Sidewalk, Tree, SignSymbol, Fence, Car, Pedestrian, Bicyclist.
RAW_IDS = (1, 5, 0, 8, 6, 3, 9, 7, 2, 4, 10)
RAW_VOID = 11

# The original's 32 classes in the grouping that SegNet made common.
COLORS: dict[str, tuple[Color, ...]] = {
    # Building, Bridge, Wall, Tunnel, Archway
    "Building": ((128, 0, 0), (0, 128, 64), (64, 192, 0), (64, 0, 64), (192, 0, 128)),
    "Tree": ((128, 128, 0), (192, 192, 0)),  # Tree, VegetationMisc
    "Sky": ((128, 128, 128),),
    # Car, SUVPickupTruck, Truck_Bus, Train, OtherMoving
    "Car": ((64, 0, 128), (64, 128, 192), (192, 128, 192), (192, 64, 128), (128, 64, 64)),
    "Sign": ((192, 128, 128), (128, 128, 64), (0, 64, 64)),  # SignSymbol, Misc_Text, TrafficLight
    "Road": ((128, 64, 128), (128, 0, 192), (192, 0, 64)),  # Road, LaneMkgsDriv, LaneMkgsNonDriv
    # Pedestrian, Child, CartLuggagePram, Animal
    "Pedestrian": ((64, 64, 0), (192, 128, 64), (64, 0, 192), (64, 128, 64)),
    "Fence": ((64, 64, 128),),
    "Pole": ((192, 192, 128), (0, 0, 64)),  # Column_Pole, TrafficCone
    "Sidewalk": ((0, 0, 192), (64, 192, 128), (128, 128, 192)),  # Sidewalk, ParkingBlock, RoadShoulder
    "Bicyclist": ((0, 128, 192), (192, 0, 192)),  # Bicyclist, MotorcycleScooter
}
VOID_COLOR = (0, 0, 0)

STILLS, APPROVED = "701_StillsRaw_full", "LabeledApproved_full"
LAYOUTS = (
    "one of these layouts is required: SPLIT/images and SPLIT/labels (12 ids); SPLIT and SPLITannot (SegNet's "
    f"tutorial); {STILLS}, {APPROVED} and SPLIT.txt (32 colours)"
)


def open_camvid(root: Path, split: str, on_fault: OnFault = refuse) -> FileSet:
    """The edition that lies in `root`. Raises UserError where there is none, or not this split of it."""
    if (root / APPROVED).is_dir():
        return _open_original(root, split, on_fault)
    if any(root.glob("*annot")):
        edition, images, labels = "SegNet's tutorial, 12 ids", root / split, root / f"{split}annot"
    elif any(root.glob("*/labels")):
        edition, images, labels = "12-id edition", root / split / "images", root / split / "labels"
    else:
        raise missing(root / split / "images", f"{LAYOUTS}; correct data.root")
    pairs = pair_folders(images, labels, on_fault=on_fault)
    hint = "this edition has 0-10 for classes and 11 for void; use data=folder for other ids"
    decoder = IdDecoder(id_table(RAW_IDS, [RAW_VOID]), hint)
    read = partial(read_label, decoder=decoder)
    return FileSet(f"CamVid ({edition})", split, pairs, CAMVID, read, group_of=drive_of)


def drive_of(name: str) -> str:
    """The video that a frame is from: 0001TP_006690 is of 0001TP."""
    return name.partition("_")[0]


def _open_original(root: Path, split: str, on_fault: OnFault) -> FileSet:
    """Images NAME.png with labels NAME_L.png, split by lists of names, which the original does not ship."""
    source = root / f"{split}.txt"
    if not source.is_file():
        hint = "the 32-colour edition ships no split: write its names there, one a line, e.g. 0001TP_006690; or "
        raise missing(source, hint + SPLIT_HINT)
    stills, approved = Shelf(root / STILLS, ".png", on_fault), Shelf(root / APPROVED, "_L.png", on_fault)
    pairs = [Pair(name, stills.file(name), approved.file(name)) for name in read_names(source, on_fault)]
    pairs = require_files(pairs, source, on_fault=on_fault)
    meanings = {color: CAMVID.names.index(name) for name, colors in COLORS.items() for color in colors}
    decoder = ColorDecoder(meanings | {VOID_COLOR: VOID}, "the 32 colours of CamVid's label_colors.txt are required")
    title = "CamVid (original edition, 32 colours in 11 classes)"
    read = partial(read_label, decoder=decoder)
    return FileSet(title, split, pairs, CAMVID, read, group_of=drive_of)
