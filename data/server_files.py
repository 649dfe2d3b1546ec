"""What was written for an evaluation server, read again: every file of a folder or an archive against the images.

An archive may be anybody's: nothing is extracted, no file is read beyond MAX_FILE_BYTES, and no map is decoded whose
size is not its image's.
"""

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from configs.errors import DamagedFileError
from data.dataset import SAMPLE_HINT, FileSet
from data.files import files_below
from data.labels import VOID, ranges
from data.names import readable
from data.pixels import DECODING_ERRORS
from data.servers import RESULTS, Server

MAX_FILE_BYTES = 64 * 2**20  # of a label map; one of 2048x1024 has 0.1 MB
PNG_END = b"IEND\xaeB`\x82"  # name and checksum of the last chunk
LARGEST_TRAIN_ID = 18  # of Cityscapes
ARCHIVE_SUFFIXES = (".zip", ".tgz", ".tar.gz", ".tar")
ARCHIVE_ERRORS = (OSError, EOFError, RuntimeError, ValueError, zlib.error, tarfile.TarError, zipfile.BadZipFile)

Size = tuple[int, int]  # width, height


class File(NamedTuple):
    """A file below a folder or in an archive; the content is cut behind MAX_FILE_BYTES."""

    path: str
    content: bytes


def sizes_by_name(images: FileSet) -> dict[str, Size]:
    """Name -> width and height of every image, from the files' headers. Raises DamagedFileError."""
    sizes = {}
    for index, pair in enumerate(images.pairs):
        try:
            with Image.open(pair.image) as image:
                sizes[images.name(index)] = image.size
        except (*DECODING_ERRORS, Image.DecompressionBombError) as error:
            raise DamagedFileError(f"{readable(pair.image)}: {readable(error)}; {SAMPLE_HINT}") from error
    return sizes


def verify(server: Server, split: str, sizes: Mapping[str, Size], place: Path) -> list[str]:
    """All that is wrong with an archive, or with the label maps and the archive below a folder; empty: nothing."""
    if place.is_file():
        return _in_archive(server, split, sizes, place)
    ours = place / server.archive.format(split=split)
    others = sorted(path for path in place.iterdir() if path.name.lower().endswith(ARCHIVE_SUFFIXES))
    archives = [ours] if ours.is_file() else others
    problems = list(_problems(server, split, sizes, _files_below(place)))
    for archive in archives:
        problems += _in_archive(server, split, sizes, archive)
    if not archives:
        problems.append(f"{readable(ours)} is missing, the archive to upload")
    return problems


def _in_archive(server: Server, split: str, sizes: Mapping[str, Size], archive: Path) -> list[str]:
    name = readable(archive.name)
    try:
        files = _zipped(archive) if server.is_zip else _tarred(archive)
        return [f"{name}: {problem}" for problem in _problems(server, split, sizes, files)]
    except ARCHIVE_ERRORS as error:
        kind = "zip file" if server.is_zip else "gzipped tar file (.tgz)"
        return [f"{name}: cannot be read as a {kind}, which the server requires ({readable(error)})"]


def _files_below(place: Path) -> Iterator[File]:
    """What lies in `results`, if there is such a folder, else in all of it."""
    root = place / RESULTS if (place / RESULTS).is_dir() else place
    for _, files in sorted(files_below(root, ".png").items()):
        for file in files:
            if file.is_file():
                with file.open("rb") as content:
                    yield File(file.relative_to(place).as_posix(), content.read(MAX_FILE_BYTES + 1))


def _zipped(archive: Path) -> Iterator[File]:
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            if not entry.is_dir():
                with packed.open(entry) as content:
                    yield File(_normal(entry.filename), content.read(MAX_FILE_BYTES + 1))


def _tarred(archive: Path) -> Iterator[File]:
    with tarfile.open(archive, "r:gz") as tar:
        for entry in tar:
            content = tar.extractfile(entry) if entry.isreg() else None
            if content is not None:
                yield File(_normal(entry.name), content.read(MAX_FILE_BYTES + 1))
            elif not entry.isdir():
                yield File(_normal(entry.name), b"")  # a link or a device


def _normal(path: str) -> str:
    """Without the "./" that `tar czf FILE ./results` puts before every path."""
    return PurePosixPath(path).as_posix()


def _problems(server: Server, split: str, sizes: Mapping[str, Size], files: Iterator[File]) -> Iterator[str]:
    found: dict[str, str] = {}
    unexpected: list[str] = []
    for path, content in files:
        name = server.name_in(path, split)
        if name is None or name not in sizes:
            unexpected.append(path)
        elif name in found:
            yield f"{readable(path)}: a second label map of image {name}, beside {readable(found[name])}"
        else:
            found[name] = path
            fault = _fault(server, content, sizes[name])
            if fault:
                yield f"{readable(path)}: {fault}"
    missing = [server.path(name, split) for name in sizes if name not in found]
    if missing:
        yield f"{_listed(missing)} missing; each of the {len(sizes)} images of split {split} must have a label map"
    if unexpected:
        yield f"{_listed(unexpected)} too many: no label map of an image of split {split}"


def _listed(paths: Sequence[str]) -> str:
    is_one = len(paths) == 1
    first = readable(paths[0])
    return f"{first} is" if is_one else f"{len(paths)} files, the first is {first}, are"


def _fault(server: Server, content: bytes, size: Size) -> str:
    """What is wrong with a label map; empty if nothing is."""
    if len(content) > MAX_FILE_BYTES:
        return f"larger than {MAX_FILE_BYTES // 2**20} MB; no label map is"
    if not content:
        return "the file is empty, or a link"
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.format != "PNG":
                return f"a {image.format} file; PNG is required"
            if image.size != size:
                return "{}x{}, but its image is {}x{} (width x height)".format(*image.size, *size)
            fault = _wrong_kind(server, image) or _wrong_ids(server, np.asarray(image))
        with Image.open(io.BytesIO(content)) as image:
            image.verify()  # checksums, which decoding alone forgives
        return fault if PNG_END in content else "cut off: the end of the PNG file is missing"
    except (*DECODING_ERRORS, Image.DecompressionBombError) as error:
        return f"cannot be decoded ({readable(error)})"


def _wrong_kind(server: Server, image: Image.Image) -> str:
    if server.palette is None:
        return "" if image.mode in ("L", "P") else f"of kind {image.mode}; one channel of labelIds is required"
    if image.mode != "P":
        return f"of kind {image.mode}; a PNG with a palette (kind P) is required, its pixels the class ids"
    required = np.array(server.palette[: server.classes.num_classes]).ravel().tolist()
    colors = (image.getpalette() or [])[: len(required)]  # some programs leave out those behind the last that occurs
    if colors != required[: len(colors)]:
        return "its palette is not VOC's: (0, 0, 0), (128, 0, 0), (0, 128, 0), ..."
    return ""


def _wrong_ids(server: Server, ids_HW: NDArray[np.uint8]) -> str:
    counts = np.bincount(ids_HW.ravel(), minlength=256)
    present = np.flatnonzero(counts)
    wrong = np.setdiff1d(present, server.ids).tolist()
    if not wrong:
        return ""
    looks_like = ""
    if server.data_name == "cityscapes" and present.max() <= LARGEST_TRAIN_ID:
        looks_like = "; these look like trainIds, and labelIds are required: road is 7, not 0"
    if wrong == [VOID]:
        looks_like = "; 255 is void, which is no answer"
    return (
        f"ids {ranges(wrong)} ({counts[wrong].sum()} px) are not among those that are scored, "
        f"{ranges(sorted(server.ids))}{looks_like}"
    )
