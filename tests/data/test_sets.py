"""Every data set on little copies of its layout: one contract for all, then what each does on its own."""

import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from configs.errors import DamagedFileError
from configs.schema import DataConfig, DataName, FolderConfig, ShapesConfig
from data.build import content_digest, digest, leaks, open_images
from data.camvid import COLORS
from data.dataset import FileSet, Pair
from data.labels import CAMVID, CITYSCAPES_LABEL_IDS, VOID
from data.masks import MAX_READ, Masks

Make = Callable[[Path], DataConfig]
Ids = NDArray[np.uint8]


def write_image(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)).save(path)


def write_label(path: Path, ids: list[list[int]] | Ids | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 6), dtype=np.uint8) if ids is None else np.array(ids, dtype=np.uint8)).save(path)


def write_list(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))


def voc(root: Path) -> DataConfig:
    base = root / "VOCdevkit" / "VOC2012"
    for split, names in {"train": ["b", "a"], "val": ["v", "w"], "trainval": ["b", "a", "v", "w"]}.items():
        write_list(base / "ImageSets" / "Segmentation" / f"{split}.txt", *names)
        for name in names:
            write_image(base / "JPEGImages" / f"{name}.jpg", seed=ord(name))
            write_label(base / "SegmentationClass" / f"{name}.png", np.full((4, 6), 15, dtype=np.uint8))
    return DataConfig(name="voc", root=str(root))


def sbd(root: Path) -> Path:
    """Images a (in VOC train), v (in VOC val), s and t (in none), every label full of class 3."""
    base = root / "benchmark_RELEASE" / "dataset"
    write_list(base / "train.txt", "a", "s", "v")
    write_list(base / "val.txt", "t")
    (base / "cls").mkdir()
    for name in "asvt":
        write_image(base / "img" / f"{name}.jpg")
        savemat(base / "cls" / f"{name}.mat", {"GTcls": {"Segmentation": np.full((4, 6), 3, dtype=np.uint8)}})
    return root


def cityscapes(root: Path, label_ids: bool = True) -> DataConfig:
    kind = "labelIds" if label_ids else "labelTrainIds"
    for split, city in (("train", "aachen"), ("val", "lindau")):
        for frame in ("0", "1"):
            write_image(root / "leftImg8bit" / split / city / f"{city}_{frame}_leftImg8bit.png")
            write_label(root / "gtFine" / split / city / f"{city}_{frame}_gtFine_{kind}.png")
    return DataConfig(name="cityscapes", root=str(root))


def camvid(root: Path, images: str = "{}/images", labels: str = "{}/labels") -> DataConfig:
    for split in ("train", "val"):
        for name in ("0001TP_1", "0001TP_2"):
            write_image(root / images.format(split) / f"{split}{name}.jpg")
            write_label(root / labels.format(split) / f"{split}{name}.png")
    return DataConfig(name="camvid", root=str(root))


def camvid_tutorial(root: Path) -> DataConfig:
    return camvid(root, "{}", "{}annot")


def camvid_original(root: Path) -> DataConfig:
    for split, names in {"train": ["b", "a"], "val": ["v", "w"]}.items():
        write_list(root / f"{split}.txt", *names)
        for name in names:
            write_image(root / "701_StillsRaw_full" / f"{name}.png")
            write_label(root / "LabeledApproved_full" / f"{name}_L.png", np.zeros((4, 6, 3), dtype=np.uint8))
    return DataConfig(name="camvid", root=str(root))


def kitti(root: Path) -> DataConfig:
    config = camvid(root)
    config.name = "kitti"
    return config


def folder(root: Path) -> DataConfig:
    for split in ("train", "val"):
        for name in ("x/1", "y/1"):
            write_image(root / split / "images" / f"{name}.png", seed=len(split))
            write_label(root / split / "labels" / f"{name}.png")
    return DataConfig(name="folder", root=str(root), folder=FolderConfig(class_names=["ground", "thing", "sky"]))


def shapes(root: Path) -> DataConfig:
    return DataConfig(shapes=ShapesConfig(size_px=192, num_train=2, num_val=2))


COLORED: dict[str, object] = {"rgb_labels": True, "palette": [[1, 1, 1], [2, 2, 2]]}
ON_DISK: list[Make] = [voc, cityscapes, camvid, camvid_tutorial, camvid_original, kitti, folder]


