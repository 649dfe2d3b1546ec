"""What training the whole network costs on paper: memory by device and precision, and what crops of each size waste.

With the paper's SGD and a loss at the cells. Without padding every crop carries a margin, which is computed and not
scored: the smaller the crop, the larger its share.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from configs.schema import AnalyzeConfig, OptimizerConfig, StageConfig
from models.analysis import aligned
from models.cost import context_cost, frontend_cost
from models.memory import DeviceKind, Setting, stage_memory

DEVICES: dict[str, tuple[DeviceKind, bool]] = {  # kind, and whether it computes in bfloat16
    "cpu float32": ("cpu", False),
    "cpu bfloat16": ("cpu", True),
    "cuda float32": ("cuda", False),
    "cuda bfloat16": ("cuda", True),
}
ACTIVATIONS = {"kept": False, "computed again": True}
CROPS_PX = (64, 128, 256, 512, 1024, 2048)
STEP_PX, LARGEST_PX = 8, 8192  # of the crops among which the cheapest is looked for
GIB = 2**30


@dataclass(frozen=True)
class CropCost:
    """Of a square crop. Multiply-adds are those of the forward pass, for each pixel that is scored."""

    crop_px: int
    multiply_adds_per_px: float
    margin_share: float  # of them


def training_bytes(config: AnalyzeConfig) -> dict[str, dict[str, int]]:
    """What training takes at most, by device and precision, then by what becomes of activations.

    Of a CPU without the process itself, of a GPU without the workspace of its library.
    """
    return {
        device: {
            name: _bytes(config, config.crop_px, config.batch, device, again) for name, again in ACTIVATIONS.items()
        }
        for device in DEVICES
    }


def crop_cost(config: AnalyzeConfig, side_px: int) -> CropCost:
    """`margin_share` compares with a crop so large that its margin is nothing."""
    per_px, least = _multiply_adds_per_px(config, side_px), _multiply_adds_per_px(config, 2**20)
    return CropCost(side_px, per_px, 1 - least / per_px)


def largest_crop_px(config: AnalyzeConfig, memory_bytes: float, device: str) -> int | None:
    """Side of the largest square crop that fits, alone in a step: it costs least a pixel. None: none fits."""
    low, high = 0, LARGEST_PX // STEP_PX  # in steps; what takes more memory is not smaller
    while low < high:
        middle = (low + high + 1) // 2
        side_px = middle * STEP_PX
        if _bytes(config, (side_px, side_px), 1, device, False) <= memory_bytes:
            low = middle
        else:
            high = middle - 1
    return low * STEP_PX or None


def training_page(config: AnalyzeConfig, taken: dict[str, dict[str, int]]) -> str:
    """`training_bytes` and the costs of crops as people read them."""
    rows = [["", *taken]]
    for activations in ACTIVATIONS:
        mebibytes = (of_device[activations] / 2**20 for of_device in taken.values())
        rows.append([f"activations {activations}, MiB", *(f"{number:,.0f}" for number in mebibytes)])
    title = (
        f"memory to train both jointly, {config.batch} {'image' if config.batch == 1 else 'images'} at once, SGD with "
        "momentum; on a CPU the process itself comes on top"
    )
    return "\n".join([title, *aligned(rows), "", *_crop_lines(config)])


def _crop_lines(config: AnalyzeConfig) -> list[str]:
    costs = [crop_cost(config, side_px) for side_px in CROPS_PX]
    rows = [
        ["crop, px", *(str(cost.crop_px) for cost in costs)],
        ["millions", *(f"{cost.multiply_adds_per_px / 1e6:.2f}" for cost in costs)],
        ["of them margin", *(f"{cost.margin_share:.0%}" for cost in costs)],
    ]
    lines = ["multiply-adds of the forward pass for each scored pixel, square crops", *aligned(rows)]
    if config.memory_gib is None:
        return lines
    sides = {device: largest_crop_px(config, config.memory_gib * GIB, device) for device in DEVICES}
    table = [
        ["", *sides],
        ["crop, px", *("none fits" if side_px is None else str(side_px) for side_px in sides.values())],
        ["millions", *(_millions(config, side_px) for side_px in sides.values())],
    ]
    return [*lines, "", f"cheapest crop in {config.memory_gib:g} GiB, one image at once", *aligned(table)]


def _millions(config: AnalyzeConfig, side_px: int | None) -> str:
    return "" if side_px is None else f"{crop_cost(config, side_px).multiply_adds_per_px / 1e6:.2f}"


def _multiply_adds_per_px(config: AnalyzeConfig, side_px: int) -> float:
    crop_px = (side_px, side_px)
    whole = sum(cost(config.model, config.num_classes, crop_px).multiply_adds for cost in (frontend_cost, context_cost))
    return whole / side_px**2


def _bytes(config: AnalyzeConfig, crop_px: Sequence[int], batch: int, device: str, again: bool) -> int:
    kind, is_bfloat16 = DEVICES[device]
    stage = StageConfig(
        batch=batch,
        crop_px=list(crop_px),
        optimizer=OptimizerConfig(momentum_form="caffe"),
        checkpoint_activations=again,
    )
    setting = Setting(
        model=config.model,
        stage=stage,
        name="joint",
        num_classes=config.num_classes,
        images=batch,
        is_bfloat16=is_bfloat16,
        device=kind,
    )
    return stage_memory(setting).total
