"""python -m benchmarks.ranks FILE CASE THREADS, alone or by torchrun: the same batch, shared among the processes.

FILE gets the seconds of a step, and of the steps of a second look those that go into waiting for the other processes
and into adding up gradients. THREADS are those of all processes together.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.growth import network
from benchmarks.harness import Work
from benchmarks.steps import random_batch, repeated_step, step_loop
from configs.compose import compose
from engine.process.ranks import Ranks, ranks_of_torchrun


class Case(NamedTuple):
    """Overrides of a config, side of a square crop, images in a step of all processes, steps of each look."""

    words: Sequence[str]
    crop_px: int
    images: int
    steps: int


CASES = {
    "small": Case(["frontend=small", "context=basic"], 128, 8, 6),
    "full width": Case(["frontend=vgg16", "context=basic", "model.padding=zero"], 96, 2, 1),
}
NUM_CLASSES = 21


@dataclass(frozen=True)
class TimedRanks(Ranks):
    """Notes of every step the seconds of waiting until all processes are there, and of adding up gradients."""

    waits_s: list[float] = field(default_factory=list)
    sums_s: list[float] = field(default_factory=list)
    clock: Callable[[], float] = time.perf_counter

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        began_s = self.clock()
        self.add(0.0)  # a process that was slower to compute is not what adding up costs
        together_s = self.clock()
        super().add_gradients(parameters)
        self.waits_s.append(together_s - began_s)
        self.sums_s.append(self.clock() - together_s)


def measured(case: Case, ranks: Ranks) -> dict[str, Any]:
    """Seconds, medians over the steps of this process; `images_per_s` are those of all processes.

    In the first look the steps are as they are, in the second adding up is watched.
    """
    config = compose(list(case.words)).model
    model = network(config, NUM_CLASSES)
    loop = step_loop(model, "float32", ranks=ranks)
    work = repeated_step(loop, random_batch(config, case.crop_px, case.images // ranks.size, NUM_CLASSES))
    work()
    step_s = _median_s(work, case.steps)
    watching = TimedRanks(ranks.rank, ranks.size, ranks.local_rank, ranks.local_size)
    loop.runtime = replace(loop.runtime, ranks=watching)
    watched_step_s = _median_s(work, case.steps)
    return {
        "processes": ranks.size,
        "step_s": step_s,
        "images_per_s": case.images / step_s,
        "gradient_bytes": sum(parameter.nbytes for parameter in model.parameters()),
        "watched_step_s": watched_step_s,
        "waiting_share": statistics.median(watching.waits_s) / watched_step_s,
        "adding_share": statistics.median(watching.sums_s) / watched_step_s,
    }


def _median_s(work: Work, times: int) -> float:
    seconds = []
    for _ in range(times):
        began_s = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began_s)
    return statistics.median(seconds)


def main(words: Sequence[str]) -> None:
    path, case, threads = words
    with ranks_of_torchrun() as ranks:
        torch.set_num_threads(max(1, int(threads) // ranks.size))
        result = measured(CASES[case], ranks)
        if ranks.is_first:
            Path(path).write_text(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
