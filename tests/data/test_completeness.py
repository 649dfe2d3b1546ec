"""A picture of which a part is missing is refused, although Pillow reads it without a word."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs.errors import DamagedFileError
from data.dataset import read_image
from tests.helpers.pictures import noise, png, write_pixels


def with_unwritten_end(path: Path, share: float) -> None:
    content = path.read_bytes()
    kept = int(len(content) * share)
    path.write_bytes(content[:kept] + bytes(len(content) - kept))


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_a_file_whose_end_was_never_written_is_refused(tmp_path: Path, suffix: str) -> None:
    """As after a power failure: of its full length, and zeros from somewhere on."""
    path = tmp_path / f"image{suffix}"
    for percent in range(10, 95, 5):
        write_pixels(path, noise(90, 120, seed=percent))
        with_unwritten_end(path, percent / 100)
        with pytest.raises(DamagedFileError, match=rf"image\{suffix}: .*(never written|cannot be decoded)"):
            read_image(path)


def test_zeros_after_the_end_of_a_jpeg_are_a_camera_s(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    Image.fromarray(noise(40, 50)).save(path, quality=95)
    before = read_image(path)
    path.write_bytes(path.read_bytes() + bytes(5000))
    assert np.array_equal(read_image(path), before)


@pytest.mark.parametrize("num_rows", [1, 29])
def test_a_png_of_fewer_rows_than_it_says_is_refused(tmp_path: Path, num_rows: int) -> None:
    """29 of 30: the last one alone is missing."""
    rows = b"".join(b"\0" + row.tobytes() for row in noise(num_rows, 20))
    with pytest.raises(DamagedFileError, match=rf"rows take {30 * 61} bytes, {num_rows * 61} are there"):
        read_image(png(tmp_path / "rows.png", 20, 30, 8, 2, rows))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_png_that_ends_in_black_rows_is_read(tmp_path: Path, mode: str) -> None:
    for size in ((1, 1), (13, 7), (300, 9)):
        image = Image.new(mode, size)
        if mode == "P":
            image.putpalette(bytes(3 * 256))
        image.save(tmp_path / "black.png")
        assert read_image(tmp_path / "black.png").shape == (size[1], size[0], 3)


def test_the_passes_of_an_interlaced_png_are_counted(tmp_path: Path) -> None:
    """Adam7 makes of 24x24 gray pixels, of which each row has a byte for its filter, seven pictures."""
    num_bytes = 3 * 4 + 3 * 4 + 3 * 7 + 6 * 7 + 6 * 13 + 12 * 13 + 12 * 25
    image = read_image(png(tmp_path / "whole.png", 24, 24, 8, 0, bytes(num_bytes), interlaced=True))
    assert image.shape == (24, 24, 3) and not image.any()
    less = png(tmp_path / "less.png", 24, 24, 8, 0, bytes(num_bytes - 25), interlaced=True)
    with pytest.raises(DamagedFileError, match=rf"rows take {num_bytes} bytes, {num_bytes - 25} are there"):
        read_image(less)
