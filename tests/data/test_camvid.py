"""CamVid: the three forms in which it is handed on."""

from pathlib import Path

import numpy as np
import pytest

from data.build import open_images
from data.camvid import COLORS
from data.labels import CAMVID, VOID
from tests.helpers.data_sets import Writer, write_camvid, write_camvid_original, write_camvid_tutorial, write_label


@pytest.mark.parametrize("write", [write_camvid, write_camvid_tutorial])
def test_camvid_ids_become_the_authors_order(write: Writer, tmp_path: Path) -> None:
    config = write(tmp_path)
    for path in tmp_path.rglob("*.png"):
        write_label(path, np.arange(24, dtype=np.uint8).reshape(4, 6) % 12)
    label = open_images(config, "train").read(0)[1]
    names = " ".join(CAMVID.names[i] for i in label.ravel()[:11])
    assert names == "Sky Building Pole Road Sidewalk Tree Sign Fence Car Pedestrian Bicyclist"
    assert label.ravel()[11] == VOID


def test_camvid_colours_are_grouped_to_11_classes(tmp_path: Path) -> None:
    config = write_camvid_original(tmp_path)
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


def test_the_original_camvid_without_lists_names_the_list_to_write(tmp_path: Path) -> None:
    config = write_camvid_original(tmp_path)
    (tmp_path / "val.txt").unlink()
    with pytest.raises(ValueError, match=r"val\.txt.*one a line"):
        open_images(config, "val")
