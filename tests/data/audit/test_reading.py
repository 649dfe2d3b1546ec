"""Every sample of a split, read in other processes."""

from pathlib import Path

import cv2
import numpy as np

from data.audit.reading import read_all
from data.build import open_images
from tests.helpers.data_sets import write_folder


def test_a_process_that_has_used_the_threads_of_opencv_still_reads_in_others(tmp_path: Path) -> None:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(4)
    try:
        cv2.GaussianBlur(np.zeros((1024, 1024, 3), np.uint8), (0, 0), 5)  # starts them
        images = open_images(write_folder(tmp_path), "train")
        records = read_all(images, processes=2)
        assert [record.image.size_px for record in records if record.image] == [(4, 6), (4, 6)]
        assert cv2.getNumThreads() == 4  # as before
    finally:
        cv2.setNumThreads(threads)
