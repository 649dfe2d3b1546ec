"""What data sets would need that nobody has trained on here: fitted laws, far beyond their points, and arithmetic."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.growth import multiply_adds
from benchmarks.laws import Growth, shown_bytes, shown_seconds
from configs.schema import AugmentConfig, ModelConfig, StageConfig
from data.versions import Versions
from models import geometry
from models.cost import map_cells, network_parameters
from models.layers import frontend_layers, layers_of_blocks

# Names of growths.
STEP, STEP_MEMORY = "step, full width", "memory of a step, full width"
OPEN, HELD, WORKER, START = "opening a list", "memory of a list", "memory of a reader for itself", "start-up"
READ, COUNT, CHECKPOINT = "reading a sample", "counting a label", "last.pt"

COUNT_BYTES, FLOAT_BYTES = 8, 4
KEPT_BLOCKS = 3


@dataclass(frozen=True)
class Case:
    """A data set, and how it is trained on: one crop a step."""

    name: str
    num_images: int
    size_px: tuple[int, int]  # height and width of the images
    num_classes: int
    model: ModelConfig
    crop_px: tuple[int, int]  # what is scored of the input
    context: StageConfig  # whose class maps are kept
    augment: AugmentConfig
    readers: int = 2

    @property
    def input_px(self) -> list[int]:
        """Height and width of the crop with its margin."""
        margin = geometry.margin(frontend_layers(self.model.frontend, self.model.padding))
        return [side + 2 * margin for side in self.crop_px]


def class_map_bytes(case: Case) -> int:
    """Of an image, float32, with its targets at the cells, in all versions that are kept."""
    cells = math.prod(map_cells(case.model, case.size_px))
    versions = Versions(case.context.kept_versions, case.augment, case.context.mirror).number
    return versions * cells * (case.num_classes * FLOAT_BYTES + 1)


def block_map_bytes(case: Case) -> int:
    """Of an image, float32, after the first KEPT_BLOCKS blocks, with its label, and once more of its mirror image."""
    layers = frontend_layers(case.model.frontend, case.model.padding)
    first = layers_of_blocks(layers, KEPT_BLOCKS)
    stride = geometry.stride(layers)
    margin_cells = (geometry.margin(layers) - geometry.margin(first)) // stride
    cells = [-(-side // stride) for side in case.size_px]
    with_margin = math.prod(side + 2 * margin_cells for side in cells)
    return 2 * (with_margin * first[-1].out_channels * FLOAT_BYTES + math.prod(cells) * stride**2)


def amounts(case: Case, growths: Mapping[str, Growth]) -> list[tuple[str, str, str]]:
    """What, how much, and how it was reckoned. What needs a growth that was not measured is left out."""
    number, pixels = case.num_images, math.prod(case.size_px)
    of_step = multiply_adds(case.model, case.num_classes, case.crop_px) / 1e9
    parameters = network_parameters(case.model, case.num_classes)
    side_px = math.sqrt(math.prod(case.input_px))
    lines: list[tuple[str, str, str]] = []

    def by_law(what: str, name: str, x: float, shown: str, times: float = 1) -> None:
        """`times` what the law of this growth says at x."""
        if name in growths:
            growth = growths[name]
            value = times * growth.law.at(x)
            text = shown_seconds(value) if shown == "s" else shown_bytes(value)
            lines.append((what, text, _how(name, growth, x)))

    def by_count(what: str, value: float, how: str) -> None:
        lines.append((what, shown_bytes(value), how))

    by_law("a step on one crop", STEP, of_step, "s")
    by_law("an epoch, a crop of every image", STEP, of_step, "s", number)
    by_law("an epoch's reading, one process", READ, pixels, "s", number)
    by_law("memory of a step on one crop", STEP_MEMORY, side_px, "B", 2**20)
    by_law("to the first step", START, number, "s")
    by_law("to count the classes, one thread, once", COUNT, pixels, "s", number)
    by_law("memory of the list", HELD, number, "B")
    by_law(f"memory of {case.readers} readers for themselves", WORKER, number, "B", case.readers)
    by_count("memory and disk of class counts", number * case.num_classes * COUNT_BYTES, "images x classes x 8 B")
    by_law("last.pt", CHECKPOINT, parameters, "B")
    by_law("last.pt, its predecessor, and three stages' files", CHECKPOINT, parameters, "B", 2 + 3 / 2)
    by_count("kept class maps", number * class_map_bytes(case), f"{shown_bytes(class_map_bytes(case))} an image")
    what = f"kept maps of {KEPT_BLOCKS} blocks"
    by_count(what, number * block_map_bytes(case), f"{shown_bytes(block_map_bytes(case))} an image")
    return lines


def _how(name: str, growth: Growth, x: float) -> str:
    return f"{name} at {x:.3g}, {growth.beyond(x):.2g} times the largest measured"


def paper_table(cases: Sequence[Case], growths: Mapping[str, Growth]) -> str:
    """In Markdown, a section for each case."""
    return "\n\n".join("\n".join(_section(case, growths)) for case in cases)


def _section(case: Case, growths: Mapping[str, Growth]) -> list[str]:
    height, width = case.size_px
    inputs = "x".join(map(str, case.input_px))
    title = f"{case.name}: {case.num_images:,} images of {width}x{height}, {case.num_classes} classes, input {inputs}"
    rows = [f"| {' | '.join(line)} |" for line in amounts(case, growths)]
    return [title, "", "| on paper | | how |", "|---|---|---|", *rows]