@pytest.mark.parametrize("make", [*ON_DISK, shapes])
def test_every_set_keeps_the_contract(make: Make, tmp_path: Path) -> None:
    config = make(tmp_path)
    for split in ("train", "val"):
        images = open_images(config, split)
        names = [images.name(index) for index in range(len(images))]
        assert len(set(names)) == len(images) == 2
        assert not any(name.endswith((".png", ".jpg")) for name in names)
        for index in range(len(images)):
            image_HW3, label_HW = images.read(index)
            assert image_HW3.dtype == label_HW.dtype == np.uint8
            assert image_HW3.shape == (*label_HW.shape, 3)
            assert (label_HW[label_HW != VOID] < images.classes.num_classes).all()
        assert split in images.describe() and "2" in images.describe()
    config.limit = 1
    assert len(open_images(config, "val")) == 1
    assert open_images(config, "val").name(0) == names[0]
    assert leaks(open_images(config, "train"), open_images(config, "val")) == []


@pytest.mark.parametrize("make", ON_DISK)
def test_opening_reads_no_pixels_and_reading_names_the_damaged_file(make: Make, tmp_path: Path) -> None:
    config = make(tmp_path)
    for path in tmp_path.rglob("*.*g"):
        path.write_bytes(b"")
    images = open_images(config, "train")
    with pytest.raises(DamagedFileError, match=str(tmp_path)):
        images.read(0)


