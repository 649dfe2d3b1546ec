"""What results on disk depend on beside their settings: our own code, and the versions of the libraries."""

import ast
from functools import cache
from hashlib import sha256
from importlib.metadata import version

from configs.files import FOLDER

# Whose bits decide those of the kept maps, and those of a trained front end.
COMPUTING = ("data", "models", "engine/evaluation", "engine/gpu.py", "engine/runtime.py", "assembly/kept_maps.py")
MAPS_CODE = (*COMPUTING, "engine/training/losses.py")
LABELS_CODE = ("data",)
TRAINING_CODE = (
    *COMPUTING,
    "engine/training",
    "engine/process/ranks.py",
    "assembly/feed.py",
    "assembly/class_statistics.py",
)
LIBRARIES = ("torch", "numpy", "pillow", "opencv-python-headless", "albumentations")


@cache
def made_by(code: tuple[str, ...]) -> dict[str, str]:
    """The versions of the libraries, and a SHA-256 of our own code, that results on disk depend on.

    `code` names files and folders of the project. What is hashed is their syntax tree, so that a comment or a line
    break makes nothing stale.
    """
    root, digest = FOLDER.parent, sha256()
    for place in code:
        path = root / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(root).as_posix()} {ast.dump(ast.parse(file.read_text()))}\n".encode())
    return {"code": digest.hexdigest(), **{name: version(name) for name in LIBRARIES}}
