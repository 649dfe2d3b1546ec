"""python -m benchmarks.scale [--quick]: how training scales with processes, sizes and images, in measured points.

Two processes by torchrun against one with as many threads together; then steps, input, start-up, memory and files at a
few sizes, the laws that fit them, and what these say of Cityscapes and of a million images. Prints tables and writes
benchmarks/scale.json. On Linux, under 10 minutes on two cores, with 6 GiB of memory.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import growth, paper
from benchmarks.harness import Contestant, Rounds, Run, Series, Task, in_turn, mean_call
from benchmarks.laws import Growth, growth_table, shown_bytes
from benchmarks.ranks import CASES, NUM_CLASSES
from benchmarks.ranks import Case as RankCase
from benchmarks.rows import compared
from benchmarks.session import header, measured_in_processes
from configs.compose import compose
from models.cost import network_parameters

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "scale.json"
LIMIT_S = 240.0  # of one run of anything
LAUNCHED = Rounds(least=3, most=3, limit_s=LIMIT_S)
ONCE = Rounds(least=1, most=1, limit_s=LIMIT_S)
GROWN = Rounds(least=1, most=3, patience_s=3.0, limit_s=LIMIT_S)
FULL_WIDTH = ["frontend=vgg16", "context=basic", "model.padding=zero"]
LIGHT = ["frontend=light", "context=basic", "model.padding=zero"]


class Quantity(NamedTuple):
    """What is read off the runs at a point. `x_of` makes the law's x of the point's key; y is above 0."""

    name: str
    unit: str
    of: Callable[[Series], float]
    x_name: str
    exponent: float = 1.0
    x_of: Callable[[float], float] = float


@dataclass(frozen=True)
class Axis:
    """Points to be measured, by the size that varies.

    `is_large`: one after the other, for together they would take too much memory. `is_command`: the work is a process
    of its own, so it is called from this one, once.
    """

    tasks: Mapping[float, Task]
    quantities: Sequence[Quantity]
    rounds: Rounds = GROWN
    is_large: bool = False
    is_command: bool = False

    def growths(self, series: Mapping[float, Series]) -> list[Growth]:
        """One for each quantity, of the points that have ended."""
        return [
            Growth(
                quantity.name,
                quantity.x_name,
                quantity.unit,
                [(quantity.x_of(key), quantity.of(series[key])) for key in self.tasks if series[key].runs],
                quantity.exponent,
            )
            for quantity in self.quantities
        ]


def seconds(series: Series) -> float:
    return series.median_s


def peak_mib(series: Series) -> float:
    return max(run.peak_mib for run in series.runs)


def value(series: Series) -> float:
    """What the work returned."""
    return float(series.value)


def of_value(name: str) -> Callable[[Series], float]:
    """One of several that the work returned."""
    return lambda series: float(series.value[name])


def step_axes(threads: int, quick: bool) -> Iterator[Axis]:
    """Steps against the crop's side, images, classes, number and size of dilations."""

    def step(words: Sequence[str], crop_px: int, images: int = 1, num_classes: int = NUM_CLASSES) -> Task:
        arguments = {"words": words, "crop_px": crop_px, "images": images, "num_classes": num_classes}
        return Task(growth.joint_step, arguments, threads)

    def context(dilations: Sequence[int]) -> Task:
        arguments = {"dilations": dilations, "cells": 64, "images": 4, "num_classes": NUM_CLASSES}
        return Task(growth.context_step, arguments, threads)

    config = compose(FULL_WIDTH).model

    def multiply_adds(crop_px: float) -> float:
        return growth.multiply_adds(config, NUM_CLASSES, [int(crop_px)] * 2) / 1e9

    side, of_step = "side of the input, px", "multiply-adds of a step, 10^9"
    yield Axis(
        {px: step(FULL_WIDTH, px) for px in ((64, 96, 128) if quick else (96, 128, 192, 256))},
        [Quantity(paper.STEP, "s", seconds, of_step, 1.0, multiply_adds),
         Quantity(paper.STEP_MEMORY, "MiB", peak_mib, side, 2.0)],
        is_large=True,
    )  # fmt: skip
    yield Axis(
        {px: step(LIGHT, px) for px in ((64, 96, 128) if quick else (64, 128, 192, 256, 384, 512))},
        [Quantity("step, light", "s", seconds, side, 2.0),
         Quantity("memory of a step, light", "MiB", peak_mib, side, 2.0)],
    )  # fmt: skip
    yield Axis(
        {images: step(LIGHT, 128, images) for images in ((1, 2) if quick else (1, 2, 4, 8))},
        [Quantity("step, light, more images", "s", seconds, "images"),
         Quantity("memory of a step, light, more images", "MiB", peak_mib, "images")],
    )  # fmt: skip
    yield Axis(
        {k: step(LIGHT, 128, 1, k) for k in ((2, 50, 150) if quick else (2, 20, 50, 100, 150))},
        [Quantity("step, light, more classes", "s", seconds, "classes", 2.0),
         Quantity("memory of a step, light, more classes", "MiB", peak_mib, "classes", 2.0)],
    )  # fmt: skip
    context_name = "step of the context module, 4 maps of 64x64 cells"
    yield Axis(
        {number: context([1] * number) for number in ((2, 8) if quick else (2, 4, 8, 16))},
        [Quantity(context_name, "s", seconds, "dilations"),
         Quantity(f"memory, {context_name}", "MiB", peak_mib, "dilations")],
    )  # fmt: skip
    yield Axis(
        {size: context([size] * 8) for size in ((1, 16) if quick else (1, 2, 4, 8, 16, 32))},
        [Quantity(f"{context_name}, 8 dilations", "s", seconds, "size of each dilation")],
    )


