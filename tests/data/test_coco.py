"""COCO beside VOC: what is drawn, which images are taken, what is refused. pycocotools' own masks are the oracle."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from configs.errors import DamagedFileError, UserError
from configs.schema import DataConfig
from data.build import content_digest, digest, leaks, open_images
from data.coco_file import open_coco_file
from data.dataset import FileSet
from data.features import file_identity
from data.labels import VOC, VOID
from tests.helpers.coco import CATEGORIES, HEIGHT, WIDTH, annotation, box, write_coco
from tests.helpers.data_sets import write_sbd, write_voc

pytest.importorskip("pycocotools", reason='COCO needs pycocotools: pip install ".[coco]"')
from pycocotools import mask
from pycocotools.coco import COCO

PERSON, CAR, CAT, BOTTLE, BANANA, COUCH, TABLE, TV = 1, 3, 17, 44, 52, 63, 67, 72


def disc(centre_y: float, centre_x: float, radius: float) -> np.ndarray[Any, Any]:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.asfortranarray((y - centre_y) ** 2 + (x - centre_x) ** 2 <= radius**2, dtype=np.uint8)


def compressed(mask_HW: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Runs as pycocotools writes them, as JSON can hold them."""
    rle = mask.encode(mask_HW)
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


def uncompressed(mask_HW: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Runs by columns, from a run of zeros on."""
    flat = mask_HW.flatten(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {"size": list(mask_HW.shape), "counts": ([0] if flat[0] else []) + counts}


RING = (disc(20, 30, 15) - disc(20, 30, 8)).astype(np.uint8, order="F")
CORNER = disc(0, 0, 9)  # begins with ones
ANNOTATIONS = [  # the smaller object comes first in the file, the crowd last
    annotation(11, 1, BOTTLE, [box(20, 10, 24, 20)]),
    annotation(12, 1, TABLE, [box(5.5, 12.2, 50.7, 35), [10, 5, 15, 2.5, 22.3, 9]]),  # in two parts
    annotation(13, 1, PERSON, uncompressed(disc(25, 35, 14)), crowd=1),
    annotation(14, 2, CAT, compressed(RING)),
    annotation(15, 2, COUCH, [box(0, 18, 60, 40)]),
    annotation(16, 2, TV, uncompressed(CORNER)),
    annotation(17, 2, BANANA, [box(2, 2, 55, 38)]),
    annotation(18, 3, BANANA, [box(2, 2, 55, 38)]),  # no class of VOC
    annotation(19, 5, CAR, uncompressed(disc(20, 20, 9)), crowd=1),  # a crowd alone
    annotation(21, 6, CAR, [[-3, 5.5, 30, 5.5, 30, 70, -3, 70]]),  # reaches beyond the image
    annotation(22, 6, PERSON, compressed(np.ones((HEIGHT, WIDTH), dtype=np.uint8, order="F"))),
]
ORDER = {1: (13, 12, 11), 2: (15, 14, 16), 6: (22, 21)}  # by hand: crowds, then the larger before the smaller
NAMES = {"COCO_train2014_000000000001": 1, "COCO_train2014_000000000002": 2, "COCO_train2014_000000000006": 6}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VOC, SBD and COCO in small; image 4 has no annotations at all."""
    folder = tmp_path_factory.mktemp("sets")
    write_voc(folder / "voc")
    write_sbd(folder / "sbd")
    write_coco(folder / "coco", "train2014", ANNOTATIONS, [6, 5, 4, 3, 2, 1])
    write_coco(folder / "coco", "val2014", [annotation(1, 7, PERSON, [box(0, 0, 9, 9)])], [7])
    return folder


def config_of(folder: Path, **settings: Any) -> DataConfig:
    paths = {"root": str(folder / "voc"), "sbd_root": str(folder / "sbd"), "coco_root": str(folder / "coco")}
    return DataConfig(**{"name": "voc", **paths, **settings})


def opened(folder: Path, split: str = "train_aug_coco", **settings: Any) -> FileSet:
    images = open_images(config_of(folder, **settings), split)
    assert isinstance(images, FileSet)
    return images


def label_of(images: FileSet, name: str) -> np.ndarray[Any, Any]:
    return images.read([images.name(index) for index in range(len(images))].index(name))[1]


def write_one(folder: Path, *annotations: dict[str, Any]) -> Path:
    write_voc(folder / "voc")
    return write_coco(folder / "coco", "train2017", annotations, [1])


def reads(folder: Path) -> FileSet:
    """The set with the one image of `write_one`, which has been read."""
    images = opened(folder, "train_coco", coco_splits=["train2017"])
    images.read(2)
    return images


def test_labels_are_pycocotools_own_masks_laid_over_each_other_with_the_larger_object_below(folder: Path) -> None:
    api, images = COCO(str(folder / "coco" / "annotations" / "instances_train2014.json")), opened(folder)
    for name, key in NAMES.items():
        expected_HW = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
        for number in ORDER[key]:
            entry = api.anns[number]
            voc = {PERSON: "person", CAR: "car", CAT: "cat", BOTTLE: "bottle", COUCH: "sofa", TABLE: "diningtable"}
            value = VOC.names.index((voc | {TV: "tvmonitor"})[entry["category_id"]])
            expected_HW[api.annToMask(entry) == 1] = VOID if entry["iscrowd"] else value
        np.testing.assert_array_equal(label_of(images, name), expected_HW)


def test_the_small_sets_hold_what_their_order_decides(folder: Path) -> None:
    """Or the test above would pass in any order: bottle on table, table over crowd, cat on sofa, car over person."""
    images = opened(folder)
    table, cat, car = (label_of(images, name) for name in NAMES)
    assert (table[11:20, 20:24] == VOC.names.index("bottle")).all()
    assert table[25, 35] == VOC.names.index("diningtable") and table[37, 35] == VOID
    assert cat[20, 30] == VOC.names.index("sofa") and cat[32, 30] == VOC.names.index("cat")  # in the ring, and on it
    assert car[20, 20] == VOC.names.index("car") and car[20, 50] == VOC.names.index("person")
    assert cat[10, 5] == VOC.names.index("background")  # under the banana, which is no class of VOC


def test_the_split_is_voc_then_coco_by_image_id_without_images_that_have_no_object_of_vocs_classes(
    folder: Path,
) -> None:
    coco = [*NAMES, "COCO_val2014_000000000007"]
    with_sbd, without = opened(folder), opened(folder, "train_coco", sbd_root=None)
    assert [with_sbd.name(index) for index in range(len(with_sbd))] == ["b", "a", "s", "t", *coco]
    assert [without.name(index) for index in range(len(without))] == ["b", "a", *coco]
    assert with_sbd.read(0)[1].max() == 15 and with_sbd.read(2)[1].max() == 3
    assert with_sbd.describe() == "VOC 2012 and COCO (train2014, val2014), train_aug_coco: 8 images, 21 classes"
    assert leaks(with_sbd, opened(folder, "val")) == []


def test_images_may_lie_below_images_and_splits_are_those_that_are_named(tmp_path: Path) -> None:
    write_voc(tmp_path / "voc")
    write_coco(tmp_path / "coco", "val2017", [annotation(1, 7, PERSON, [box(0, 0, 9, 9)])], [7])
    (tmp_path / "coco" / "images").mkdir()
    (tmp_path / "coco" / "val2017").rename(tmp_path / "coco" / "images" / "val2017")
    images = opened(tmp_path, "train_coco", coco_splits=["val2017"])
    assert [images.name(index) for index in range(len(images))] == ["b", "a", "000000000007"]
    assert (images.read(2)[1][:9, :9] == 15).all()


def test_every_class_of_voc_is_drawn_from_the_category_of_its_name_whatever_its_id(tmp_path: Path) -> None:
    """The two lists as one would match them by hand."""
    pairs = zip(
        "airplane bicycle bird boat bottle bus car cat chair cow,dining table,dog horse motorcycle person,potted plant,"
        "sheep couch train tv".replace(" ", ",").replace("dining,table", "dining table")
        .replace("potted,plant", "potted plant").split(","),
        VOC.names[1:], strict=True,
    )  # fmt: skip
    ids = {name: key for key, name in CATEGORIES.items()}
    strips = [(coco, voc, number) for number, (coco, voc) in enumerate(pairs)]
    write_one(
        tmp_path, *(annotation(n, 1, ids[coco], [box(3 * n, 0, 3 * n + 3, HEIGHT)]) for coco, _, n in strips)
    )  # fmt: skip
    label_HW = opened(tmp_path, "train_coco", coco_splits=["train2017"]).read(2)[1]
    assert [VOC.names[label_HW[20, 3 * n + 1]] for _, _, n in strips] == list(VOC.names[1:])


def test_the_order_of_annotations_in_the_file_plays_no_part(folder: Path, tmp_path: Path) -> None:
    write_voc(tmp_path / "voc")
    write_coco(tmp_path / "coco", "train2014", ANNOTATIONS[::-1], [1, 2, 3, 4, 5, 6])
    other = opened(tmp_path, "train_coco", coco_splits=["train2014"])
    for name in NAMES:
        np.testing.assert_array_equal(label_of(other, name), label_of(opened(folder), name))


def test_of_two_objects_of_one_size_the_higher_id_lies_above(tmp_path: Path) -> None:
    write_one(tmp_path, annotation(9, 1, CAT, [box(0, 0, 20, 20)]), annotation(8, 1, CAR, [box(10, 0, 30, 20)]))
    label_HW = reads(tmp_path).read(2)[1]
    assert label_HW[10, 15] == VOC.names.index("cat") and label_HW[10, 25] == VOC.names.index("car")


def test_workers_read_what_the_main_process_reads(folder: Path) -> None:
    images = opened(folder)
    copy = pickle.loads(pickle.dumps(images))
    assert all((copy.read(index)[1] == images.read(index)[1]).all() for index in range(len(images)))


def test_the_index_holds_places_and_no_polygons(tmp_path: Path) -> None:
    polygon = np.random.default_rng(0).uniform(0, HEIGHT, 2000).round(2).tolist()
    path = write_one(tmp_path, *(annotation(n, 1, PERSON, [polygon]) for n in range(200)))
    index = open_coco_file(path)
    assert len(pickle.dumps(index)) < path.stat().st_size / 50
    assert [each["id"] for each in index.annotations(1)] == list(range(200))


def test_other_annotations_are_other_files_though_the_names_are_the_same(folder: Path, tmp_path: Path) -> None:
    path = write_one(tmp_path, annotation(1, 1, CAT, [box(0, 0, 20, 20)]))
    before = reads(tmp_path)
    identities = digest(before), content_digest(before), file_identity(before, "")
    path.write_text(path.read_text().replace("20, 20", "20, 19.5"))
    after = reads(tmp_path)
    assert digest(after) == identities[0]
    assert content_digest(after) != identities[1] and file_identity(after, "") != identities[2]


def test_an_image_of_another_size_than_its_annotations_say_is_refused_with_both(tmp_path: Path) -> None:
    write_one(tmp_path, annotation(1, 1, CAT, [box(0, 0, 20, 20)]))
    image = tmp_path / "coco" / "train2017" / "000000000001.jpg"
    Image.new("RGB", (WIDTH, HEIGHT + 1)).save(image)
    with pytest.raises(UserError, match=r"000000000001\.jpg is 60x41 but its label .*train2017\.json/1 is 60x40"):
        reads(tmp_path)


@pytest.mark.parametrize(
    ("segmentation", "complaint"),
    [
        ([], "no polygon"),
        ([[1, 2, 3, 4]], "a polygon of 4 numbers"),
        ([[1, 2, 3, 4, 5, 6, 7]], "a polygon of 7 numbers"),
        ([[1, 2, 3, 4, 5, 1e9]], "far outside of the image"),
        ([[1, 2, 3, 4, 5, "6"]], "TypeError"),
        ([5], "TypeError"),
        (None, "TypeError"),
        ({"size": [HEIGHT, WIDTH]}, "counts"),
        ({"size": [WIDTH, HEIGHT], "counts": [WIDTH * HEIGHT]}, r"runs for \[60, 40\]"),
        ({"size": [HEIGHT, WIDTH], "counts": [5, 6]}, "runs of 11 pixels, and the image has 2400"),
        ({"size": [HEIGHT, WIDTH], "counts": [-5, 2405]}, "runs of 2400 pixels"),
        ({"size": [HEIGHT, WIDTH], "counts": [0.5, 2399.5]}, "runs of 2400"),
        ({"size": [HEIGHT, WIDTH], "counts": [2**40]}, "runs of 1099511627776 pixels"),
        ({"size": [HEIGHT, WIDTH], "counts": "52203"}, "runs of"),
        ({"size": [HEIGHT, WIDTH], "counts": "oooooooooooo"}, "'o' in compressed runs"),
        ({"size": [HEIGHT, WIDTH], "counts": "P"}, "end in the middle"),
        ({"size": [HEIGHT, WIDTH], "counts": "\u00ff"}, "'\u00ff' in compressed runs"),
    ],
)  # fmt: skip
def test_an_annotation_that_cannot_be_drawn_is_named(segmentation: Any, complaint: str, tmp_path: Path) -> None:
    write_one(tmp_path, annotation(77, 1, CAT, segmentation))
    with pytest.raises(DamagedFileError, match=rf"train2017\.json: image 1 \(0+1\.jpg\): annotation 77: .*{complaint}"):
        reads(tmp_path)


def edited(edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """A change of the JSON's content."""

    def write(path: Path) -> None:
        content = json.loads(path.read_text())
        edit(content)
        path.write_text(json.dumps(content))

    return write


def twice(content: dict[str, Any]) -> None:
    """The first image, and its first annotation, once more under another id."""
    content["images"].append({**content["images"][0], "id": 2})
    content["annotations"].append({**content["annotations"][0], "image_id": 2})


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda path: path.write_bytes(b""), "cannot mmap an empty file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-30]), "ValueError|JSONDecodeError"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "more follows after the end"),
        (lambda path: path.write_bytes(b"[" * 100_000), "required at byte 0"),
        (lambda path: path.write_bytes(b'{"info": ' + b"[" * 1_000_000), "RecursionError"),
        (lambda path: path.write_text(path.read_text().replace('"area": 1.0', '"area": NaN')), "NaN is no number"),
        (lambda path: path.write_bytes(b"<html>Not found</html>"), "got <"),
        (edited(lambda content: content.pop("categories")), "each category of COCO once is required, and airplane, "),
        (edited(lambda content: content.pop("images")), "annotations of image 1, which is not among the 0 images"),
        (edited(lambda content: content["images"].append(content["images"][0])), "two images of id 1"),
        (edited(lambda content: content["categories"].append({"id": 99, "name": "cat"})), "one is there twice"),
        (edited(lambda content: content["images"][0].update(file_name="../../secret.jpg")), "the name of a file in"),
        (edited(twice), "two images have one file_name"),
        (edited(lambda content: content["images"][0].update(height=10**9)), "60x1000000000 pixels"),
        (edited(lambda content: content["annotations"][0].update(image_id="1")), "TypeError"),
        (edited(lambda content: content["annotations"][0].update(image_id=2**70)), "OverflowError"),
        (edited(lambda content: content["annotations"].append(5)), "TypeError"),
        (edited(lambda content: content.update(annotations={})), r"\[ is required"),
    ],
)
def test_a_damaged_file_is_refused_before_anything_is_trained(
    spoil: Callable[[Path], object], complaint: str, tmp_path: Path
) -> None:
    spoil(write_one(tmp_path, annotation(1, 1, CAT, [box(0, 0, 20, 20)])))
    with pytest.raises(DamagedFileError, match=rf"instances_train2017\.json: .*({complaint}).*; fetch it again"):
        opened(tmp_path, "train_coco", coco_splits=["train2017"])


