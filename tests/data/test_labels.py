"""Class sets, id tables and the two decoders."""

from itertools import combinations
from math import dist
from pathlib import Path

import numpy as np
import pytest

from data.labels import (
    CAMVID,
    CITYSCAPES,
    CITYSCAPES_LABEL_IDS,
    KITTI,
    VOC,
    VOID,
    ClassSet,
    ColorDecoder,
    IdDecoder,
    id_table,
    ranges,
)
from data.palette import distinct_palette, voc_palette

FILE = Path("some/label.png")


def test_palette_is_the_one_of_the_voc_devkit() -> None:
    palette = voc_palette(256)
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    assert {index: palette[index] for index in known} == known
    assert len(set(palette)) == 256


@pytest.mark.parametrize(
    ("num_classes", "apart", "from_reserved"),
    [(2, 200, 200), (5, 160, 160), (12, 120, 120), (20, 80, 80), (254, 30, 35)],
)
def test_made_up_colours_lie_apart_from_each_other_and_from_white_black_and_the_red_of_errors(
    num_classes: int, apart: int, from_reserved: int
) -> None:
    palette = distinct_palette(num_classes)
    assert len(palette) == num_classes and palette == distinct_palette(254)[:num_classes]
    assert min(dist(one, other) for one, other in combinations(palette, 2)) >= apart
    for reserved in ((255, 255, 255), (0, 0, 0), (200, 30, 30)):
        assert min(dist(color, reserved) for color in palette) >= from_reserved, reserved


def test_class_sets_have_the_published_counts_and_colours_of_their_own() -> None:
    assert [classes.num_classes for classes in (VOC, CITYSCAPES, CAMVID, KITTI)] == [21, 19, 11, 11]
    for classes in (VOC, CITYSCAPES, CAMVID):
        assert len(set(classes.palette)) == classes.num_classes
    assert VOC.names[15] == "person" and CITYSCAPES.names[13] == "car"
    assert " ".join(CAMVID.names) == "Building Tree Sky Car Sign Road Pedestrian Fence Pole Sidewalk Bicyclist"


