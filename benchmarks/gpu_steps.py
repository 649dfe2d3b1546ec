"""python -m benchmarks.gpu_steps rows|forms|memory --json FILE: training steps at full width on a GPU.

rows     ours against nn.Conv2d under the same rules of computing, and under torch's own
forms    ours against ours with other kernels, another memory format, compiled, as CUDA graphs
memory   the peak of torch's allocator against the forecast of models/memory.py

"of the limit" is the fraction of the peak of matrix products that a step reaches. The exit code is 1 where a
measurement failed; a row that is BEHIND fails nothing here.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks.harness import Rounds, Task, Work
from benchmarks.peaks import Peaks, training_multiply_adds, wait_for
from benchmarks.rows import Group, Limit, Note, Pairing
from benchmarks.session import Session, header, table, write
from benchmarks.steps import (
    BORDERS,
    FORMS,
    NETWORKS,
    NUM_CLASSES,
    PLAIN,
    PRECISIONS,
    Place,
    input_px,
    layers_of,
    model_config,
    of_products,
    our_network,
    our_step,
    plain_step,
    random_batch,
    step_loop,
)
from configs.schema import Padding, Precision
from engine.gpu import gpu_versions, require_same_bits
from engine.runs.progress import Progress
from models.layers import NUM_COLOURS
from models.memory import Setting, stage_memory

ROUNDS = Rounds(least=3, most=7, patience_s=2.0, limit_s=60.0)
MIB = 2**20

# Ours: the same bits every time, and float32 is float32. torch's own: float32 may be TF32. Raced: cuDNN times its
# kernels and takes the fastest, whatever the order of its sums.
Kernels = Literal["ours", "torch's own", "raced"]


def choose_kernels(kernels: Kernels) -> None:
    """Of this process, from now on."""
    if kernels != "torch's own":
        require_same_bits()
    if kernels == "raced":
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = False, True


def our_waited_step(place: Place, kernels: Kernels = "ours", **arguments: Any) -> Work:
    """`steps.our_step`, to its end on the GPU."""
    choose_kernels(kernels)
    return partial(waited, our_step(place=place, **arguments), place.device)


def plain_waited_step(place: Place, kernels: Kernels = "ours", **arguments: Any) -> Work:
    """`steps.plain_step`, to its end on the GPU."""
    choose_kernels(kernels)
    return partial(waited, plain_step(place=place, **arguments), place.device)


def waited(work: Work, device: str) -> None:
    work()
    wait_for(device)


def step_memory(network: str, crop_px: int, precision: Precision, padding: Padding, place: Place) -> Work:
    """The work takes two steps and returns the peak so far, and the forecast, in MiB."""
    require_same_bits()
    config = model_config(network, padding, place.width)
    loop = step_loop(our_network(network, config).to(place.device), precision, place)
    batch = random_batch(config, crop_px, place.batch)
    setting = Setting(
        model=config,
        stage=loop.config.model_copy(update={"crop_px": [crop_px, crop_px]}),
        name="joint" if NETWORKS[network] else "frontend",
        num_classes=NUM_CLASSES,
        images=place.batch,
        is_bfloat16=precision == "bfloat16",
        device="cpu" if place.device == "cpu" else "cuda",
    )

    def work() -> tuple[float, float]:
        for _ in range(2):  # the optimizer's state is there from the second on
            loop.run(Progress("joint"), lambda *_: (batch for _ in range(1)), lambda: None, lambda: None)
        return loop.runtime.peak_memory_mib(), stage_memory(setting).total / MIB

    return work


def memory_lines(measured: tuple[float, float], _: Peaks) -> list[str]:
    peak_mib, forecast_mib = measured
    return [f"peak {peak_mib:,.0f} MiB, forecast {forecast_mib:,.0f} MiB, {forecast_mib / peak_mib - 1:+.1%}"]


def case_of(precision: Precision, request: argparse.Namespace) -> str:
    place: Place = request.place
    images = f"{place.batch} x {request.crop_px} px"
    return f"{request.network}, {images}, {precision}, {BORDERS[request.padding]}"


def arguments_of(precision: Precision, request: argparse.Namespace) -> dict[str, Any]:
    """Of a task."""
    names = ("network", "crop_px", "padding", "place")
    return {"precision": precision, **{name: getattr(request, name) for name in names}}


def limit_of(precision: Precision, request: argparse.Namespace) -> Limit:
    place: Place = request.place
    config = model_config(request.network, request.padding, place.width)
    layers, size = layers_of(request.network, config), input_px(config, request.crop_px)
    return of_products(place.batch * training_multiply_adds(layers, NUM_COLOURS, size), precision)


def rows(request: argparse.Namespace) -> Iterator[Group]:
    for precision in PRECISIONS:
        case, arguments = case_of(precision, request), arguments_of(precision, request)
        limit = limit_of(precision, request)
        tasks = {
            "ours": Task(our_waited_step, arguments, request.threads),
            "plain": Task(plain_waited_step, arguments, request.threads),
            "torch's own": Task(plain_waited_step, {**arguments, "kernels": "torch's own"}, request.threads),
        }
        title = f"{PLAIN}, torch's own kernels"
        pairings = [
            Pairing(f"step, {case}", "ours", "plain", PLAIN, limit),
            Pairing(f"step, {case}, torch's own", "ours", "torch's own", title, limit, orientation=True),
        ]
        yield Group(tasks, pairings, uses_products=True)


def forms(request: argparse.Namespace) -> Iterator[Group]:
    for precision in PRECISIONS:
        case, arguments = case_of(precision, request), arguments_of(precision, request)
        limit = limit_of(precision, request)
        others = {"contiguous": {"form": "contiguous"}, "raced": {"kernels": "raced"}}
        others |= {form: {"form": form} for form in FORMS if form in request.forms}
        tasks = {"ours": Task(our_waited_step, arguments, request.threads)}
        tasks |= {name: Task(our_waited_step, {**arguments, **other}, request.threads)
                  for name, other in others.items()}  # fmt: skip
        pairings = [Pairing(f"not {name}, {case}", "ours", name, f"ours, {name}", limit) for name in others]
        yield Group(tasks, pairings, uses_products=True)


def memory(request: argparse.Namespace) -> Iterator[Group]:
    for precision in PRECISIONS:
        name = f"memory, {case_of(precision, request)}"
        task = Task(step_memory, arguments_of(precision, request), request.threads)
        yield Group({name: task}, notes=[Note(name, name, memory_lines)])


KINDS = {"rows": rows, "forms": forms, "memory": memory}


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_steps", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="rows and notes, for programs")
    parser.add_argument("--network", choices=NETWORKS, default="front end")
    parser.add_argument("--crop-px", type=int, default=256)
    parser.add_argument("--padding", choices=BORDERS, default="zero")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--forms", nargs="*", choices=FORMS, default=list(FORMS), help="of kind forms: those tried")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--width", type=float, default=1.0, help="multiplies the front end's channels")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    request = parser.parse_args(words)
    request.place = Place(request.device, request.batch, request.width)
    session = Session(ROUNDS, Peaks(device=request.device), say=lambda line: print(line, file=sys.stderr, flush=True))
    session.run(KINDS[request.kind](request))
    print(table(session.rows()), *session.notes(), sep="\n")
    about = header(request.threads) | ({} if request.device == "cpu" else gpu_versions(torch.device(request.device)))
    write(request.json, about, session.rows(), session.notes())
    return int(bool(session.failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