@pytest.mark.parametrize("name", [name for name in get_args(DataName) if name != "shapes"])
def test_roots_that_are_not_there_empty_or_of_another_layout_are_refused(name: DataName, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    names = FolderConfig(class_names=["a", "b"])
    for root, complaint in ((None, "not set"), ("/nowhere", "/nowhere: no such folder"), (str(wrong), "is empty")):
        with pytest.raises(ValueError, match=rf"data\.root.*{complaint}.*set data\.root"):
            open_images(DataConfig(name=name, root=root, folder=names), "train")
    (wrong / "holiday.txt").touch()
    with pytest.raises(ValueError, match=r"wrong holds holiday\.txt; .*data\.root"):
        open_images(DataConfig(name=name, root=str(wrong), folder=names), "train")


@pytest.mark.parametrize("make", [*ON_DISK, shapes])
def test_an_unknown_split_is_refused_by_name(make: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="trane"):
        open_images(make(tmp_path), "trane")


@pytest.mark.parametrize("make", ON_DISK)
@pytest.mark.parametrize("kind", ["image", "label"])
def test_a_missing_partner_is_an_error_with_count_and_name(make: Make, kind: str, tmp_path: Path) -> None:
    config = make(tmp_path)
    parts = ["SegmentationClass", "gtFine", "labels", "annot", "LabeledApproved"]
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.*g") if "val" not in path.parts]
    chosen = sorted(path for path in files if any(part in str(path) for part in parts) == (kind == "label"))
    victim = next(path for path in chosen if path.name[0] not in "vw")  # b.jpg rather than v.jpg, of the val split
    (tmp_path / victim).unlink()
    with pytest.raises(ValueError, match=r"\b1 of 2\b"):
        open_images(config, "train")


# VOC


def test_voc_root_may_be_the_folder_itself(tmp_path: Path) -> None:
    config = voc(tmp_path)
    config.root = str(tmp_path / "VOCdevkit" / "VOC2012")
    assert len(open_images(config, "trainval")) == 4


def test_train_aug_is_voc_train_and_sbd_without_voc_val_and_voc_labels_win(tmp_path: Path) -> None:
    config = voc(tmp_path / "voc")
    root = sbd(tmp_path / "sbd")
    for sbd_root in (root, root / "benchmark_RELEASE", root / "benchmark_RELEASE" / "dataset"):
        config.sbd_root = str(sbd_root)
        images = open_images(config, "train_aug")
        assert [images.name(index) for index in range(len(images))] == ["b", "a", "s", "t"]
        assert [int(images.read(index)[1].max()) for index in range(4)] == [15, 15, 3, 3]


def test_train_aug_without_sbd_says_which_key_is_missing(tmp_path: Path) -> None:
    config = voc(tmp_path)
    with pytest.raises(ValueError, match=r"data\.sbd_root is not set"):
        open_images(config, "train_aug")
    config.sbd_root = "/nowhere"
    with pytest.raises(ValueError, match=r"/nowhere.*data\.sbd_root must hold"):
        open_images(config, "train_aug")


def test_a_damaged_sbd_label_is_named(tmp_path: Path) -> None:
    config = voc(tmp_path / "voc")
    config.sbd_root = str(sbd(tmp_path / "sbd"))
    label = tmp_path / "sbd" / "benchmark_RELEASE" / "dataset" / "cls" / "s.mat"
    for content in (b"", b"no matlab", label.read_bytes()[:200]):
        label.write_bytes(content)
        with pytest.raises(DamagedFileError, match=r"s\.mat: not a label of SBD"):
            open_images(config, "train_aug").read(2)


def test_download_fetches_voc_once_and_only_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    voc(tmp_path / "server")
    archive = tmp_path / "voc.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(tmp_path / "server" / "VOCdevkit", "VOCdevkit")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setitem(DATASET_YEAR_DICT["2012"], "url", f"http://127.0.0.1:{server.server_port}/voc.tar")
    monkeypatch.setitem(DATASET_YEAR_DICT["2012"], "md5", hashlib.md5(archive.read_bytes()).hexdigest())
    config = DataConfig(name="voc", root=str(tmp_path / "new" / "voc"), download=True)
    assert len(open_images(config, "train")) == 2
    server.shutdown()
    server.server_close()
    assert len(open_images(config, "val")) == 2
    config.root = str(tmp_path / "other")
    with pytest.raises(ValueError, match=r"data\.download=true: fetching into .*other failed"):
        open_images(config, "train")


# Cityscapes


def test_cityscapes_label_ids_are_mapped_and_train_ids_kept(tmp_path: Path) -> None:
    every_id = np.arange(34, dtype=np.uint8).reshape(2, 17)
    expected = [CITYSCAPES_LABEL_IDS.index(i) if i in CITYSCAPES_LABEL_IDS else VOID for i in range(34)]
    for label_ids, ids in ((True, every_id), (False, np.array(expected, dtype=np.uint8).reshape(2, 17))):
        config = cityscapes(tmp_path / str(label_ids), label_ids)
        for path in (tmp_path / str(label_ids)).rglob("*_gtFine_*"):
            write_label(path, ids)
        for path in (tmp_path / str(label_ids)).rglob("*_leftImg8bit.png"):
            Image.new("RGB", (17, 2)).save(path)
        images = open_images(config, "val")
        assert images.read(0)[1].ravel().tolist() == expected
        assert images.name(0) == "lindau_0"
        assert ("labelIds mapped" if label_ids else "trainIds as they are") in images.describe()


def test_train_ids_under_a_name_of_label_ids_are_found_out_by_255(tmp_path: Path) -> None:
    config = cityscapes(tmp_path)
    for path in tmp_path.rglob("*_gtFine_*"):
        write_label(path, np.full((4, 6), 255, dtype=np.uint8))
    with pytest.raises(ValueError, match="labelTrainIds"):
        open_images(config, "train").read(0)


# CamVid and KITTI


@pytest.mark.parametrize("make", [camvid, camvid_tutorial])
def test_camvid_ids_become_the_authors_order(make: Make, tmp_path: Path) -> None:
    config = make(tmp_path)
    for path in tmp_path.rglob("*.png"):
        write_label(path, np.arange(24, dtype=np.uint8).reshape(4, 6) % 12)
    label = open_images(config, "train").read(0)[1]
    names = " ".join(CAMVID.names[i] for i in label.ravel()[:11])
    assert names == "Sky Building Pole Road Sidewalk Tree Sign Fence Car Pedestrian Bicyclist"
    assert label.ravel()[11] == VOID


def test_camvid_colours_are_grouped_to_11_classes(tmp_path: Path) -> None:
    config = camvid_original(tmp_path)
    assert len({color for colors in COLORS.values() for color in colors} | {(0, 0, 0)}) == 32
    pixels = [(0, 128, 192), (192, 128, 64), (128, 0, 192), (64, 192, 0), (0, 0, 0), (0, 64, 64)]
    for path in tmp_path.rglob("*_L.png"):
        write_label(path, np.array([pixels] * 4, dtype=np.uint8))
    row = open_images(config, "train").read(0)[1][0].tolist()
    assert [CAMVID.names[i] if i != VOID else "" for i in row] == [
        "Bicyclist",  # Bicyclist
        "Pedestrian",  # Child
        "Road",  # LaneMkgsDriv
        "Building",  # Wall
        "",  # Void
        "Sign",  # TrafficLight
    ]


def test_the_original_camvid_without_lists_says_what_to_write(tmp_path: Path) -> None:
    config = camvid_original(tmp_path)
    (tmp_path / "val.txt").unlink()
    with pytest.raises(ValueError, match=r"val\.txt.*one a line"):
        open_images(config, "val")


def test_kitti_ids_stand_in_the_authors_order_with_11_and_255_void(tmp_path: Path) -> None:
    config = kitti(tmp_path)
    ids = np.array([list(range(12)), [255] * 12], dtype=np.uint8).reshape(4, 6)
    for path in tmp_path.rglob("*.png"):
        write_label(path, ids)
    expected = np.where(ids >= 11, VOID, ids)
    assert np.array_equal(open_images(config, "train").read(0)[1], expected)


# One's own images


def own(root: Path, **keys: object) -> DataConfig:
    settings: dict[str, object] = {"class_names": ["ground", "thing"], **keys}
    return DataConfig(name="folder", root=str(root), folder=FolderConfig(**settings))  # type: ignore[arg-type]


def open_pairs(config: DataConfig) -> Sequence[Pair]:
    images = open_images(config, "train")
    assert isinstance(images, FileSet)
    return images.pairs


def test_folders_patterns_and_suffixes_find_a_foreign_layout(tmp_path: Path) -> None:
    cityscapes(tmp_path)
    config = own(
        tmp_path,
        images="leftImg8bit/{split}",
        labels="gtFine/{split}",
        image_suffix="_leftImg8bit.png",
        label_suffix="_gtFine_labelIds.png",
    )
    images = open_images(config, "train")
    assert [images.name(index) for index in range(2)] == ["aachen/aachen_0", "aachen/aachen_1"]


@pytest.mark.parametrize("line", ["1", "1.jpg", "train/images/1.jpg train/labels/1.png"])
def test_list_files_are_cleaned(tmp_path: Path, line: str) -> None:
    write_image(tmp_path / "train" / "images" / "1.jpg")
    write_label(tmp_path / "train" / "labels" / "1.png")
    (tmp_path / "train.txt").write_bytes(b"\xef\xbb\xbf\r\n" + line.encode() + b"  \r\n\r\n")
    images = open_images(own(tmp_path, list_file="{split}.txt"), "train")
    assert len(images) == 1 and images.read(0)[1].shape == (4, 6)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["1", "", "1"], "line 3: 1 stands in line 1"),
        (["1", "/etc/passwd"], "line 2: /etc/passwd leads out"),
        (["../1"], r"line 1: \.\./1 leads out"),
        (["a/../../1"], "line 1"),
        (["..\\1"], "line 1"),
        (["C:\\images\\1"], "line 1"),
        (["1 2 3"], "line 1: 3 words"),
        (["", " "], "the list is empty"),
        (["2"], "1 of 1 samples are missing, the first is .*2.jpg"),
    ],
)
def test_lists_with_doubtful_lines_are_refused(tmp_path: Path, lines: list[str], complaint: str) -> None:
    write_image(tmp_path / "train" / "images" / "1.jpg")
    write_label(tmp_path / "train" / "labels" / "1.png")
    write_list(tmp_path / "train.txt", *lines)
    with pytest.raises(ValueError, match=complaint) as error:
        open_images(own(tmp_path, list_file="{split}.txt"), "train")
    assert "train.txt" in str(error.value)


