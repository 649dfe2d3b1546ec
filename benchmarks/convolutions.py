"""fc6, and the full-width training step, with our convolution against stock `nn.Conv2d`.

python benchmarks/convolutions.py                                     everything: half an hour on two cores
python benchmarks/convolutions.py --cells 24 --precision float32 --padding zero --what fc6

Every measurement has a process of its own, so that peak memory is its own and a stock convolution that does not end
can be ended: what it reached then is a lower bound. Rates count every multiply-add of the layer's definition, zeros
beyond the map included, so leaving those out can exceed the peak, which is the fastest matrix product of the same run.
"""

import argparse
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CHANNELS, WIDE, KERNEL, DILATION = 512, 4096, 7, 4  # of fc6
NUM_CLASSES = 21
PATIENCE_S = 8.0  # a measurement is repeated within this time
REPEATS = (2, 7)  # at least, at most


def measured(case: dict[str, Any]) -> dict[str, Any]:
    """Seconds of each repetition, and the operations in one; runs in a process of its own."""
    import torch

    torch.set_num_threads(case["threads"])
    torch.manual_seed(0)
    build = {"product": product, "fc6": fc6, "step": training_step}[case["what"]]
    work, operations = build(case, torch.float32 if case["precision"] == "float32" else torch.bfloat16)
    work()  # the warm-up
    seconds: list[float] = []
    while len(seconds) < REPEATS[0] or (len(seconds) < REPEATS[1] and sum(seconds) < PATIENCE_S):
        seconds.append(timed(work))
    return {"seconds": seconds, "operations": operations}


def timed(work: Any) -> float:
    start_s = time.perf_counter()
    work()
    return time.perf_counter() - start_s


def product(case: dict[str, Any], dtype: Any) -> tuple[Any, int]:
    """A matrix product of the size of one tap of fc6, or a square one: as `case` has it."""
    import torch

    rows, inner, columns = case["shape"]
    left, right = torch.randn(rows, inner, dtype=dtype), torch.randn(inner, columns, dtype=dtype)
    return lambda: left @ right, 2 * rows * inner * columns


def fc6(case: dict[str, Any], dtype: Any) -> tuple[Any, int]:
    """Forward and backward of the layer, all three gradients, on channels-last maps."""
    import torch
    from torch import nn

    from models.convolution import Conv2d

    kind = Conv2d if case["ours"] else nn.Conv2d
    cells, span = case["cells"], DILATION * (KERNEL - 1)
    padding, side = (span // 2, cells) if case["padding"] == "zero" else (0, cells + span)
    layer = kind(CHANNELS, WIDE, KERNEL, dilation=DILATION, padding=padding).to(memory_format=torch.channels_last)
    maps = torch.randn(1, CHANNELS, side, side).contiguous(memory_format=torch.channels_last).requires_grad_()

    def work() -> None:
        layer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
            output = layer(maps)
        output.backward(torch.ones_like(output))

    return work, 3 * 2 * CHANNELS * WIDE * KERNEL**2 * cells**2


def training_step(case: dict[str, Any], dtype: Any) -> tuple[Any, int]:
    """Forward, loss, backward, SGD of the paper's front end with the context module Dilation8, one image."""
    import torch
    from torch import nn
    from torch.utils.flop_counter import FlopCounterMode

    from configs.compose import compose
    from configs.schema import LossConfig
    from engine.training.losses import CrossEntropy
    from engine.training.optimizers import build_optimizer, set_lr
    from models.build import build_context, build_segmenter

    config = compose(["frontend=vgg16", "context=dilation8", f"model.padding={case['padding']}"])
    model, _ = build_segmenter(config.model, NUM_CLASSES, (), seed=0)
    model.insert_context(build_context(config.model, NUM_CLASSES, seed=0))
    if not case["ours"]:
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                layer.__class__ = nn.Conv2d
    optimizer = build_optimizer(config.stage.joint.optimizer, model.named_parameters())
    set_lr(optimizer, 1e-5)
    loss = CrossEntropy(LossConfig(), model.stride, model.node_offset_px)
    side = 8 * case["cells"]
    images = torch.randint(0, 256, (1, 3, *(2 * [side + 2 * model.margin_px])), dtype=torch.uint8)
    labels = torch.randint(0, NUM_CLASSES, (1, side, side), dtype=torch.uint8)

    def forward() -> Any:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
            return loss.total(model(images), loss.targets(labels)) / labels.numel()

    def work() -> None:
        optimizer.zero_grad(set_to_none=True)
        forward().backward()
        optimizer.step()

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        forward()
    return work, 3 * counter.get_total_flops()


def in_a_process(case: dict[str, Any], limit_s: float) -> dict[str, Any]:
    """What `measured` returns, and the peak memory in MiB; `seconds` is empty where the limit ended it."""
    command = [sys.executable, __file__, "--one", json.dumps(case)]
    child = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )
    peak_mib, end_s = 0.0, time.monotonic() + limit_s
    while child.poll() is None and time.monotonic() < end_s:
        status = Path(f"/proc/{child.pid}/status")
        match = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.exists() else None
        peak_mib = max(peak_mib, int(match[1]) / 1024 if match else 0.0)
        time.sleep(0.05)
    if child.poll() is None:
        child.kill()
        child.wait()
        return {"seconds": [], "peak_mib": peak_mib}
    output, _ = child.communicate()
    if child.returncode:
        raise SystemExit(f"the measurement {case} failed")
    return {**json.loads(output), "peak_mib": peak_mib}


