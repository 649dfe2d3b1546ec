"""What `precision=auto` means: on a CPU the faster of two, measured once for each kind of machine and kept on disk.

Remove the files `speed-*` of the cache to have it measured again.
"""

import json
import math
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from configs.errors import UserError
from configs.schema import Precision
from engine.process.exits import is_out_of_memory
from engine.runs.files import CannotWriteError, locked, write_json

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")  # that `auto` can mean
AUTO_PRECISION = "AUTO_PRECISION"  # environment variable: what precision=auto means, whatever is measured
# Times as fast as float32 from which bfloat16 is taken. Near a tie its rounding would buy nothing, and what is measured
# twice should be chosen alike.
CLEARLY_FASTER = 1.15
# A processor that has no bfloat16 takes ten times as long as in float32, or more: that shows at a small size.
TRIAL_TRIES, TRIAL_LIMIT_S = 3, 0.1
MIN_REPEATS = 3  # the first of them prepares the library's kernels, too
BUDGET_S, PATIENCE_S = 0.6, 3.0  # of all repeats; fewer than MIN_REPEATS do where one takes so long
CPUINFO = Path("/proc/cpuinfo")
CPU_NAMES = ("vendor_id", "cpu family", "model", "model name", "stepping", "CPU implementer", "CPU part")
CPU_FEATURES = ("flags", "Features")  # on x86 and on ARM
VECTOR_FEATURES = ("avx", "amx", "fma", "asimd", "sve", "smeb", "bf16")  # what their names begin with
KEY_LENGTH = 20  # hexadecimal digits of a file's name


@dataclass(frozen=True)
class Convolution:
    """Square and channels last; of `side_cells` with the padding."""

    num_inputs: int
    num_outputs: int
    kernel: int
    dilation: int
    side_cells: int


TRIAL = Convolution(64, 64, kernel=3, dilation=1, side_cells=34)
# VGG-16's conv4_1, and a part of the front end's fc6, which is 512 -> 4096; of a small crop.
TRAINING = (
    Convolution(256, 512, kernel=3, dilation=1, side_cells=22),
    Convolution(256, 256, kernel=7, dilation=4, side_cells=40),
)


@dataclass(frozen=True)
class Measurement:
    """How many times as fast as float32 bfloat16 trains on this CPU; 0: it cannot, or is far too slow.

    `complaint` says why it could not be kept.
    """

    speedup: float
    complaint: str = ""

    @property
    def choice(self) -> Precision:
        return "bfloat16" if self.speedup >= CLEARLY_FASTER else "float32"

    def line(self, precision: Precision, key: str) -> str:
        """What the precision in use means here, and how `key`, a setting, chooses the other."""
        is_float32 = precision == "float32"
        other = "bfloat16" if is_float32 else "float32"
        if not self.speedup:
            return f"precision: {precision}; bfloat16 is far too slow here{self.complaint}"
        times = 1 / self.speedup if is_float32 else self.speedup
        bound = f" (auto takes it from {CLEARLY_FASTER} times on)" if 1 < self.speedup < CLEARLY_FASTER else ""
        return (
            f"precision: {precision}, measured {times:.2g} times as fast as {other} here; {key}={other} chooses the "
            f"other{bound if is_float32 else ''}{self.complaint}"
        )


def requested_precision() -> Precision | None:
    """What the environment has `auto` mean. Raises UserError."""
    requested = os.environ.get(AUTO_PRECISION)
    if requested is None:
        return None
    for precision in PRECISIONS:
        if requested == precision:
            return precision
    raise UserError(f"the environment variable {AUTO_PRECISION}={requested}: float32 or bfloat16 is required")


def machine(threads: int, cpuinfo: Path = CPUINFO) -> dict[str, Any]:
    """All that a measurement is kept under: processor, threads, torch, and what is computed."""
    return {
        "processor": describe_processor(cpuinfo),
        "threads": threads,
        "torch": str(torch.__version__),
        "work": [asdict(convolution) for convolution in TRAINING],
    }


def kept(root: Path, identity: Mapping[str, Any]) -> Measurement | None:
    """What was measured on such a machine; None where there is nothing, or a file that is none of ours or damaged."""
    try:
        content = json.loads(_file(root, identity).read_text())
        speedup = content["speedup"]
        is_ours = content["identity"] == identity and isinstance(speedup, float) and 0 <= speedup < math.inf
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return Measurement(speedup) if is_ours else None


