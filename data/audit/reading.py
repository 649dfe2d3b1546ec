"""Every sample of a split, looked at by all cores."""

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from data.audit.sample import SampleRecord, record_of
from data.dataset import ImageSet
from data.parent import end_with_parent

CHUNK = 8  # samples that a process takes at once

# In a process that reads: the set whose samples it is given by their positions. A forked process has it without a
# copy; with every chunk of samples it would be pickled, with the names of all files.
_images: ImageSet


def read_all(images: ImageSet, processes: int) -> list[SampleRecord]:
    """The record of every sample in order, with a bar where there is a terminal.

    Processes and not threads, because Pillow's bound on sizes is a variable of its module. Raises MemoryError where a
    process was killed.
    """
    cv2.meanStdDev(np.zeros((1, 1, 3), np.uint8))  # OpenCV's first call takes long: once, and not in every process
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(max(1, min(processes, len(images))), context, _begin, (images,))
    try:
        records = pool.map(_record, range(len(images)), chunksize=CHUNK)
        bar = tqdm(records, f"reading {images.describe()}", len(images), unit="image", leave=False, disable=None)
        return list(bar)
    except BrokenProcessPool:
        raise MemoryError("a process that reads images was killed") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _record(index: int) -> SampleRecord:
    return record_of(_images, index)


def _begin(images: ImageSet) -> None:
    global _images
    _images = images
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits for us
    Image.MAX_IMAGE_PIXELS = None  # of headers; what is decoded is bounded by data/pixels.py
    cv2.setNumThreads(0)  # 1 would wait for ever for threads that only the parent has
    end_with_parent()


def num_cores() -> int:
    return len(os.sched_getaffinity(0))