def test_cityscapes_ids_are_those_of_the_official_table() -> None:
    assert CITYSCAPES_LABEL_IDS == (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
    assert dict(zip(CITYSCAPES.names, CITYSCAPES_LABEL_IDS, strict=True))["traffic sign"] == 20


@pytest.mark.parametrize(
    ("names", "palette", "complaint"),
    [
        (("a", "b"), ((0, 0, 0),), "1 colours for 2 classes"),
        (("a",), ((0, 0, 0),), "1 class names"),
        (("a", "a"), ((0, 0, 0), (1, 1, 1)), "differ"),
        (("a", "b"), ((0, 0, 0), (1, 1, 256)), "from 0 to 255"),
        (("a", "b"), ((0, 0, 0), (1, 1)), "three numbers"),
    ],
)
def test_class_sets_that_do_not_fit_are_refused(names: tuple, palette: tuple, complaint: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=complaint):
        ClassSet(names, palette)


def test_ids_are_mapped_as_a_loop_over_the_pixels_maps_them() -> None:
    random = np.random.default_rng(0)
    class_ids, void_ids = [7, 200, 0, 255], [3, 11]
    raw = random.choice([*class_ids, *void_ids], size=(13, 17)).astype(np.uint8)
    expected = [[class_ids.index(i) if i in class_ids else VOID for i in row] for row in raw.tolist()]
    decode = IdDecoder(id_table(class_ids, void_ids), "")
    assert decode(raw, FILE).tolist() == expected
    assert decode(raw.astype(np.uint16), FILE).tolist() == expected
    assert decode(raw, FILE).dtype == np.uint8


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_several_ids_mean_one_class_in_files_of_8_and_of_16_bits(dtype: type) -> None:
    decode = IdDecoder(id_table([[0, 1], 7, [8, 9]], [255]), "")
    assert decode(np.array([[0, 1, 7, 8, 9, 255]], dtype=dtype), FILE).tolist() == [[0, 0, 1, 2, 2, VOID]]


def test_ids_up_to_65535_are_mapped_and_those_between_are_refused() -> None:
    """The ids of Cityscapes' instances: 26001 is the second car."""
    decode = IdDecoder(id_table([7, [26, 26_000, 26_001]], [0, 65_535]), "")
    raw = np.array([[7, 26, 26_000, 26_001, 0, 65_535]], dtype=np.uint16)
    assert decode(raw, FILE).tolist() == [[0, 1, 1, 1, VOID, VOID]]
    assert decode(raw[:, [0, 1, 4]].astype(np.uint8), FILE).tolist() == [[0, 1, VOID]]
    with pytest.raises(ValueError, match=r"id 26002 .*allowed are 7, 26, 26000-26001 .* and 0, 65535 for void"):
        decode(np.array([[26_002]], dtype=np.uint16), FILE)


def test_a_table_is_as_small_as_its_ids_allow() -> None:
    assert [id_table(ids, [255]).size for ids in ([0, 1], [0, [1, 256]], [65_535])] == [256, 257, 65_536]


@pytest.mark.parametrize("strange", [2, 254, 300])
def test_a_strange_id_is_named_with_file_first_pixel_count_and_hint(strange: int) -> None:
    raw = np.zeros((4, 6), dtype=np.uint16 if strange > 255 else np.uint8)
    raw[2, 5] = raw[3, 0] = strange
    with pytest.raises(ValueError) as error:
        IdDecoder(id_table([0, 1], [255]), "do this")(raw, FILE)
    for part in (str(FILE), f"id {strange} at row 2, column 5", f"{strange} (2 px)", "0-1", "255 for void", "do this"):
        assert part in str(error.value)


def test_a_mask_of_0_and_255_is_told_that_255_means_ignore() -> None:
    mask = np.array([[0, 255]], dtype=np.uint8)
    with pytest.raises(ValueError, match="255 means ignore"):
        IdDecoder(id_table([0, 1], []), "")(mask, FILE)
    with pytest.raises(ValueError, match="255 means ignore here; because; do this"):
        IdDecoder(id_table([0, 1], [255]), "do this", masks=lambda: "because")(mask, FILE)
    for masks in (None, lambda: ""):
        assert IdDecoder(id_table([0, 1], [255]), "", masks)(mask, FILE).tolist() == [[0, VOID]]
    honest = np.array([[0, 1, 255]], dtype=np.uint8)
    assert IdDecoder(id_table([0, 1], [255]), "", lambda: "because")(honest, FILE).tolist() == [[0, 1, VOID]]


def test_painted_ids_come_back_from_their_colours() -> None:
    palette = voc_palette(254)
    ids = np.random.default_rng(1).permutation(254).astype(np.uint8).reshape(2, 127)
    decode = ColorDecoder({color: index for index, color in enumerate(palette)}, "")
    assert np.array_equal(decode(np.array(palette, dtype=np.uint8)[ids], FILE), ids)


def test_several_colours_may_mean_one_class_or_void() -> None:
    decode = ColorDecoder({(255, 255, 255): 0, (1, 2, 3): 1, (3, 2, 1): 1, (0, 0, 0): VOID}, "")
    colors = np.array([[[3, 2, 1], [0, 0, 0], [1, 2, 3], [255, 255, 255]]], dtype=np.uint8)
    assert decode(colors, FILE).tolist() == [[1, VOID, 1, 0]]


@pytest.mark.parametrize("strange", [[1, 2, 4], [0, 0, 0], [255, 255, 255]])
def test_a_colour_one_off_is_named_with_file_first_pixel_and_count(strange: list[int]) -> None:
    colors = np.full((3, 4, 3), (1, 2, 3), dtype=np.uint8)
    colors[1, 2] = colors[2, 0] = strange
    with pytest.raises(ValueError) as error:
        ColorDecoder({(1, 2, 3): 0, (9, 9, 9): 1}, "do this")(colors, FILE)
    for part in (str(FILE), f"{strange} at row 1, column 2", "2 pixels", "do this"):
        assert part in str(error.value)


def test_ranges_are_written_short() -> None:
    assert ranges([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"
    assert ranges([]) == ""