def list_axes(root: Path, quick: bool) -> Iterator[Axis]:
    """What is done once for every image of a list at each start, and what the list takes. Makes the lists in `root`."""
    lengths = (300, 3000) if quick else (100, 1000, 10_000, 30_000, 100_000)
    for number in lengths:
        growth.make_list(root / str(number), number)

    def tasks(build: Callable[..., Any], longest: int = lengths[-1], least: int = 0, **arguments: object) -> Any:
        chosen = [number for number in lengths if least <= number <= longest]
        return {number: Task(build, {"root": str(root / str(number)), **arguments}) for number in chosen}

    # A list of a hundred takes less than the allocator's grain, and a reader's code more than its share of the list.
    of_list = [Quantity(paper.OPEN, "s", seconds, "images"), Quantity(paper.HELD, "B", value, "images")]
    yield Axis(tasks(growth.opened, least=300), of_list, ONCE)
    passes = {"identity": "file_identity", "digest": "content_digest", "sizes": "sizes from headers"}
    for what, name in passes.items():
        yield Axis(tasks(growth.read_once, 30_000, what=what), [Quantity(name, "s", seconds, "images")], ONCE)
    of_counts = [
        Quantity("counting tiny labels", "s", seconds, "images"),
        Quantity("memory of counting them", "MiB", peak_mib, "images"),
    ]
    yield Axis(tasks(growth.read_once, 30_000, what="counts"), of_counts, ONCE)
    readers = tasks(growth.worker_growth, 30_000, 300, batch=10)
    yield Axis(readers, [Quantity(paper.WORKER, "B", value, "images")], ONCE)
    of_start = [
        Quantity(paper.START, "s", seconds, "images"),
        Quantity("memory at the first step", "B", value, "images"),
    ]
    yield Axis(tasks(growth.first_step), of_start, is_command=True)