@pytest.mark.parametrize(
    ("line", "chosen"),
    [
        ("x.png", "x.png"),
        ("x.jpg", "x.jpg"),
        ("x.PNG", "x.png"),
        ("y", "y.JPG"),
        ("y.jpg", "y.JPG"),
        ("z.a", "z.a.bmp"),
    ],
)
def test_a_line_means_the_file_that_it_spells(tmp_path: Path, line: str, chosen: str) -> None:
    for name in ("x.png", "x.jpg", "y.JPG", "z.a.bmp"):
        write_image(tmp_path / "train" / "images" / name)
        write_label(tmp_path / "train" / "labels" / f"{name.rpartition('.')[0]}.png")
    write_list(tmp_path / "train.txt", line)
    (pair,) = open_pairs(own(tmp_path, list_file="{split}.txt"))
    assert pair.image.name == chosen


def test_a_written_extension_is_never_exchanged_and_a_name_of_two_images_is_no_guess(tmp_path: Path) -> None:
    config = own(tmp_path, list_file="{split}.txt")
    write_image(tmp_path / "train" / "images" / "x.jpg")
    write_label(tmp_path / "train" / "labels" / "x.png")
    write_list(tmp_path / "train.txt", "x.png")
    with pytest.raises(
        ValueError, match=r"1 of 1 samples are missing, the first is .*images/x\.png; .*correct the list"
    ):
        open_images(config, "train")
    write_image(tmp_path / "train" / "images" / "x.png")
    write_list(tmp_path / "train.txt", "x")
    with pytest.raises(ValueError, match=r"x\.jpg and .*x\.png have one name; .*line 1 .*with its extension"):
        open_images(config, "train")