def test_a_file_that_changes_while_it_is_in_use_is_noticed(tmp_path: Path) -> None:
    path = write_one(tmp_path, annotation(1, 1, CAT, [box(0, 0, 20, 20)]))
    images = reads(tmp_path)
    content = path.read_text()
    for other in (content.replace('"info"', '"information"'), content.replace('"image_id": 1', '"image_id": 2'), ""):
        path.write_text(other)
        with pytest.raises(DamagedFileError, match="it has changed since it was opened"):
            images.read(2)


@pytest.mark.parametrize("escape", [True, False])
def test_names_of_files_may_be_of_any_script(escape: bool, tmp_path: Path) -> None:
    path = write_one(tmp_path, annotation(1, 1, CAT, [box(0, 0, 20, 20)]))
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = "caf\u00e9 \u732b.jpg"
    path.write_text(json.dumps(content, ensure_ascii=escape), encoding="utf-8")
    image = tmp_path / "coco" / "train2017" / "000000000001.jpg"
    image.rename(image.with_name("caf\u00e9 \u732b.jpg"))
    assert reads(tmp_path).name(2) == "caf\u00e9 \u732b"


def test_what_is_missing_is_named_with_its_key(tmp_path: Path) -> None:
    path = write_one(tmp_path, annotation(1, 1, CAT, [box(0, 0, 20, 20)]))
    with pytest.raises(UserError, match=r"data\.coco_root is not set, and split train_coco needs it"):
        opened(tmp_path, "train_coco", coco_root=None)
    with pytest.raises(UserError, match=r"no .*instances_train2014\.json; .*holds instances_train2017\.json; "):
        opened(tmp_path, "train_coco")
    (tmp_path / "coco" / "train2017" / "000000000001.jpg").unlink()
    with pytest.raises(UserError, match=r"train2017\.json: the images of 1 of 1 samples are missing.*0001\.jpg"):
        opened(tmp_path, "train_coco", coco_splits=["train2017"])
    (tmp_path / "coco" / "train2017").rmdir()
    with pytest.raises(UserError, match=r"there is no .*train2017; .*data\.coco_root must hold"):
        opened(tmp_path, "train_coco", coco_splits=["train2017"])
    path.unlink()
