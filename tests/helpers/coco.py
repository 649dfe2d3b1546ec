"""COCO in small: a folder as it is unpacked, with annotations of every kind that COCO has."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.helpers.pictures import noise, write_pixels

HEIGHT, WIDTH = 40, 60
CATEGORIES = {1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 9: "boat"}
CATEGORIES |= {16: "bird", 17: "cat", 18: "dog", 19: "horse", 20: "sheep", 21: "cow", 44: "bottle", 52: "banana"}
CATEGORIES |= {62: "chair", 63: "couch", 64: "potted plant", 67: "dining table", 72: "tv", 90: "toothbrush"}

Annotation = Mapping[str, Any]


def annotation(key: int, image: int, category: int, segmentation: Any, crowd: int = 0) -> dict[str, Any]:
    """One as COCO writes it. The area is wrong, as in files that were made by others: nothing may rely on it."""
    return {
        "segmentation": segmentation,
        "area": 1.0,
        "iscrowd": crowd,
        "image_id": image,
        "bbox": [0, 0, 1, 1],
        "category_id": category,
        "id": key,
    }


def box(left: float, top: float, right: float, bottom: float) -> list[float]:
    """A rectangle as a polygon."""
    return [left, top, right, top, right, bottom, left, bottom]


def write_coco(root: Path, split: str, annotations: Sequence[Annotation], images: Sequence[int]) -> Path:
    """The images and instances_<split>.json, whose path is returned."""
    prefix = f"COCO_{split}_" if split.endswith("2014") else ""
    entries = []
    for key in images:
        name = f"{prefix}{key:012d}.jpg"
        write_pixels(root / split / name, noise(HEIGHT, WIDTH, key))
        entries.append({"license": 1, "file_name": name, "height": HEIGHT, "width": WIDTH, "id": key})
    content = {
        "info": {"description": "COCO in small, d\u00e9j\u00e0 vu"},
        "licenses": [],
        "images": entries,
        "annotations": list(annotations),
        "categories": [{"supercategory": "any", "id": key, "name": name} for key, name in CATEGORIES.items()],
    }
    path = root / "annotations" / f"instances_{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False))
    return path
