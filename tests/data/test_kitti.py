"""KITTI with the labels of the authors."""

from pathlib import Path

import numpy as np

from data.build import open_images
from data.labels import VOID
from tests.helpers.data_sets import write_kitti, write_label


def test_kitti_ids_stand_in_the_authors_order_with_11_and_255_void(tmp_path: Path) -> None:
    config = write_kitti(tmp_path)
    ids = np.array([list(range(12)), [255] * 12], dtype=np.uint8).reshape(4, 6)
    for path in tmp_path.rglob("*.png"):
        write_label(path, ids)
    expected = np.where(ids >= 11, VOID, ids)
    assert np.array_equal(open_images(config, "train").read(0)[1], expected)