def test_a_label_beside_its_image_is_not_taken_for_the_image(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "x.jpg")
    write_label(tmp_path / "train" / "x.png")
    config = own(tmp_path, images="{split}", labels="{split}", list_file="{split}.txt")
    write_list(tmp_path / "train.txt", "x")
    (pair,) = open_pairs(config)
    assert (pair.image.name, pair.label.name) == ("x.jpg", "x.png")
    write_list(tmp_path / "train.txt", "x.png")
    with pytest.raises(ValueError, match=r"line 1: .*x\.png is image and label in one"):
        open_images(config, "train")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("x", "x.jpg"),
        ("x.JPG", "x.jpg"),
        ("x.png", "x.jpg"),
        ("x.jpg", "./x.jpg"),
        ("x", "train/images/x.jpg train/labels/x.png"),
        ("train/images/x.jpg train/labels/x.png", "train//images/x.jpg train/labels/other.png"),
    ],
)
def test_two_lines_that_mean_one_sample_are_refused_by_both(tmp_path: Path, first: str, second: str) -> None:
    for name in ("x.jpg", "x.png") if "x.png" in (first, second) else ("x.jpg",):
        write_image(tmp_path / "train" / "images" / name)
    write_label(tmp_path / "train" / "labels" / "x.png")
    write_list(tmp_path / "train.txt", first, second)
    with pytest.raises(ValueError) as error:
        open_images(own(tmp_path, list_file="{split}.txt"), "train")
    assert f"line 2: {second.split()[0]} is the sample of" in str(error.value)
    assert f"line 1 ({first.split()[0]}) already" in str(error.value)


def test_one_label_may_serve_two_images_that_are_named_in_full(tmp_path: Path) -> None:
    for place in ("day", "night"):
        write_image(tmp_path / place / "x.jpg")
    write_label(tmp_path / "labels" / "x.png")
    write_list(tmp_path / "train.txt", "day/x.jpg labels/x.png", "night/x.jpg labels/x.png")
    assert len(open_images(own(tmp_path, list_file="{split}.txt"), "train")) == 2


@pytest.mark.parametrize("make", [voc, camvid_original])
def test_names_with_and_without_extension_are_one_sample_in_every_list(make: Make, tmp_path: Path) -> None:
    config = make(tmp_path)
    (source,) = tmp_path.rglob("train.txt")
    write_list(source, "a", "b", "a.png")
    with pytest.raises(ValueError, match=r"line 3: a\.png is the sample of .*train\.txt, line 1 \(a\) already"):
        open_images(config, "train")


def test_a_suffix_may_be_a_file_in_a_folder_of_each_name(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "1" / "image.PNG")
    write_label(tmp_path / "train" / "1" / "mask.png")
    keys = {"images": "{split}", "labels": "{split}", "image_suffix": "/image.png", "label_suffix": "/mask.png"}
    write_list(tmp_path / "train.txt", "1")
    for list_file in ("", "{split}.txt"):
        (pair,) = open_pairs(own(tmp_path, list_file=list_file, **keys))
        assert (pair.name, pair.image.name, pair.label.name) == ("1", "image.PNG", "mask.png")


