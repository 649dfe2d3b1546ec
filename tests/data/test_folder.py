"""One's own images: patterns, and what the values in the label files mean."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.build import open_images, raw_ids
from data.labels import VOID
from tests.helpers.data_sets import (
    folder_config,
    open_pairs,
    write_cityscapes,
    write_folder,
    write_image,
    write_label,
    write_list,
)


def test_folders_patterns_and_suffixes_find_a_foreign_layout(tmp_path: Path) -> None:
    write_cityscapes(tmp_path)
    config = folder_config(
        tmp_path,
        images="leftImg8bit/{split}",
        labels="gtFine/{split}",
        image_suffix="_leftImg8bit.png",
        label_suffix="_gtFine_labelIds.png",
    )
    images = open_images(config, "train")
    assert [images.name(index) for index in range(2)] == ["aachen/aachen_0", "aachen/aachen_1"]


def test_a_suffix_may_be_a_file_in_a_folder_of_each_name(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "1" / "image.PNG")
    write_label(tmp_path / "train" / "1" / "mask.png")
    keys = {"images": "{split}", "labels": "{split}", "image_suffix": "/image.png", "label_suffix": "/mask.png"}
    write_list(tmp_path / "train.txt", "1")
    for list_file in ("", "{split}.txt"):
        (pair,) = open_pairs(folder_config(tmp_path, list_file=list_file, **keys))
        assert (pair.name, pair.image.name, pair.label.name) == ("1", "image.PNG", "mask.png")


def test_raw_ids_are_those_of_the_config(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "images" / "1.jpg")
    write_label(tmp_path / "train" / "labels" / "1.png", [[9, 4, 7, 0, 9, 4]] * 4)
    label = open_images(folder_config(tmp_path, label_ids=[4, 9], ignore_ids=[0, 7]), "train").read(0)[1]
    assert label[0].tolist() == [1, 0, VOID, VOID, 1, 0]
    with pytest.raises(ValueError, match=r"id 9 at row 0, column 0 .*data\.folder\.class_names, label_ids"):
        open_images(folder_config(tmp_path), "train").read(0)


def test_colour_labels_are_decoded_by_the_palette(tmp_path: Path) -> None:
    palette = [[1, 2, 3], [200, 100, 0]]
    write_image(tmp_path / "train" / "images" / "1.jpg")
    write_label(tmp_path / "train" / "labels" / "1.png", np.tile(np.array(palette, dtype=np.uint8), (4, 3, 1)))
    images = open_images(folder_config(tmp_path, palette=palette, rgb_labels=True), "train")
    assert images.read(0)[1][0].tolist() == [0, 1, 0, 1, 0, 1]
    with pytest.raises(ValueError, match="a label of kind RGB"):
        open_images(folder_config(tmp_path), "train").read(0)


def test_several_ids_mean_one_class_and_ids_may_have_16_bits(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "images" / "1.jpg")
    path = tmp_path / "train" / "labels" / "1.png"
    path.parent.mkdir()
    Image.fromarray(np.array([[0, 1, 7, 300, 65_535, 9]] * 4, dtype=np.uint16)).save(path)
    keys = {"class_names": ["a", "b", "c"], "label_ids": [[1, 0], 7, [9, 300]], "ignore_ids": [65_535]}
    config = folder_config(tmp_path, **keys)
    assert open_images(config, "train").read(0)[1][0].tolist() == [0, 0, 1, 2, VOID, 2]
    assert list(raw_ids(config, 3)) == [1, 7, 9]


def test_several_colours_mean_one_class_which_is_shown_in_the_first(tmp_path: Path) -> None:
    pixels = [[1, 2, 3], [200, 100, 0], [0, 0, 0], [4, 5, 6], [4, 5, 6], [1, 2, 3]]
    write_image(tmp_path / "train" / "images" / "1.jpg")
    write_label(tmp_path / "train" / "labels" / "1.png", np.array([pixels] * 4, dtype=np.uint8))
    palette = [[1, 2, 3], [[4, 5, 6], [200, 100, 0]]]
    images = open_images(folder_config(tmp_path, palette=palette, rgb_labels=True, void_colors=[[0, 0, 0]]), "train")
    assert images.read(0)[1][0].tolist() == [0, 1, VOID, 1, 1, 0]
    assert images.classes.palette == ((1, 2, 3), (4, 5, 6))


def test_colours_of_void_are_named_and_any_other_is_still_refused(tmp_path: Path) -> None:
    pixels = [[1, 2, 3], [200, 100, 0], [0, 0, 0], [255, 255, 255], [0, 0, 0], [1, 2, 3]]
    write_image(tmp_path / "train" / "images" / "1.jpg")
    write_label(tmp_path / "train" / "labels" / "1.png", np.array([pixels] * 4, dtype=np.uint8))
    keys: dict[str, object] = {"palette": pixels[:2], "rgb_labels": True}
    label = open_images(folder_config(tmp_path, **keys, void_colors=[[0, 0, 0], [255, 255, 255]]), "train").read(0)[1]
    assert label[0].tolist() == [0, 1, VOID, VOID, VOID, 0]
    with pytest.raises(ValueError, match=r"colour \[255, 255, 255\] .*data\.folder\.void_colors if it means void"):
        open_images(folder_config(tmp_path, **keys, void_colors=[[0, 0, 0]]), "train").read(0)


def test_a_missing_palette_is_generated(tmp_path: Path) -> None:
    write_folder(tmp_path)
    config = folder_config(tmp_path, class_names=[f"class {k}" for k in range(200)])
    palette = open_images(config, "train").classes.palette
    assert len(set(palette)) == 200 and min(map(max, palette)) >= 90, "no class is nearly black"


COLORED: dict[str, object] = {"rgb_labels": True, "palette": [[1, 1, 1], [2, 2, 2]]}


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"class_names": []}, "class_names.*0 class names"),
        ({"palette": [[1, 2, 3]]}, "palette.*1 colours for 2 classes"),
        ({"palette": [[1, 2], [3, 4]]}, "palette.*three numbers"),
        ({"label_ids": [1]}, "label_ids=.*one raw id, .* for each of the 2"),
        ({"label_ids": [1, 1]}, "label_ids=.*different numbers"),
        ({"label_ids": [[0, 1], 1]}, r"label_ids=\[\[0, 1\], 1\]: different numbers .*not \[1\]"),
        ({"label_ids": [[0, 1], []]}, r"label_ids=\[\[0, 1\], \[\]\]: one raw id, or a list"),
        ({"label_ids": [[0, 255], 1]}, r"ignore_ids=\[255\].*\[255\] are raw ids of classes"),
        ({"ignore_ids": [65536]}, "ignore_ids=.*from 0 to 65535"),
        ({"label_ids": [0, 255]}, r"ignore_ids=\[255\].*\[255\] are raw ids of classes"),
        ({"rgb_labels": True}, "rgb_labels=true.*one colour a class"),
        ({"rgb_labels": True, "palette": [[1, 1, 1], [1, 1, 1]]}, "rgb_labels=true.*all different"),
        ({"void_colors": [[0, 0, 0]]}, "void_colors=.*labels hold ids.*ignore_ids"),
        ({**COLORED, "void_colors": [[0, 0]]}, r"void_colors=.*three numbers .*got \[0, 0\]"),
        ({**COLORED, "void_colors": [[0, 0, 0], [0, 0, 256]]}, r"void_colors=.*from 0 to 255 .*got \[0, 0, 256\]"),
        ({"palette": [[1, 1, 1], [[2, 2, 2], [3, 3]]]}, r"palette: three numbers .*got \[3, 3\]"),
        ({"rgb_labels": True, "palette": [[1, 1, 1], [[2, 2, 2], [1, 1, 1]]]}, "rgb_labels=true.*all different"),
        ({**COLORED, "palette": [[1, 1, 1], [[3, 3, 3], [2, 2, 2]]], "void_colors": [[2, 2, 2]]}, "colour of thing"),
        ({**COLORED, "void_colors": [[2, 2, 2]]}, r"void_colors=.*\[2, 2, 2\] is the colour of thing"),
    ],
)
def test_settings_that_do_not_fit_are_refused_by_key(tmp_path: Path, keys: dict[str, object], complaint: str) -> None:
    (tmp_path / "something").touch()
    with pytest.raises(ValueError, match=rf"data\.folder\..*{complaint}"):
        open_images(folder_config(tmp_path, **keys), "train")