def kept_or_measured(root: Path, identity: Mapping[str, Any], measure: Callable[[], float]) -> Measurement:
    """Of several processes that ask at once, one measures. Where nothing can be kept, each does."""
    measurement = kept(root, identity)
    if measurement is not None:
        return measurement
    file = _file(root, identity)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with locked(file.with_suffix(".lock"), lambda: None, lambda: None):  # for a second: no words about it
            measurement = kept(root, identity) or Measurement(measure())
            write_json(file, {"identity": identity, "speedup": measurement.speedup})
    except (OSError, CannotWriteError) as error:
        measurement = measurement or Measurement(measure())
        return replace(measurement, complaint=f"; to be measured anew at the next start: {error}")
    return measurement


def measured_speedup() -> float:
    """Of bfloat16 over float32, with this process's threads; 0 where it is far too slow or cannot be computed.

    The rate of a matrix product would not tell: in mixed precision every layer casts its weights and its maps, too.
    """
    try:
        trial = _tensors(TRIAL)
        if all(_seconds(TRIAL, *trial, "bfloat16") > TRIAL_LIMIT_S for _ in range(TRIAL_TRIES)):
            return 0.0
        return _speedup([(convolution, *_tensors(convolution)) for convolution in TRAINING])
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        return 0.0


def _speedup(works: Sequence[tuple[Convolution, Tensor, Tensor]]) -> float:
    """Both precisions in turn, and of each the least time: other work on the machine slows some repeats of both.

    All seconds are those that this thread computes, its share of the work: what it waits while others have the cores
    does not count, which on a crowded machine is most of the time.
    """
    least_s = {precision: [math.inf] * len(works) for precision in PRECISIONS}
    start_s, num_done = time.thread_time(), 0
    while (seconds := time.thread_time() - start_s) < BUDGET_S or (num_done < MIN_REPEATS and seconds < PATIENCE_S):
        for number, work in enumerate(works):
            for precision, least in least_s.items():
                least[number] = min(least[number], _seconds(*work, precision))
        num_done += 1
    return sum(least_s["float32"]) / sum(least_s["bfloat16"])


def _tensors(convolution: Convolution) -> tuple[Tensor, Tensor]:
    """Maps and weights, from a generator of their own: the run's random numbers stay what they are."""
    generator = torch.Generator().manual_seed(0)
    maps_size = (1, convolution.num_inputs, convolution.side_cells, convolution.side_cells)
    weight_size = (convolution.num_outputs, convolution.num_inputs, convolution.kernel, convolution.kernel)
    maps, weight = (torch.empty(size).uniform_(-1, 1, generator=generator) for size in (maps_size, weight_size))
    last = torch.channels_last
    return maps.contiguous(memory_format=last).requires_grad_(), weight.contiguous(memory_format=last).requires_grad_()


def _seconds(convolution: Convolution, maps: Tensor, weight: Tensor, precision: Precision) -> float:
    """Of one pass forward and backward."""
    maps.grad = weight.grad = None
    start_s = time.thread_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        output = functional.conv2d(maps, weight, dilation=convolution.dilation)
    output.backward(torch.ones_like(output))  # type: ignore[no-untyped-call]
    return time.thread_time() - start_s


def _file(root: Path, identity: Mapping[str, Any]) -> Path:
    return root / f"speed-{sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:KEY_LENGTH]}.json"


def describe_processor(cpuinfo: Path = CPUINFO) -> dict[str, str]:
    """Of the first core. Its frequency and the like are left out, which change from one look to the next."""
    described = {"architecture": platform.machine()}
    try:
        with cpuinfo.open(errors="replace") as file:
            for line in file:
                if not line.strip():
                    break  # the other cores; to list hundreds takes the system long
                name, _, value = (part.strip() for part in line.partition(":"))
                if name in CPU_NAMES:
                    described[name] = value
                elif name in CPU_FEATURES:
                    described[name] = " ".join(
                        sorted(word for word in value.split() if word.startswith(VECTOR_FEATURES))
                    )
    except OSError:
        pass  # no Linux
    return described