def peak_rates(precisions: list[str], threads: int) -> dict[str, float]:
    """The fastest matrix product of each precision, in operations a second."""
    shapes = [(4096, 576, 512), (4096, 3600, 512), (4096, 4096, 4096)]
    rates = {}
    for precision in precisions:
        runs = [in_a_process({"what": "product", "shape": shape, "precision": precision, "threads": threads}, 60)
                for shape in shapes]  # fmt: skip
        rates[precision] = max(run["operations"] / min(run["seconds"]) for run in runs if run["seconds"])
        print(f"{precision}: the fastest matrix product reaches {rates[precision] / 1e9:.0f} GF/s", flush=True)
    return rates


def row(case: dict[str, Any], ours: dict[str, Any], stock: dict[str, Any], peak: float, limit_s: float) -> str:
    seconds = ours["seconds"]
    rate = ours["operations"] / statistics.median(seconds)
    spread = f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
    least_s = statistics.median(stock["seconds"]) if stock["seconds"] else limit_s
    bound = "" if stock["seconds"] else "> "
    return (
        f"| {case['what']} | {case['padding']} | {case['cells']}x{case['cells']} | {case['precision']} | {spread} | "
        f"{bound}{least_s:.2f} | {bound}{least_s / statistics.median(seconds):.1f} | {rate / 1e9:.0f} | "
        f"{rate / peak:.0%} | {ours['peak_mib']:.0f} | {stock['peak_mib']:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", nargs="+", choices=["fc6", "step"], default=["fc6", "step"])
    parser.add_argument("--padding", nargs="+", choices=["zero", "reflect"], default=["zero", "reflect"])
    parser.add_argument("--cells", nargs="+", type=int, default=[24, 60], help="side of the scored map")
    parser.add_argument("--precision", nargs="+", choices=["float32", "bfloat16"], default=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--limit-s", type=float, default=150, help="after which a stock convolution is ended")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # a case as JSON: the process of one measurement
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measured(json.loads(arguments.one))))
        return
    peaks = peak_rates(arguments.precision, arguments.threads)
    columns = ["what", "padding", "cells", "precision", "ours, s", "stock, s", "times faster", "GF/s", "of the peak"]
    print(f"\n| {' | '.join(columns)} | MiB | stock |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for what, padding, cells, precision in itertools.product(
        arguments.what, arguments.padding, arguments.cells, arguments.precision
    ):
        case = {"what": what, "padding": padding, "cells": cells, "precision": precision, "threads": arguments.threads}
        ours = in_a_process({**case, "ours": True}, 4 * arguments.limit_s)
        stock = in_a_process({**case, "ours": False}, arguments.limit_s)
        print(row(case, ours, stock, peaks[precision], arguments.limit_s), flush=True)


if __name__ == "__main__":
    main()
