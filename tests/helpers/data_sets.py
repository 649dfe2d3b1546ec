"""Every data set as a little copy of its layout, with images of 4x6 px, and the settings that open it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.io import savemat

from configs.schema import DataConfig, FolderConfig, ShapesConfig
from data.build import open_images
from data.dataset import FileSet, Pair
from data.labels import Labels
from tests.helpers.pictures import noise, write_pixels

Writer = Callable[[Path], DataConfig]  # writes a data set below a folder, returns its settings


def write_image(path: Path, seed: int = 0) -> None:
    write_pixels(path, noise(4, 6, seed))


def write_label(path: Path, ids: list[list[int]] | Labels | None = None) -> None:
    """All 0 if no ids are given."""
    write_pixels(path, np.zeros((4, 6), dtype=np.uint8) if ids is None else np.array(ids, dtype=np.uint8))


def write_list(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))


def write_voc(root: Path) -> DataConfig:
    """Images b and a to train on, v and w for validation, every label full of class 15."""
    base = root / "VOCdevkit" / "VOC2012"
    for split, names in {"train": ["b", "a"], "val": ["v", "w"], "trainval": ["b", "a", "v", "w"]}.items():
        write_list(base / "ImageSets" / "Segmentation" / f"{split}.txt", *names)
        for name in names:
            write_image(base / "JPEGImages" / f"{name}.jpg", seed=ord(name))
            write_label(base / "SegmentationClass" / f"{name}.png", np.full((4, 6), 15, dtype=np.uint8))
    return DataConfig(name="voc", root=str(root))


def write_voc_test(root: Path, names: Sequence[str] = ("2008_000001", "2008_000002")) -> DataConfig:
    """The test set as it is downloaded, images alone, each larger than the one before."""
    base = root / "VOCdevkit" / "VOC2012"
    write_list(base / "ImageSets" / "Segmentation" / "test.txt", *names)
    for seed, name in enumerate(names):
        write_pixels(base / "JPEGImages" / f"{name}.jpg", noise(16 + seed, 24, seed))
    return DataConfig(name="voc", root=str(root))


def write_sbd(root: Path) -> Path:
    """Images a (in VOC train), v (in VOC val), s and t (in none), every label full of class 3."""
    base = root / "benchmark_RELEASE" / "dataset"
    write_list(base / "train.txt", "a", "s", "v")
    write_list(base / "val.txt", "t")
    (base / "cls").mkdir()
    for name in "asvt":
        write_image(base / "img" / f"{name}.jpg")
        savemat(base / "cls" / f"{name}.mat", {"GTcls": {"Segmentation": np.full((4, 6), 3, dtype=np.uint8)}})
    return root


def write_cityscapes(root: Path, label_ids: bool = True) -> DataConfig:
    kind = "labelIds" if label_ids else "labelTrainIds"
    for split, city in (("train", "aachen"), ("val", "lindau")):
        for frame in ("0", "1"):
            write_image(root / "leftImg8bit" / split / city / f"{city}_{frame}_leftImg8bit.png")
            write_label(root / "gtFine" / split / city / f"{city}_{frame}_gtFine_{kind}.png")
    return DataConfig(name="cityscapes", root=str(root))


def write_camvid(root: Path, images: str = "{}/images", labels: str = "{}/labels") -> DataConfig:
    for split in ("train", "val"):
        for name in ("0001TP_1", "0001TP_2"):
            write_image(root / images.format(split) / f"{split}{name}.jpg")
            write_label(root / labels.format(split) / f"{split}{name}.png")
    return DataConfig(name="camvid", root=str(root))


def write_camvid_tutorial(root: Path) -> DataConfig:
    """As the SegNet tutorial hands it on."""
    return write_camvid(root, "{}", "{}annot")


def write_camvid_original(root: Path) -> DataConfig:
    """As its authors publish it: labels in colours."""
    for split, names in {"train": ["b", "a"], "val": ["v", "w"]}.items():
        write_list(root / f"{split}.txt", *names)
        for name in names:
            write_image(root / "701_StillsRaw_full" / f"{name}.png")
            write_label(root / "LabeledApproved_full" / f"{name}_L.png", np.zeros((4, 6, 3), dtype=np.uint8))
    return DataConfig(name="camvid", root=str(root))


def write_kitti(root: Path) -> DataConfig:
    return write_camvid(root).model_copy(update={"name": "kitti"})


def write_folder(root: Path) -> DataConfig:
    for split in ("train", "val"):
        for name in ("x/1", "y/1"):
            write_image(root / split / "images" / f"{name}.png", seed=len(split))
            write_label(root / split / "labels" / f"{name}.png")
    return folder_config(root, class_names=["ground", "thing", "sky"])


def folder_config(root: Path, **settings: object) -> DataConfig:
    """The settings for one's own images below `root`, of two classes unless `settings` says otherwise."""
    settings = {"class_names": ["ground", "thing"], **settings}
    return DataConfig(name="folder", root=str(root), folder=FolderConfig(**settings))  # type: ignore[arg-type]


def shapes_config(root: Path) -> DataConfig:
    """Four built-in scenes, which lie in no folder."""
    return DataConfig(shapes=ShapesConfig(size_px=192, num_train=2, num_val=2))


ON_DISK: list[Writer] = [
    write_voc,
    write_cityscapes,
    write_camvid,
    write_camvid_tutorial,
    write_camvid_original,
    write_kitti,
    write_folder,
]


def open_pairs(config: DataConfig) -> Sequence[Pair]:
    """The files of the training split."""
    images = open_images(config, "train")
    assert isinstance(images, FileSet)
    return images.pairs