def file_axes(root: Path, quick: bool) -> Iterator[Axis]:
    """Files that runs leave, and what pixels cost before they are trained on."""
    lengths = (16, 64) if quick else (16, 64, 256)
    for number in lengths:
        growth.make_list(root / f"run {number}", number)
    kinds = {"run folder": "run folder", "maps": "kept class maps, 16 px", "counts": "kept class counts"}
    yield Axis(
        {number: Task(growth.run_files, {"root": str(root / f"run {number}")}) for number in lengths},
        [Quantity(name, "B", of_value(kind), "images") for kind, name in kinds.items()],
        is_command=True,
    )
    widths = {500 * 375: (500, 375), 1024 * 512: (1024, 512), 2048 * 1024: (2048, 1024)}
    sizes = {px: size for px, size in widths.items() if not quick or px < 10**6}
    for build, name in ((growth.samples_read, paper.READ), (growth.labels_counted, paper.COUNT)):
        yield Axis(
            {px: Task(build, {"width": width, "height": height}) for px, (width, height) in sizes.items()},
            [Quantity(name, "s", lambda series: series.median_s / growth.READ_AT_ONCE, "pixels")],
        )
    parameters = {
        network_parameters(compose(words).model, NUM_CLASSES): words
        for words in ([*FULL_WIDTH, f"model.frontend.width={width}"] for width in (1 / 8, 1 / 4, 1 / 2))
    }
    yield Axis(
        {
            count: Task(growth.saved, {"words": words, "num_classes": NUM_CLASSES})
            for count, words in parameters.items()
        },
        [Quantity(paper.CHECKPOINT, "B", value, "parameters"), Quantity("saving it", "s", seconds, "parameters")],
    )


def measured(axis: Axis) -> dict[float, Series]:
    """The runs at every point."""
    if axis.is_command:
        return {key: _called(task) for key, task in axis.tasks.items()}
    names = {str(key): key for key in axis.tasks}
    tasks = {name: axis.tasks[key] for name, key in names.items()}
    groups = [{name: task} for name, task in tasks.items()] if axis.is_large else [tasks]
    series = [measured_in_processes(group, axis.rounds) for group in groups]
    return {names[name]: found for part in series for name, found in part.items()}


def _called(task: Task) -> Series:
    """Its memory is not that of this process, so it is not known."""
    taken_s, returned = mean_call(task.build(**task.arguments))
    return Series([Run(taken_s, math.nan, math.nan, returned)])


@dataclass(frozen=True)
class Launched:
    """A `Contestant`: a case of benchmarks/ranks.py in so many processes, begun anew at every run."""

    case: str
    processes: int
    threads: int

    def run(self) -> Run | None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "result.json"
            torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={self.processes}"]
            words = ["-m", "benchmarks.ranks", str(path), self.case, str(self.threads)]
            command = [sys.executable, *(torchrun if self.processes > 1 else []), *words]
            try:
                done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)
            except subprocess.TimeoutExpired:
                return None
            if done.returncode:
                raise RuntimeError(f"benchmarks.ranks failed: {done.stdout}{done.stderr}")
            result = json.loads(path.read_text())
        return Run(result["step_s"], 0.0, 0.0, result)


class RankRow(NamedTuple):
    """Two processes against one on the same images; `ratio` of their images per second, `spread` half its range."""

    case: str
    images_per_s: tuple[float, float]  # of one process, of two
    ratio: float
    spread: float
    adding_share: float
    waiting_share: float
    gradient_bytes: int


def rank_row(case: str, one: Series, two: Series) -> RankRow:
    """Medians over the rounds."""
    ratio, spread = compared(two.seconds, one.seconds)

    def median(series: Series, name: str) -> float:
        return float(statistics.median(run.value[name] for run in series.runs))

    return RankRow(
        case,
        (median(one, "images_per_s"), median(two, "images_per_s")),
        ratio,
        spread,
        median(two, "adding_share"),
        median(two, "waiting_share"),
        two.value["gradient_bytes"],
    )


def rank_table(rows: Sequence[RankRow], threads: int) -> str:
    """In Markdown."""
    each = max(1, threads // 2)
    head = ("", f"1 process, {threads} threads: images/s", f"2 processes, {each} each: images/s", "times faster",
            "adding up gradients", "waiting before", "gradients")  # fmt: skip
    cells = [
        (row.case, *(f"{rate:.3g}" for rate in row.images_per_s), f"{row.ratio:.2f} ± {row.spread:.2f}",
         f"{row.adding_share:.1%}", f"{row.waiting_share:.1%}", shown_bytes(row.gradient_bytes))
        for row in rows
    ]  # fmt: skip
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ("---",) * len(head), *cells])


