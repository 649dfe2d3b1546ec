"""Labels of 0 and 255: masks whose object would be ignored, or a class and void."""

from pathlib import Path

import numpy as np
import pytest

from data.build import open_images
from data.labels import VOID, Labels
from data.masks import MAX_READ, Masks
from tests.helpers.data_sets import folder_config, write_image, write_label


def test_a_0_255_mask_is_refused_with_what_to_set(tmp_path: Path) -> None:
    write_image(tmp_path / "train" / "images" / "1.jpg")
    write_label(tmp_path / "train" / "labels" / "1.png", [[0, 255, 0, 255, 0, 255]] * 4)
    with pytest.raises(ValueError, match=r"255 means ignore.*label_ids=\[0,255\] ignore_ids=\[\]"):
        open_images(folder_config(tmp_path), "train").read(0)
    assert open_images(folder_config(tmp_path, label_ids=[0, 255], ignore_ids=[]), "train").read(0)[1].max() == 1
    assert open_images(folder_config(tmp_path, label_ids=[0, 1]), "train").read(0)[1].max() == VOID


def test_a_label_of_0_and_255_is_void_where_another_of_its_split_holds_a_1(tmp_path: Path) -> None:
    for name, ids in {"a": [0, 255], "b": [0, 0], "c": [0, 1], "d": [255, 255]}.items():
        for split in ("train", "val"):
            write_image(tmp_path / split / "images" / f"{name}.jpg")
            write_label(tmp_path / split / "labels" / f"{name}.png", [ids * 3] * 4)
    (tmp_path / "val" / "labels" / "c.png").write_bytes(b"")  # an error when it is read itself
    assert open_images(folder_config(tmp_path), "train").read(0)[1].max() == VOID
    assert open_images(folder_config(tmp_path), "train").first(1).read(0)[1].max() == VOID
    with pytest.raises(ValueError, match=r"a 0/255 mask.*none of 4 labels .*holds id 1; .*label_ids=\[0,1\]"):
        open_images(folder_config(tmp_path), "val").read(0)


def test_the_search_for_a_1_runs_once_ends_at_the_first_and_reads_a_bounded_number_of_labels() -> None:
    read_paths: list[Path] = []

    def read(path: Path) -> Labels:
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
