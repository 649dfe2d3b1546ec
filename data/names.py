"""Names of files: without what follows their common part, and as people can read them."""

import os
import re

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")
_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def without_suffix(name: str, suffix: str) -> str:
    """The common part of a file's name; with no suffix given, any image extension is dropped. Case does not matter."""
    if suffix:
        common = name[: -len(suffix)]
        return common if name[len(common) :].lower() == suffix.lower() else name
    stem, extension = os.path.splitext(name)
    return stem if extension.lower() in IMAGE_SUFFIXES else name


def readable(name: object) -> str:
    """A name or path that can be printed, hashed and kept as text, whatever bytes the file system holds.

    Bytes that are not UTF-8 (Python has them as lone surrogates), control characters and line ends become escapes, such
    as \\xe9 and \\n. To open the file, take the path itself.
    """
    return _NO_TEXT.sub(_escaped, str(name))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # os.fsdecode: a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return match[0].encode("unicode_escape").decode() if code < 0x80 else f"\\u{code:04x}"
