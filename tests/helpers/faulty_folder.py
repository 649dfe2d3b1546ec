"""Forty drawn photographs with labels, as a folder of one's own images, and twenty faults to plant in it.

Every fault stands alone: it touches samples that no other fault touches. What it is called, the files that it is
found by, and what a user does who follows the audit's lines stand beside it.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from configs.schema import VOID
from data.shapes import draw
from tests.helpers.pictures import Pixels, orientation_tag, write_pixels

CLASSES = ("sky", "meadow", "tree", "stone", "guest", "pond")  # no scene has a pond: it is planted
CLASS_OF_SCENE = np.array([0, 0, 1, 2, 3, 4, 4, 4, 4], dtype=np.uint8)
SCENE_PX, CROP_PX = 192, 160
SIZES_PX = ((120, 160), (112, 144), (128, 128), (160, 120))  # height, width
NUM_TRAIN, NUM_VAL = 30, 10
STRAY_ID, STRAY_PX = 200, 7

# The run to come: small, and with front-end maps that are kept for the context stage.
RUN = (
    *("experiment=folder", "frontend=small", "model.pretrained=null", "stage.context.maps=cached"),
    *(f"stage.{stage}.crop_px=[{CROP_PX},{CROP_PX}]" for stage in ("frontend", "context", "joint")),
    f"data.folder.class_names=[{','.join(CLASSES)}]",
)
SMALL_CACHE = "cache.max_gb=0.001"  # the kept maps need more


class Fault(NamedTuple):
    """`plant` names the fault, `message` is what the audit must say of it, and `files`, below the root, of which.

    `repair` does in the folder what the finding's line says; None: the line is an override to add.
    """

    plant: Callable[[Path], None]
    message: str
    files: tuple[str, ...]
    repair: Callable[[Path], None] | None

    @property
    def name(self) -> str:
        return self.plant.__name__


def write_photographs(root: Path) -> None:
    """train/ and val/ with images 00 to 29 and 30 to 39, JPEG of four sizes, and labels of ids 0 to 4 and 255."""
    for number in range(NUM_TRAIN + NUM_VAL):
        write_sample(root, "train" if number < NUM_TRAIN else "val", number)


def write_sample(root: Path, split: str, number: int) -> None:
    photograph, label = scene(number, *SIZES_PX[number % len(SIZES_PX)])
    for file, pixels in ((image(split, number), photograph), (labels(split, number), label)):
        write_pixels(root / file, pixels)


def scene(number: int, height: int, width: int) -> tuple[Pixels, Pixels]:
    """The middle of a built-in scene, and its label in `CLASSES`."""
    photograph_HW3, label_HW = draw("train", number, SCENE_PX)
    left, known_HW = (SCENE_PX - width) // 2, label_HW != VOID
    ours_HW = np.where(known_HW, CLASS_OF_SCENE[np.where(known_HW, label_HW, 0)], np.uint8(VOID))
    return photograph_HW3[:height, left : left + width], ours_HW[:height, left : left + width]


def image(split: str, number: int) -> str:
    return f"{split}/images/{number:02}.jpg"


def labels(split: str, number: int) -> str:
    return f"{split}/labels/{number:02}.png"


def truncated_photograph(root: Path) -> None:
    path = root / image("train", 0)
    path.write_bytes(path.read_bytes()[:2000])


def empty_photograph(root: Path) -> None:
    (root / image("train", 1)).write_bytes(b"")


def text_named_jpg(root: Path) -> None:
    (root / image("train", 2)).write_text("404: not found\n")


def broken_link(root: Path) -> None:
    path = root / image("train", 3)
    path.unlink()
    path.symlink_to("/no/such/disk/03.jpg")


def folder_named_like_an_image(root: Path) -> None:
    path = root / image("train", 4)
    path.unlink()
    path.mkdir()


def photograph_of_floats(root: Path) -> None:
    path = root / image("train", 5)
    gray = Image.open(path).convert("F")
    path.unlink()
    gray.save(path.with_suffix(".tif"))


def photograph_to_be_turned(root: Path) -> None:
    path = root / image("train", 6)
    Image.open(path).save(path, exif=orientation_tag(6))


def label_missing(root: Path) -> None:
    (root / labels("train", 7)).unlink()


def photograph_missing(root: Path) -> None:
    (root / image("train", 8)).unlink()


def label_of_another_size(root: Path) -> None:
    path = root / labels("train", 9)
    label = Image.open(path)
    label.resize((label.width // 2, label.height // 2), Image.Resampling.NEAREST).save(path)


def label_in_colours(root: Path) -> None:
    path = root / labels("train", 10)
    colours = np.random.default_rng(0).integers(0, 256, (256, 3), np.uint8)
    Image.fromarray(colours[np.array(Image.open(path))]).save(path)


def label_saved_as_jpeg(root: Path) -> None:
    path = root / labels("train", 11)
    Image.open(path).save(path, format="JPEG")


def stray_id(root: Path) -> None:
    path = root / labels("train", 12)
    ids = np.array(Image.open(path))
    ids[0, :STRAY_PX] = STRAY_ID
    Image.fromarray(ids).save(path)


def label_all_void(root: Path) -> None:
    path = root / labels("train", 13)
    ids = np.array(Image.open(path))
    Image.fromarray(np.full_like(ids, VOID)).save(path)


def photograph_in_train_and_val(root: Path) -> None:
    shutil.copy(root / image("train", 14), root / image("val", 35))
    shutil.copy(root / labels("train", 14), root / labels("val", 35))


def photograph_twice_in_train(root: Path) -> None:
    shutil.copy(root / image("train", 15), root / image("train", 16))
    shutil.copy(root / labels("train", 15), root / labels("train", 16))


def two_photographs_of_one_name(root: Path) -> None:
    path = root / image("train", 17)
    Image.open(path).save(path.with_suffix(".png"))


def photograph_larger_than_the_kept_crop(root: Path) -> None:
    photograph, label = scene(18, SCENE_PX, SCENE_PX)
    Image.fromarray(photograph).save(root / image("train", 18))
    Image.fromarray(label).save(root / labels("train", 18))


def class_in_val_alone(root: Path) -> None:
    path = root / labels("val", 30)
    ids = np.array(Image.open(path))
    ids[-20:, -20:] = CLASSES.index("pond")
    Image.fromarray(ids).save(path)


def cache_too_small_for_the_maps(root: Path) -> None:
    """Planted by `SMALL_CACHE`."""


def remove(*files: str) -> Callable[[Path], None]:
    """Takes files or folders out of the data set."""

    def repair(root: Path) -> None:
        for file in files:
            path = root / file
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return repair


def replace(split: str, number: int) -> Callable[[Path], None]:
    """Puts the sample as it should be."""
    return lambda root: write_sample(root, split, number)


FAULTS = (
    Fault(truncated_photograph, "image file is truncated", (image("train", 0),), replace("train", 0)),
    Fault(empty_photograph, "the file is empty (0 bytes)", (image("train", 1),), replace("train", 1)),
    Fault(
        text_named_jpg,
        "not an image that Pillow knows",
        (image("train", 2),),
        remove(image("train", 2), labels("train", 2)),
    ),
    Fault(broken_link, "there is no such file", (image("train", 3),), remove(image("train", 3), labels("train", 3))),
    Fault(
        folder_named_like_an_image,
        "a folder, where an image file is required",
        (image("train", 4),),
        remove(image("train", 4), labels("train", 4)),
    ),
    Fault(
        photograph_of_floats,
        "samples of kind F have no agreed range",
        ("train/images/05.tif",),
        remove("train/images/05.tif", labels("train", 5)),
    ),
    Fault(photograph_to_be_turned, "EXIF orientation 6", (image("train", 6),), replace("train", 6)),
    Fault(label_missing, "no label", (image("train", 7),), remove(image("train", 7))),
    Fault(photograph_missing, "no image", (labels("train", 8),), remove(labels("train", 8))),
    Fault(label_of_another_size, "is 144x112 but its label", (image("train", 9),), replace("train", 9)),
    Fault(label_in_colours, "a label of kind RGB holds no ids", (labels("train", 10),), replace("train", 10)),
    Fault(label_saved_as_jpeg, "saved as JPEG", (labels("train", 11),), replace("train", 11)),
    Fault(stray_id, "200 (7 pixels in 1 file)", (labels("train", 12),), None),
    Fault(
        label_all_void,
        "labels of void alone: 1",
        (labels("train", 13),),
        remove(image("train", 13), labels("train", 13)),
    ),
    Fault(
        photograph_in_train_and_val,
        "images that stand in train and in val: 1",
        (image("train", 14), image("val", 35)),
        remove(image("val", 35), labels("val", 35)),
    ),
    Fault(
        photograph_twice_in_train,
        "images that the split holds more than once: 1",
        (image("train", 15), image("train", 16)),
        remove(image("train", 16), labels("train", 16)),
    ),
    Fault(
        two_photographs_of_one_name,
        "files that share a name: 2",
        (image("train", 17), "train/images/17.png"),
        remove("train/images/17.png"),
    ),
    Fault(
        photograph_larger_than_the_kept_crop,
        "images larger than stage.context.crop_px=[160,160], of which maps are to be kept: 1",
        (image("train", 18),),
        None,
    ),
    Fault(
        class_in_val_alone,
        "1 class in labels of val alone: pond",
        (labels("val", 30),),
        remove(image("val", 30), labels("val", 30)),
    ),
    Fault(cache_too_small_for_the_maps, "cache.max_gb=0.001: the maps need", (), None),
)
