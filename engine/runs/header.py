"""What every checkpoint of a run says of itself, so that it needs no other file: plain data, typed."""

import platform
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "torchvision", "hydra-core", "albumentations", "numpy", "opencv-python-headless", "pillow")


@dataclass(frozen=True)
class ClassTable:
    """Names and colours (RGB, 0..255) of the classes, in the order of their ids."""

    names: list[str]
    palette: list[list[int]]


@dataclass(frozen=True)
class DataDigest:
    """Each of the training set, then of the validation set: what tells whether they are the same at another time."""

    samples: list[str]  # SHA-256 of the samples' names in their order
    sizes: list[int]  # number of samples
    files: list[str]  # SHA-256 of what the files hold, as far as a quick look tells


@dataclass(frozen=True)
class ScheduleFigures:
    """What the context module is, sees and costs; for one crop of the stage that trains it first."""

    dilations: list[int]
    widths: list[int]
    field_cells: int
    field_px: int
    holes_per_axis: int
    gcd: int
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class RunHeader:
    """`config`: all settings; of finished stages those that they were trained with.

    `history` has an entry for every sitting after the first. `frontend_key` names the front end that this run may leave
    for other runs; None where it leaves none.
    """

    config: dict[str, Any]
    classes: ClassTable
    runtime: dict[str, str | int]  # device, precision, threads
    versions: dict[str, str]  # of this project, Python and the libraries
    data: DataDigest
    geometry: Mapping[str, object]  # fields, stride and margin of the network
    schedule: ScheduleFigures | None = None  # None: no stage trains a context module
    history: list[dict[str, Any]] = field(default_factory=list)
    frontend_key: str | None = None
    class_pixels: list[int] = field(default_factory=list)  # of the training labels; empty where nothing needs them
    # Of the stages whose loss.class_weights is a rule: the numbers that it gave when the run began.
    class_weights: dict[str, list[float]] = field(default_factory=dict)

    def to_plain(self) -> dict[str, Any]:
        """Nested dicts, lists and scalars. Of the optional parts, those that the run does not have have no key."""
        absent = {
            "schedule": self.schedule is None,
            "history": not self.history,
            "frontend_key": not self.config["cache"]["frontend"],
            "class_pixels": not self.class_pixels,
            "class_weights": not self.class_weights,
        }
        return {key: value for key, value in asdict(self).items() if not absent.get(key)}


def versions() -> dict[str, str]:
    """Of this project as pyproject.toml says, which need not be installed; of Python and of the libraries."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    libraries = {name: version(name) for name in PACKAGES}
    return {project["name"]: project["version"], "python": platform.python_version(), **libraries}
