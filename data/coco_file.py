"""An instances_*.json of COCO, opened lazily: one pass finds where every annotation lies, a sample reads its own.

As Python objects the annotations of train2014 would be gigabytes in each process that reads samples; where they lie is
a few megabytes, which the processes share.
"""

import json
import mmap
import re
from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.errors import DamagedFileError
from data.files import unreadable
from data.names import readable

MAX_BYTES = 4 * 10**9  # COCO's own files have half a GB
MAX_PIXELS = 10**8  # of an image; COCO's own have 640x640 at most
FILE_HINT = "fetch it again from https://cocodataset.org, or correct it"
SECTIONS = ("images", "annotations", "categories")
_SPACE = re.compile(r"[ \t\r\n]*")


class CocoImage(NamedTuple):
    file_name: str
    height: int
    width: int


class Places(NamedTuple):
    """Of the annotations, sorted by image: the image, the category, whether it is a crowd, the first and last byte."""

    images: NDArray[np.int64]
    categories: NDArray[np.int64]
    crowds: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]


@dataclass(frozen=True)
class CocoFile:
    """`categories` are names by id, `images` are by id, too."""

    path: Path
    images: Mapping[int, CocoImage]
    categories: Mapping[int, str]
    places: Places

    def with_categories(self, names: Collection[str]) -> "CocoFile":
        """Only the annotations of these categories, and only the images that have one that is no crowd.

        Raises DamagedFileError where the file has no such category.
        """
        categories = {key: name for key, name in self.categories.items() if name in names}
        absent = sorted({*names} - {*categories.values()})
        if absent or len(categories) > len(names):
            found = f"{', '.join(absent)} are missing" if absent else "one is there twice"
            raise damaged(self.path, f"each category of COCO once is required, and {found}")
        is_kept = np.isin(self.places.categories, list(categories))
        kept_images = np.unique(self.places.images[is_kept & (self.places.crowds == 0)])
        images = {key: self.images[key] for key in kept_images.tolist()}
        return CocoFile(self.path, images, categories, Places(*(values[is_kept] for values in self.places)))

    def annotations(self, image: int) -> list[dict[str, Any]]:
        """Those of an image, as they stand in the file. Raises DamagedFileError where it has changed meanwhile."""
        first, last = np.searchsorted(self.places.images, [image, image + 1]).tolist()
        spans = zip(self.places.begins[first:last].tolist(), self.places.ends[first:last].tolist(), strict=True)
        found = []
        try:
            with self.path.open("rb") as file:
                for begin, end in spans:
                    file.seek(begin)
                    found.append(json.loads(file.read(end - begin)))
        except OSError as error:
            raise unreadable(self.path, error) from error
        except ValueError:
            found.append(None)
        if not all(isinstance(each, dict) and each.get("image_id") == image for each in found):
            raise damaged(self.path, "it has changed since it was opened: begin anew")
        return found


def damaged(path: Path, complaint: object) -> DamagedFileError:
    return DamagedFileError(f"{readable(path)}: {readable(complaint)}; {FILE_HINT}")


def open_coco_file(path: Path) -> CocoFile:
    """Reads the file once, front to back. Raises DamagedFileError for what is no such file."""
    try:
        with path.open("rb") as file:
            if path.stat().st_size > MAX_BYTES:
                raise ValueError(f"larger than {MAX_BYTES / 1e9:g} GB")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                # A character for each byte, so that places in the text are places in the file.
                return _indexed(path, str(content, "latin-1"))
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise damaged(path, f"not the annotations of COCO ({type(error).__name__}: {error})") from error


def _indexed(path: Path, text: str) -> CocoFile:
    images: dict[int, CocoImage] = {}
    categories: dict[int, str] = {}
    rows = array("q")
    for section, begin, end, value in _elements(text):
        if section == "annotations":
            rows.extend((value["image_id"], value["category_id"], value.get("iscrowd", 0), begin, end))
            continue
        entry = json.loads(text[begin:end].encode("latin-1"))  # its names may be UTF-8
        key = _whole(entry["id"])
        if key in (images if section == "images" else categories):
            raise ValueError(f"two {section} of id {key}")
        if section == "images":
            images[key] = _image(entry)
        else:
            categories[key] = str(entry["name"])
    places = Places(*np.array(rows, dtype=np.int64).reshape(-1, len(Places._fields)).T)
    unknown = {*places.images.tolist()} - images.keys()
    if unknown:
        raise ValueError(f"annotations of image {min(unknown)}, which is not among the {len(images)} images")
    order = np.argsort(places.images, kind="stable")
    return CocoFile(path, images, categories, Places(*(values[order] for values in places)))


def _elements(text: str) -> Iterator[tuple[str, int, int, Any]]:
    """Of each element of the lists in SECTIONS: the section, first and last place in the text, and the value.

    Other sections are parsed and dropped. Raises ValueError for what is no JSON.
    """
    scanner = _Scanner(text)
    scanner.take("{")
    for _ in scanner.separated("}"):
        section = scanner.value()[2]
        scanner.take(":")
        if section in SECTIONS:
            scanner.take("[")
            for _ in scanner.separated("]"):
                yield section, *scanner.value()
        else:
            scanner.value()
    if scanner.next_sign():
        raise ValueError(f"more follows after the end, at byte {scanner.place}")


class _Scanner:
    """Goes through a JSON text element by element; Python's own parser reads the elements.

    `place` is where the next sign or value begins, spaces passed.
    """

    def __init__(self, text: str) -> None:
        self.text, self.place = text, 0
        self.decoder = json.JSONDecoder(parse_constant=_refuse)
        self._go_to(0)

    def next_sign(self) -> str:
        """Empty at the end."""
        return self.text[self.place : self.place + 1]

    def take(self, signs: str) -> str:
        sign = self.next_sign()
        if not sign or sign not in signs:
            raise ValueError(f"{' or '.join(signs)} is required at byte {self.place}, got {sign or 'the end'}")
        self._go_to(self.place + 1)
        return sign

    def value(self) -> tuple[int, int, Any]:
        """Where the next value begins and ends, and the value."""
        begin = self.place
        value, end = self.decoder.raw_decode(self.text, begin)
        self._go_to(end)
        return begin, end, value

    def separated(self, close: str) -> Iterator[None]:
        """Once for each element before `close`, which is taken as well."""
        if self.next_sign() == close:
            self.take(close)
            return
        yield
        while self.take("," + close) != close:
            yield

    def _go_to(self, place: int) -> None:
        space = _SPACE.match(self.text, place)
        assert space is not None, "no space is one, too"
        self.place = space.end()


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} where a whole number is required")
    return value


def _image(entry: Mapping[str, Any]) -> CocoImage:
    name, height, width = str(entry["file_name"]), _whole(entry["height"]), _whole(entry["width"])
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise ValueError(f"file_name {name!r}: the name of a file in the folder of the images is required")
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"{name}: {width}x{height} pixels; from 1 to {MAX_PIXELS} are required")
    return CocoImage(name, height, width)