@pytest.mark.parametrize("make", ON_DISK)
@pytest.mark.parametrize("change", [str.upper, str.title])
def test_the_case_of_a_suffix_says_nothing(make: Make, change: Callable[[str], str], tmp_path: Path) -> None:
    config = make(tmp_path)
    expected = [pair.name for pair in open_pairs(config)]
    for path in [*tmp_path.rglob("*.*g")]:
        path.rename(path.with_suffix(change(path.suffix)))
    assert [pair.name for pair in open_pairs(config)] == expected


def test_of_two_cases_of_a_suffix_the_one_that_is_set_is_taken_and_labels_need_none_set(tmp_path: Path) -> None:
    for name in ("x.png", "x.PNG"):
        write_image(tmp_path / "train" / "images" / name)
        write_label(tmp_path / "train" / "labels" / name)
    for suffix in (".png", ".PNG"):
        (pair,) = open_pairs(own(tmp_path, image_suffix=suffix, label_suffix=suffix))
        assert (pair.image.name, pair.label.name) == (f"x{suffix}", f"x{suffix}")
    (tmp_path / "train" / "labels" / "x.png").unlink()
    write_list(tmp_path / "train.txt", "x.png")
    (pair,) = open_pairs(own(tmp_path, label_suffix="", list_file="{split}.txt"))
    assert (pair.image.name, pair.label.name) == ("x.png", "x.PNG")


def test_raw_ids_are_those_of_the_config(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "images" / "1.jpg")
    write_label(tmp_path / "train" / "labels" / "1.png", [[9, 4, 7, 0, 9, 4]] * 4)
    label = open_images(own(tmp_path, label_ids=[4, 9], ignore_ids=[0, 7]), "train").read(0)[1]
    assert label[0].tolist() == [1, 0, VOID, VOID, 1, 0]
    with pytest.raises(ValueError, match=r"id 9 at row 0, column 0 .*data\.folder\.class_names, label_ids"):
        open_images(own(tmp_path), "train").read(0)


def test_a_0_255_mask_is_no_class_lost_without_a_word(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "images" / "1.jpg")
    write_label(tmp_path / "train" / "labels" / "1.png", [[0, 255, 0, 255, 0, 255]] * 4)
    with pytest.raises(ValueError, match=r"255 means ignore.*label_ids=\[0,255\] ignore_ids=\[\]"):
        open_images(own(tmp_path), "train").read(0)
    assert open_images(own(tmp_path, label_ids=[0, 255], ignore_ids=[]), "train").read(0)[1].max() == 1
    assert open_images(own(tmp_path, label_ids=[0, 1]), "train").read(0)[1].max() == VOID


def test_a_label_of_0_and_255_is_void_where_another_of_its_split_holds_a_1(tmp_path: Path) -> None:
    for name, ids in {"a": [0, 255], "b": [0, 0], "c": [0, 1], "d": [255, 255]}.items():
        for split in ("train", "val"):
            write_image(tmp_path / split / "images" / f"{name}.jpg")
            write_label(tmp_path / split / "labels" / f"{name}.png", [ids * 3] * 4)
    (tmp_path / "val" / "labels" / "c.png").write_bytes(b"")  # an error when it is read itself
    assert open_images(own(tmp_path), "train").read(0)[1].max() == VOID
    assert open_images(own(tmp_path), "train").first(1).read(0)[1].max() == VOID
    with pytest.raises(ValueError, match=r"a 0/255 mask.*none of 4 labels .*holds id 1; .*label_ids=\[0,1\]"):
        open_images(own(tmp_path), "val").read(0)


def test_whether_labels_are_masks_is_asked_once_ends_at_the_first_1_and_looks_at_no_more_than_it_may() -> None:
    read_paths: list[Path] = []

    def read(path: Path) -> Ids:
        read_paths.append(path)
        return np.array([[int(path.name == "7"), VOID]], dtype=np.uint8)

    few, many = ([Path(str(number)) for number in range(start, start + count)] for start, count in ((0, 99), (8, 4321)))
    masks = Masks(few, read)
    assert not read_paths
    assert [masks.evidence() for _ in range(3)] == ["", "", ""] and read_paths == few[:8]
    read_paths.clear()
    assert (
        Masks(many, read).evidence() == f"none of {len(read_paths)} labels of the split that were looked at holds id 1"
    )
    assert MAX_READ / 2 < len(read_paths) <= MAX_READ and read_paths[0] == many[0] and many.index(read_paths[-1]) > 4300


