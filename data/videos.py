"""Videos, frame by frame, through OpenCV: never more than one frame is in memory."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.errors import DamagedFileError, UserError
from data.names import readable
from data.photographs import INPUT_HINT
from data.pixels import MAX_PIXELS, is_pipe_or_device

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what FFmpeg prints about damaged files, we say

import cv2

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)

Frame = NDArray[np.uint8]  # HW3, RGB

CODEC = cv2.VideoWriter.fourcc(*"mp4v")  # MPEG-4 part 2, the one that OpenCV's own FFmpeg always has
LONGEST_PREFIX = 50  # characters of its target's name in a temporary file's: file systems allow 255 bytes in all
UNKNOWN_RATE = 25.0  # frames a second where the file tells none
# Some formats do not count their frames, and the length and rate that FFmpeg goes by are rounded.
LEAST_READ, UNCOUNTED = 0.99, 2


class Video:
    """A video file, which is opened. Raises DamagedFileError where OpenCV knows no way to read it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if is_pipe_or_device(path):
            raise DamagedFileError(f"{readable(path)}: a pipe or a device, where a video is required; {INPUT_HINT}")
        self._capture = cv2.VideoCapture(_opencv_path(path), cv2.CAP_FFMPEG)
        if not self._capture.isOpened():
            raise DamagedFileError(f"{readable(path)}: {self._complaint()}; {INPUT_HINT}")
        width, height = (self._get(key) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > MAX_PIXELS:
            raise UserError(f"{readable(path)}: frames of {width:.0f}x{height:.0f} are too large; {INPUT_HINT}")
        self.num_frames = max(0, round(self._get(cv2.CAP_PROP_FRAME_COUNT)))  # as the file claims; 0: it does not
        self.frames_per_s = self._get(cv2.CAP_PROP_FPS) or UNKNOWN_RATE

    def frames(self) -> Iterator[Callable[[], Frame]]:
        """For every frame what decodes it, upright. Raises DamagedFileError where the file breaks off."""
        num_read = 0
        try:
            while self._capture.grab():
                yield self._retrieve
                num_read += 1
        finally:
            self._capture.release()
        if num_read < min(LEAST_READ * self.num_frames, self.num_frames - UNCOUNTED) or not num_read:
            raise DamagedFileError(
                f"{readable(self.path)}: damaged: {num_read} of {self.num_frames} frames can be read; {INPUT_HINT}"
            )

    def _retrieve(self) -> Frame:
        is_whole, frame_HW3 = self._capture.retrieve()
        if not is_whole:
            raise DamagedFileError(f"{readable(self.path)}: a frame cannot be decoded; {INPUT_HINT}")
        return cv2.cvtColor(frame_HW3, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)

    def _get(self, key: int) -> float:
        value = self._capture.get(key)
        return value if np.isfinite(value) and value > 0 else 0.0

    def _complaint(self) -> str:
        if self.path.is_dir():
            return "a folder, where a video is required"
        if not self.path.exists():
            return "there is no such file"
        return "not a video that OpenCV can read" if self.path.stat().st_size else "the file is empty (0 bytes)"


@contextmanager
def replacing_video(path: Path, frames_per_s: float) -> Iterator[Callable[[Frame], None]]:
    """A function that appends a frame; all are of one size, even in both axes.

    The file takes the place of `path` when the block ends without an error. Raises OSError, and UserError for a name
    that OpenCV cannot open.
    """
    temporary = path.with_name(f".{path.stem[:LONGEST_PREFIX]}.{os.getpid()}.tmp{path.suffix}")
    target, writer, num_frames = _opencv_path(temporary), cv2.VideoWriter(), 0

    def append(frame_HW3: Frame) -> None:
        nonlocal num_frames
        size = (frame_HW3.shape[1], frame_HW3.shape[0])
        if not writer.isOpened() and not writer.open(target, cv2.CAP_FFMPEG, CODEC, frames_per_s, size):
            raise OSError(f"OpenCV opens no file for a video of {size[0]}x{size[1]}")
        writer.write(cv2.cvtColor(frame_HW3, cv2.COLOR_RGB2BGR))
        num_frames += 1

    try:
        yield append
        writer.release()
        _require_whole(temporary, num_frames)
        temporary.replace(path)
    finally:
        writer.release()
        temporary.unlink(missing_ok=True)


def _opencv_path(path: Path) -> str:
    """A path that OpenCV can open, whose program dies of a name that is not UTF-8.

    It is absolute: FFmpeg takes what stands before a colon for a protocol. Raises UserError.
    """
    absolute = os.path.abspath(path)
    try:
        absolute.encode()
    except UnicodeEncodeError:
        raise UserError(
            f"{readable(path)}: the name is not UTF-8, which OpenCV requires of videos; rename it"
        ) from None
    return absolute


def _require_whole(path: Path, num_frames: int) -> None:
    """OpenCV does not tell when a disk is full."""
    try:
        if Video(path).num_frames == num_frames:
            return
    except DamagedFileError:
        pass
    raise OSError("frames are missing in it; is the disk full?")
