"""Images out of numbers, in memory and as files."""

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base

Pixels = NDArray[np.uint8]


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    """RGB (height, width, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_pixels(path: Path, pixels: Pixels) -> None:
    """A file of the kind that its suffix says, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def orientation_tag(orientation: int) -> Image.Exif:
    """The EXIF block of a photograph that says which way is up; 1 is upright, 1 to 8 have a meaning."""
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    return exif


def png(path: Path, width: int, height: int, depth: int, color: int, rows: bytes, interlaced: bool = False) -> Path:
    """A PNG out of its unpacked rows, each with its filter's byte."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path