def test_colour_labels_are_decoded_by_the_palette(tmp_path: Path) -> None:
    palette = [[1, 2, 3], [200, 100, 0]]
    write_image(tmp_path / "train" / "images" / "1.jpg")
    write_label(tmp_path / "train" / "labels" / "1.png", np.tile(np.array(palette, dtype=np.uint8), (4, 3, 1)))
    images = open_images(own(tmp_path, palette=palette, rgb_labels=True), "train")
    assert images.read(0)[1][0].tolist() == [0, 1, 0, 1, 0, 1]
    with pytest.raises(ValueError, match="a label of kind RGB"):
        open_images(own(tmp_path), "train").read(0)


def test_colours_of_void_are_named_and_any_other_is_still_refused(tmp_path: Path) -> None:
    pixels = [[1, 2, 3], [200, 100, 0], [0, 0, 0], [255, 255, 255], [0, 0, 0], [1, 2, 3]]
    write_image(tmp_path / "train" / "images" / "1.jpg")
    write_label(tmp_path / "train" / "labels" / "1.png", np.array([pixels] * 4, dtype=np.uint8))
    keys: dict[str, object] = {"palette": pixels[:2], "rgb_labels": True}
    label = open_images(own(tmp_path, **keys, void_colors=[[0, 0, 0], [255, 255, 255]]), "train").read(0)[1]
    assert label[0].tolist() == [0, 1, VOID, VOID, VOID, 0]
    with pytest.raises(ValueError, match=r"colour \[255, 255, 255\] .*data\.folder\.void_colors if it means void"):
        open_images(own(tmp_path, **keys, void_colors=[[0, 0, 0]]), "train").read(0)


def test_a_missing_palette_is_made_up(tmp_path: Path) -> None:
    config = folder(tmp_path)
    config.folder.class_names = [f"class {k}" for k in range(200)]
    palette = open_images(config, "train").classes.palette
    assert len(set(palette)) == 200 and min(map(max, palette)) >= 90, "no class is nearly black"


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"class_names": []}, "class_names.*0 class names"),
        ({"palette": [[1, 2, 3]]}, "palette.*1 colours for 2 classes"),
        ({"palette": [[1, 2], [3, 4]]}, "palette.*three numbers"),
        ({"label_ids": [1]}, "label_ids=.*one raw id for each of the 2"),
        ({"label_ids": [1, 1]}, "label_ids=.*different numbers"),
        ({"ignore_ids": [256]}, "ignore_ids=.*from 0 to 255"),
        ({"label_ids": [0, 255]}, r"ignore_ids=\[255\].*\[255\] are raw ids of classes"),
        ({"rgb_labels": True}, "rgb_labels=true.*one colour a class"),
        ({"rgb_labels": True, "palette": [[1, 1, 1], [1, 1, 1]]}, "rgb_labels=true.*all different"),
        ({"void_colors": [[0, 0, 0]]}, "void_colors=.*labels hold ids.*ignore_ids"),
        ({**COLORED, "void_colors": [[0, 0]]}, r"void_colors=.*three numbers .*got \[0, 0\]"),
        ({**COLORED, "void_colors": [[0, 0, 0], [0, 0, 256]]}, r"void_colors=.*from 0 to 255 .*got \[0, 0, 256\]"),
        ({**COLORED, "void_colors": [[2, 2, 2]]}, r"void_colors=.*\[2, 2, 2\] is the colour of thing"),
    ],
)
def test_settings_that_do_not_fit_are_refused_by_key(tmp_path: Path, keys: dict[str, object], complaint: str) -> None:
    (tmp_path / "something").touch()
    with pytest.raises(ValueError, match=rf"data\.folder\..*{complaint}"):
        open_images(own(tmp_path, **keys), "train")


