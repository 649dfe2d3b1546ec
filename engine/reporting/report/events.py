"""What a run told TensorBoard: scalars over the global step, and the picture of the effective field."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from configs.schema import STAGES
from engine.runs.folder import TENSORBOARD_PREFIX

MOST_EVENT_BYTES = 2**29  # of all files of a run together
KEPT_SCALARS, KEPT_IMAGES = 20_000, 40  # of a tag, drawn at random where there are more, the last always among them
FIELD_TAG, FIELD_CELLS_TAG, MEAN_IOU_TAG = "field/effective", "field/effective_cells", "validation/mean_iou"
PERIOD_TAG = "gridding/period_"  # a number follows
IOU_TAGS = ("validation/iou/", "iou/")  # a class follows; the first in runs that began before 2026-11-27


class Point(NamedTuple):
    step: int
    value: float


@dataclass(frozen=True)
class Events:
    scalars: dict[str, list[Point]] = field(default_factory=dict)  # by tag, finite values alone
    fields: dict[int, bytes] = field(default_factory=dict)  # PNG files by step

    def joined(self, name: str) -> list[Point]:
        """A scalar that every stage has, such as `loss`, over all stages."""
        return sorted(point for stage in STAGES for point in self.scalars.get(f"{stage}/{name}", []))

    def last_steps(self) -> dict[str, int]:
        """The last step of every stage, as far as it is known."""
        return {stage: points[-1].step for stage in STAGES if (points := self.scalars.get(f"{stage}/loss"))}

    def best_validations(self) -> dict[str, Point]:
        """The best mean IoU of every stage."""
        best: dict[str, Point] = {}
        starts = {stage: points[0].step for stage in STAGES if (points := self.scalars.get(f"{stage}/loss"))}
        for point in self.scalars.get(MEAN_IOU_TAG, []):
            stage = max((name for name in starts if starts[name] <= point.step), key=starts.__getitem__, default=None)
            if stage is not None and (stage not in best or point.value > best[stage].value):
                best[stage] = point
        return best

    @property
    def class_iou(self) -> dict[str, list[Point]]:
        """By class, without the classes that never had one."""
        points_of_class: dict[str, list[Point]] = {}
        for prefix in IOU_TAGS:
            for tag, points in self.scalars.items():
                if tag.startswith(prefix):
                    points_of_class.setdefault(tag.removeprefix(prefix), []).extend(points)
        return points_of_class

    def class_iou_at(self, step: int) -> list[float | None]:
        values = ({point.step: point.value for point in points} for points in self.class_iou.values())
        return [value if (value := of_class.get(step)) is not None and 0 <= value <= 1 else None for of_class in values]

    def gridding_at(self, step: int | None) -> dict[str, float]:
        """By period, at the measurement nearest to a step."""
        periods = {
            tag.removeprefix(PERIOD_TAG): points for tag, points in self.scalars.items() if tag.startswith(PERIOD_TAG)
        }
        return {period: nearest(points, step).value for period, points in periods.items()}


def nearest(points: Sequence[Point], step: int | None) -> Point:
    """The point at a step, or nearest to it; without one the last."""
    return points[-1] if step is None else min(points, key=lambda point: abs(point.step - step))


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """Every so manieth point, and the last."""
    every = math.ceil(len(points) / most)
    return [*points[:-1:every], points[-1]] if len(points) > most else list(points)


def read_events(folder: Path, warn: Callable[[str], None]) -> Events:
    """Empty where there are no files, or none that can be read; `warn` is told why."""
    files = [path for path in folder.glob(f"{TENSORBOARD_PREFIX}*") if path.is_file()]
    if not files:
        warn("there are no event files of TensorBoard: no curves")
        return Events()
    if sum(path.stat().st_size for path in files) > MOST_EVENT_BYTES:
        warn(f"the event files of TensorBoard are larger than {MOST_EVENT_BYTES >> 20} MiB together: no curves")
        return Events()
    reader = EventAccumulator(str(folder), size_guidance={"scalars": KEPT_SCALARS, "images": KEPT_IMAGES, "tensors": 1})
    try:
        reader.Reload()
        tags = reader.Tags()
        scalars = {tag: _points(reader, tag) for tag in tags["scalars"]}
        images = reader.Images(FIELD_TAG) if FIELD_TAG in tags["images"] else []
    except Exception as error:  # a damaged file may raise anything
        warn(f"the event files of TensorBoard cannot be read ({type(error).__name__}: {error}): no curves")
        return Events()
    if not any(scalars.values()):
        warn("the event files of TensorBoard hold no scalars: no curves")
    return Events(
        {tag: points for tag, points in scalars.items() if points},
        {image.step: image.encoded_image_string for image in images},
    )


def _points(reader: EventAccumulator, tag: str) -> list[Point]:
    points = (Point(int(event.step), float(event.value)) for event in reader.Scalars(tag))
    return sorted(point for point in points if math.isfinite(point.value) and point.step >= 0)
