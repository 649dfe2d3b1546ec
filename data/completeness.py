"""Images that Pillow takes for whole although a part of their pixels is missing."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

UNWRITTEN_BYTES = 256  # zeros at the end of a file, of which no compressed picture has so many
END_OF_JPEG = b"\xff\xd9"
HEADER_BYTES = 33  # of a PNG: signature and IHDR
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG's kinds of colour


def check_complete(image: Image.Image, path: Path) -> None:
    """Raises OSError for a decoded image of which a part was not in the file.

    A power failure leaves files whose end is zeros; JPEG and WebP have no checksum, and zeros decode to something. A
    PNG has checksums, but Pillow leaves rows black that its writer left out.
    """
    if image.format in ("JPEG", "MPO", "WEBP"):
        _refuse_unwritten_end(path)
    elif image.format == "PNG" and not _last_rows(image).any(axis=-1).all():  # what is missing is 0
        _refuse_missing_rows(path.read_bytes())


def _refuse_unwritten_end(path: Path) -> None:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - UNWRITTEN_BYTES))
        if any(file.read()):
            return
        file.seek(0)
        if file.read().rstrip(b"\0").endswith(END_OF_JPEG):  # cameras fill up with zeros after it
            return
    raise OSError("it ends in zeros: its end was never written")


def _last_rows(image: Image.Image) -> NDArray[Any]:
    """Of an interlaced image the last pass has every second row."""
    rows = np.asarray(image.crop((0, max(0, image.height - 2), image.width, image.height)))
    return rows.reshape(len(rows), -1)


def _refuse_missing_rows(content: bytes) -> None:
    """Unpack what a PNG holds, without keeping it, and count."""
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    bits = content[24] * CHANNELS[content[25]]
    parts = ADAM7 if content[28] else [(0, 0, 1, 1)]
    required = sum(_bytes(width - column, height - row, down, across, bits) for row, column, down, across in parts)
    inflater, num_bytes = zlib.decompressobj(), 0
    for piece in _packed(content):
        while piece and num_bytes < required:
            num_bytes += len(inflater.decompress(piece, 1 << 20))
            piece = inflater.unconsumed_tail
    if num_bytes < required:
        raise OSError(f"its rows take {required} bytes, {num_bytes} are there")


def _bytes(width: int, height: int, down: int, across: int, bits: int) -> int:
    """Of every so manieth pixel and row, each row with the byte of its filter."""
    columns, rows = -(-width // across), -(-height // down)
    return rows * (1 + -(-columns * bits // 8)) if columns > 0 and rows > 0 else 0


def _packed(content: bytes) -> list[bytes]:
    """The IDAT chunks of a PNG that has been decoded."""
    chunks, at = [], HEADER_BYTES
    while at + 8 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] == b"IDAT":
            chunks.append(content[at + 8 : at + 8 + length])
        at += length + 12
    return chunks