def test_two_images_of_one_name_and_a_folder_named_like_an_image_are_not_passed_over(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "images" / "1.jpg")
    write_label(tmp_path / "train" / "labels" / "1.png")
    (tmp_path / "train" / "images" / ".DS_Store").touch()
    (tmp_path / "train" / "images" / "readme.md").touch()
    assert len(open_images(own(tmp_path), "train")) == 1
    (tmp_path / "train" / "images" / "2.jpg").mkdir()
    with pytest.raises(ValueError, match=r"1 of 2 images have no label, the first is .*2\.jpg"):
        open_images(own(tmp_path), "train")
    (tmp_path / "train" / "images" / "2.jpg").rename(tmp_path / "train" / "images" / "1.png")
    with pytest.raises(ValueError, match="have one name"):
        open_images(own(tmp_path), "train")


@pytest.mark.parametrize("target", [".", "..", "../..", "../../..", "../y"])
def test_a_link_that_leads_round_to_its_own_folder_adds_nothing(tmp_path: Path, target: str) -> None:
    config = folder(tmp_path)
    before = open_pairs(config)
    (tmp_path / "train" / "images" / "y" / "up").symlink_to(target, target_is_directory=True)
    assert open_pairs(config) == before


def test_two_folders_that_link_to_each_other_end_and_a_link_elsewhere_is_followed(tmp_path: Path) -> None:
    config = folder(tmp_path)
    for kind in ("images", "labels"):
        for one, other in ("xy", "yx"):
            (tmp_path / "train" / kind / one / other).symlink_to(f"../{other}", target_is_directory=True)
    assert [pair.name for pair in open_pairs(config)] == ["x/1", "x/y/1", "y/1", "y/x/1"]
    (tmp_path / "train" / "images").rename(tmp_path / "elsewhere")
    (tmp_path / "train" / "images").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert [pair.name for pair in open_pairs(config)] == ["x/1", "x/y/1", "y/1", "y/x/1"]


def test_cities_behind_links_tell_their_kind_of_labels(tmp_path: Path) -> None:
    config = cityscapes(tmp_path)
    (tmp_path / "gtFine" / "train" / "aachen").rename(tmp_path / "aachen")
    (tmp_path / "gtFine" / "train" / "aachen").symlink_to(tmp_path / "aachen", target_is_directory=True)
    assert "labelIds mapped" in open_images(config, "train").describe()


def test_a_folder_that_cannot_be_listed_is_not_left_out_without_a_word(tmp_path: Path) -> None:
    """Too long a path fails for root as well, whom permissions do not stop."""
    config = folder(tmp_path)
    place = os.open(tmp_path / "train" / "images", os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=place)
        inner = os.open("d" * 250, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)
    with pytest.raises(ValueError, match=r"images/d+.*: cannot be read \(File name too long\)"):
        open_images(config, "train")
    with pytest.raises(ValueError, match=r"there is no .*train/x+; .*train holds images, labels"):
        open_images(own(tmp_path, images="{split}/" + "x" * 300), "train")


# Both splits


def test_an_image_in_both_splits_is_reported_and_equal_numbers_are_not(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for name, seed in (("same", 7), ("0001", len(split))):
            write_image(tmp_path / split / "images" / f"{name}.png", seed)
            write_label(tmp_path / split / "labels" / f"{name}.png")
    config = own(tmp_path)
    assert leaks(open_images(config, "train"), open_images(config, "val")) == ["same"]


def test_files_are_known_by_what_they_hold_and_not_by_where_or_since_when_they_lie(tmp_path: Path) -> None:
    config = kitti(tmp_path / "here")
    images = open_images(config, "train")
    before, names = content_digest(images), digest(images)
    shutil.copytree(tmp_path / "here", tmp_path / "moved")  # later times, another place
    moved = replace(config, root=str(tmp_path / "moved"))
    assert content_digest(open_images(moved, "train")) == before
    label = open_images(moved, "train").pairs[0].label  # type: ignore[attr-defined]
    write_label(label, np.full_like(np.array(Image.open(label)), 3))
    other = open_images(moved, "train")
    assert digest(other) == names and content_digest(other) != before


def test_a_digest_tells_another_order_and_another_split(tmp_path: Path) -> None:
    config = voc(tmp_path)
    before = digest(open_images(config, "train"))
    assert before == digest(open_images(config, "train")) != digest(open_images(config, "val"))
    write_list(tmp_path / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation" / "train.txt", "a", "b")
    assert before != digest(open_images(config, "train"))
