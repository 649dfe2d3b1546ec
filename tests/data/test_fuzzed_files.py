"""Images, labels and lists that anybody wrote are read, or refused by their names; never anything else."""

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from data.build import open_images
from data.coco_file import open_coco_file
from data.coco_masks import draw
from data.dataset import FileSet, read_image, read_label
from data.labels import ColorDecoder, IdDecoder, id_table
from data.lists import read_list, read_names
from tests.helpers.coco import HEIGHT, WIDTH, annotation, box, write_coco
from tests.helpers.data_sets import write_sbd, write_voc
from tests.helpers.fuzzing import damaged_copies, fuzzed, json_values, result_or_refusal

FORMATS = ["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "TGA"]
IDS = IdDecoder(id_table(range(3), [255]), "a hint")
COLORS = ColorDecoder({(0, 0, 0): 0, (255, 0, 0): 1}, "a hint")


def encoded(format: str, mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (9, 7)).save(file, format)
    return file.getvalue()


@fuzzed
@given(st.sampled_from(FORMATS).flatmap(lambda format: damaged_copies(encoded(format))))
def test_a_damaged_image_or_label_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    image_HW3 = result_or_refusal(lambda: read_image(path), "a.png")
    assert image_HW3 is None or (image_HW3.ndim == 3 and image_HW3.dtype == np.uint8)
    label_HW = result_or_refusal(lambda: read_label(path, IDS), "a.png")
    assert label_HW is None or {*np.unique(label_HW)} <= {0, 1, 2, 255}
    label_HW = result_or_refusal(lambda: read_label(path, COLORS), "a.png")
    assert label_HW is None or {*np.unique(label_HW)} <= {0, 1}


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@fuzzed
@given(
    size=st.tuples(*[st.sampled_from([0, 1, 7, 2**15, 31_000, 2**31 - 1, 2**32 - 1])] * 2),
    depth=st.sampled_from([1, 2, 4, 8, 16, 3]),
    color=st.integers(0, 7),
    rest=st.lists(st.tuples(st.sampled_from([b"PLTE", b"tRNS", b"zTXt", b"iCCP", b"eXIf"]), st.binary(max_size=20))),
    data=st.binary(max_size=40),
)
def test_a_png_that_claims_any_size_is_refused_before_it_gets_memory(
    tmp_path: Path, size: tuple[int, int], depth: int, color: int, rest: list[tuple[bytes, bytes]], data: bytes
) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, color, 0, 0, 0))
    parts = [header, *(chunk(*each) for each in rest), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")]
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    result_or_refusal(lambda: read_label(path, IDS), "a.png")


@fuzzed
@given(
    st.lists(st.sampled_from([b"a", b"../b", b"/c", b"'", b'"', b" ", b"\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf"]))
)
def test_a_list_names_only_what_lies_below_its_root(tmp_path: Path, words: list[bytes]) -> None:
    path = tmp_path / "train.txt"
    path.write_bytes(b"".join(words))
    lines = result_or_refusal(lambda: read_list(path), "train.txt") or []
    names = result_or_refusal(lambda: read_names(path), "train.txt") or []
    for entry in [*names, *(entry for line in lines for entry in line.entries)]:
        assert entry and not entry.startswith("/") and ".." not in entry.split("/")


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco(tmp_path_factory.mktemp("coco"), "val2017", [annotation(1, 1, 17, [box(1, 1, 9, 9)])], [1])


@fuzzed
@given(data=st.data())
def test_damaged_annotations_are_read_or_refused(tmp_path: Path, coco: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data.draw(damaged_copies(coco.read_bytes())))
    file = result_or_refusal(lambda: open_coco_file(path), "a.json")
    for image in file.images if file is not None else ():
        result_or_refusal(lambda image=image: file.annotations(image), "a.json")


@fuzzed
@given(value=json_values(), section=st.sampled_from(["images", "annotations", "categories"]), is_whole=st.booleans())
def test_whatever_json_stands_among_the_annotations_is_judged(
    tmp_path: Path, coco: Path, value: Any, section: str, is_whole: bool
) -> None:
    content = json.loads(coco.read_text())
    content[section] = value if is_whole else [*content[section], value]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    result_or_refusal(lambda: open_coco_file(path), "a.json")


@fuzzed
@given(
    st.one_of(
        json_values(),
        st.lists(st.lists(st.floats(), max_size=9), max_size=3),
        st.fixed_dictionaries(
            {
                "size": st.just([HEIGHT, WIDTH]),
                "counts": st.text("0123PQRSTabcdefg", max_size=9) | st.lists(st.integers()),
            }
        ),
    )
)
def test_any_segmentation_is_drawn_or_a_value_error(segmentation: Any) -> None:
    pytest.importorskip("pycocotools", reason='COCO needs pycocotools: pip install ".[coco]"')
    try:
        label_HW = draw([annotation(1, 1, 17, segmentation)], {17: 8}, HEIGHT, WIDTH)
    except ValueError as error:
        assert "annotation 1" in str(error)
        return
    assert label_HW.shape == (HEIGHT, WIDTH) and {*np.unique(label_HW)} <= {0, 8}


@pytest.fixture(scope="module")
def sbd(tmp_path_factory: pytest.TempPathFactory) -> FileSet:
    root = tmp_path_factory.mktemp("sbd")
    config = write_voc(root).model_copy(update={"sbd_root": str(write_sbd(root)), "train_split": "train_aug"})
    images = open_images(config, "train_aug")
    assert isinstance(images, FileSet)
    return images


def test_a_mat_file_of_a_few_kilobytes_gets_no_hundred_megabytes(sbd: FileSet) -> None:
    index = next(index for index, pair in enumerate(sbd.pairs) if pair.label.suffix == ".mat")
    path = sbd.pairs[index].label
    whole = path.read_bytes()
    for content in (
        {"GTcls": np.zeros(2**28, np.uint8)},
        {"GTcls": {"Segmentation": np.zeros((2**14, 2**14), np.uint8)}},
    ):
        savemat(path, content, do_compression=True)
        try:
            assert result_or_refusal(lambda: sbd.read(index), path.name) is None
        finally:
            small = path.stat().st_size
            path.write_bytes(whole)
        assert small < 2**20


@fuzzed
@given(data=st.data())
def test_a_damaged_mat_file_is_read_or_refused(sbd: FileSet, data: st.DataObject) -> None:
    index = next(index for index, pair in enumerate(sbd.pairs) if pair.label.suffix == ".mat")
    path = sbd.pairs[index].label
    whole = path.read_bytes()
    path.write_bytes(data.draw(damaged_copies(whole)))
    try:
        result_or_refusal(lambda: sbd.read(index), path.name)
    finally:
        path.write_bytes(whole)