def rank_rows(cases: Mapping[str, RankCase], threads: int, rounds: Rounds, say: Callable[[str], None]) -> list[RankRow]:
    """Those whose processes have ended in time; of the others it is said that they have not."""
    rows = []
    for case in cases:
        launched: dict[str, Contestant] = {str(number): Launched(case, number, threads) for number in (1, 2)}
        series = in_turn(launched, rounds)
        if all(one.runs for one in series.values()):
            rows.append(rank_row(case, series["1"], series["2"]))
        else:
            say(f"NOT MEASURED: processes, {case}: they did not end in {LIMIT_S:.0f} s")
    return rows


def paper_cases() -> list[paper.Case]:
    """Cityscapes by its recipe, and a million photographs by that of VOC, whole images in a crop."""
    cityscapes = compose(["experiment=cityscapes", "data.root=."])
    photographs = compose(["experiment=voc", "data.root=."])
    height, width = cityscapes.stage.joint.crop_px
    return [
        paper.Case("Cityscapes", 2975, (1024, 2048), 19, cityscapes.model, (height, width),
                   cityscapes.stage.context, cityscapes.data.augment),
        paper.Case("a million photographs", 10**6, (375, 500), 150, photographs.model, (375, 500),
                   photographs.stage.context, photographs.data.augment),
    ]  # fmt: skip


def all_growths(axes: Iterator[Axis], say: Callable[[str], None]) -> list[Growth]:
    """Those with two points or more; what has fewer, or has failed, is said."""
    found: list[Growth] = []
    start_s = time.monotonic()
    for axis in axes:
        names = "; ".join(quantity.name for quantity in axis.quantities)
        try:
            growths = axis.growths(measured(axis))
        except RuntimeError as error:  # of one of its processes; what was measured before must not be lost
            say(f"NOT MEASURED: {names}: {error}")
            continue
        for one in growths:
            if len(set(one.xs)) < 2 or min(one.ys) <= 0:
                say(f"NOT MEASURED: {one.name}: its points are {list(one.points)}")
            else:
                found.append(one)
        say(f"{time.monotonic() - start_s:5.0f} s  {names}")
    return found


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few and small points, each once: for a look")
    parser.add_argument("--threads", type=int, metavar="N", help="of one process; all cores by default")
    request = parser.parse_args(words)
    threads = request.threads or len(os.sched_getaffinity(0))
    not_measured: list[str] = []

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)
        if line.startswith("NOT MEASURED"):
            not_measured.append(line)

    cases = {"small": CASES["small"]} if request.quick else CASES
    rows = rank_rows(cases, threads, ONCE if request.quick else LAUNCHED, say)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        growths = [
            *all_growths(step_axes(threads, request.quick), say),
            *all_growths(list_axes(root, request.quick), say),
            *all_growths(file_axes(root, request.quick), say),
        ]
    by_name = {one.name: one for one in growths}
    tables = [rank_table(rows, threads), growth_table(growths), paper.paper_table(paper_cases(), by_name)]
    print("\n\n".join([*tables, *not_measured]))
    RESULT.write_text(json.dumps(content(request.quick, threads, rows, growths, not_measured), indent=2) + "\n")
    print(f"written to {RESULT}")
    return int(bool(not_measured))


def content(
    quick: bool, threads: int, rows: Sequence[RankRow], growths: Sequence[Growth], not_measured: Sequence[str]
) -> dict[str, Any]:
    """Of the file beside the tables."""
    by_name = {one.name: one for one in growths}
    return {
        "header": {**header(threads), "quick": quick},
        "processes": [row._asdict() for row in rows],
        "growths": [one.to_plain() for one in growths],
        "on paper": {case.name: paper.amounts(case, by_name) for case in paper_cases()},
        "not measured": list(not_measured),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
