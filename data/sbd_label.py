"""A label of the Semantic Boundaries Dataset: a file of MATLAB, unpacked no further than a label goes."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np

from configs.errors import DamagedFileError
from data.dataset import SAMPLE_HINT
from data.labels import Labels
from data.names import readable
from data.pixels import is_pipe_or_device

MOST_BYTES = 2**24  # of a file, and of what it unpacks to; SBD's own labels have 500x500 pixels of one byte
HEADER_BYTES, TAG_BYTES = 128, 8  # of the file; of each of its elements, type and length
BYTE_ORDERS = {b"IM": "<", b"MI": ">"}  # the header's last two bytes
COMPRESSED = 15  # type of an element that holds another one, deflated


def read_sbd(path: Path) -> Labels:
    """The class ids (SBD marks no void border). Raises DamagedFileError."""
    from scipy.io import loadmat  # for this one file kind

    try:
        segmentation: Labels = loadmat(io.BytesIO(_unpacked(path)))["GTcls"][0]["Segmentation"][0]
        if segmentation.dtype != np.uint8 or segmentation.ndim != 2:
            raise TypeError(f"{segmentation.ndim} axes of {segmentation.dtype} where 2 of uint8 are required")
        return segmentation
    except Exception as error:  # scipy raises almost anything for a file that is not MATLAB's
        raise DamagedFileError(
            f"{readable(path)}: not a label of SBD ({type(error).__name__}: {readable(error)}); {SAMPLE_HINT}"
        ) from error


def _unpacked(path: Path) -> bytes:
    """The file with its compressed elements unpacked: scipy would unpack them whatever their size."""
    if is_pipe_or_device(path):
        raise ValueError("a pipe or a device")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"larger than {MOST_BYTES >> 20} MiB")
    content = path.read_bytes()
    order = BYTE_ORDERS.get(content[HEADER_BYTES - 2 : HEADER_BYTES])
    if order is None:
        raise ValueError("no file of MATLAB 5")
    parts, place, num_bytes = [content[:HEADER_BYTES]], HEADER_BYTES, 0
    while place < len(content):
        kind, length = struct.unpack_from(f"{order}II", content, place)
        end = place + TAG_BYTES + length
        if kind == COMPRESSED:
            part = zlib.decompressobj().decompress(content[place + TAG_BYTES : end], MOST_BYTES + 1)
        else:
            part = content[place:end]
        parts.append(part)
        place, num_bytes = end, num_bytes + len(part)
        if num_bytes > MOST_BYTES:
            raise ValueError(f"it unpacks to more than {MOST_BYTES >> 20} MiB")
    return b"".join(parts)
