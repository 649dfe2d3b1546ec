"""Videos through OpenCV, frame by frame."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.videos import Video, replacing_video

COLORS = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (220, 220, 40)]


def write_video(path: Path, size: tuple[int, int] = (64, 48), num_frames: int = 4, rate: float = 12.5) -> None:
    """Frames of one colour each."""
    with replacing_video(path, rate) as append:
        for position in range(num_frames):
            append(np.full((size[1], size[0], 3), COLORS[position % len(COLORS)], dtype=np.uint8))


def test_frames_come_back_in_order_colour_and_rate(tmp_path: Path) -> None:
    write_video(tmp_path / "film.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]
    video = Video(tmp_path / "film.mp4")
    assert (video.num_frames, video.frames_per_s) == (4, 12.5)
    frames = [decode() for decode in video.frames()]
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 4
    for frame, color in zip(frames, COLORS, strict=True):
        assert np.abs(frame.mean((0, 1)) - color).max() < 6


@pytest.mark.parametrize(
    ("content", "message"), [(b"", r"the file is empty \(0 bytes\)"), (b"no film", "not a video that OpenCV can read")]
)
def test_what_is_no_video_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "film.mp4").write_bytes(content)
    with pytest.raises(ValueError, match=rf"film\.mp4: {message}; replace the file") as error:
        Video(tmp_path / "film.mp4")
    assert getattr(error.value, "exit_code", 0) == 3


def test_a_pipe_is_refused_before_anything_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "film.mp4")
    with pytest.raises(ValueError, match=r"film\.mp4: a pipe or a device, where a video is required"):
        Video(tmp_path / "film.mp4")


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    path = tmp_path / f"{'n' * 251}.mp4"
    write_video(path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_video_that_breaks_off_gives_what_it_has_and_an_error(tmp_path: Path) -> None:
    """Motion JPEG: every frame stands alone, and the file's head counts them all."""
    writer = cv2.VideoWriter(str(tmp_path / "film.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for seed in range(40):
        writer.write(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8))
    writer.release()
    content = (tmp_path / "film.avi").read_bytes()
    (tmp_path / "film.avi").write_bytes(content[: len(content) // 2])
    num_read = 0
    with pytest.raises(ValueError, match=r"damaged: \d+ of 40 frames can be read"):
        for decode in Video(tmp_path / "film.avi").frames():
            assert decode().shape == (48, 64, 3)
            num_read += 1
    assert 10 < num_read < 30


def test_a_video_that_is_not_finished_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing_video(tmp_path / "film.mp4", 25) as append:
        append(np.zeros((48, 64, 3), dtype=np.uint8))
        raise KeyboardInterrupt
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("film.mp4", "old")]


def test_a_video_that_lacks_frames_takes_no_place(tmp_path: Path) -> None:
    """No codec has frames of one pixel; a full disk looks the same."""
    with pytest.raises(OSError), replacing_video(tmp_path / "film.mp4", 25) as append:
        append(np.zeros((1, 1, 3), dtype=np.uint8))
    assert not list(tmp_path.iterdir())


def test_a_name_that_opencv_would_die_of_is_refused(tmp_path: Path) -> None:
    """Not UTF-8, as old archives have them."""
    path = tmp_path / os.fsdecode(b"film\xe9.mp4")
    path.touch()
    for use in (Video, lambda path: replacing_video(path, 25).__enter__()):
        with pytest.raises(ValueError, match=r"film.*xe9.*mp4.*: the name is not UTF-8"):
            use(path)


def test_a_colon_in_a_name_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(Path("data:film.mp4"))
    assert Video(Path("data:film.mp4")).num_frames == 4
