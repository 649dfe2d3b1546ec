"""Where and how numbers are computed, and how a run is asked to stop."""

import os
import resource
import signal
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch

from configs.errors import AGAIN_S, STOP_SIGNALS, UserError
from configs.schema import Device, Precision, RuntimeConfig

AUTO_PRECISION = "AUTO_PRECISION"  # environment variable: what precision=auto means, instead of asking the processor


@dataclass(frozen=True)
class Runtime:
    device: torch.device
    precision: Precision  # never auto
    threads: int

    def autocast(self) -> AbstractContextManager[object]:
        enabled = self.precision is Precision.bfloat16
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def describe(self) -> str:
        if self.device.type == "cuda":
            return f"{torch.cuda.get_device_name(self.device)}, {self.precision.name}"
        return f"CPU, {self.threads} threads, {self.precision.name}"

    def peak_memory_mib(self) -> float:
        """Of the device that computes; on a CPU the largest resident size of this process so far."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def choose_runtime(config: RuntimeConfig) -> Runtime:
    """Resolve every `auto` by what this machine can do; set the number of threads, and what a GPU promises.

    The same command gives the same bits, so cuDNN may neither choose kernels by racing them nor add up in any order;
    float32 means float32, so its matrix units may not round to TF32.
    """
    has_gpu = torch.cuda.is_available()
    if config.device is Device.gpu and not has_gpu:
        raise UserError("runtime=gpu, but torch sees no GPU here; use runtime=auto or runtime=cpu")
    device = torch.device("cuda" if has_gpu and config.device is not Device.cpu else "cpu")
    precision = config.precision
    if precision is Precision.auto:
        precision = _automatic_precision(device)
    threads = config.threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return Runtime(device, precision, threads)


def _automatic_precision(device: torch.device) -> Precision:
    wanted = os.environ.get(AUTO_PRECISION)
    if wanted is None:
        return Precision.bfloat16 if _multiplies_bfloat16(device) else Precision.float32
    if wanted not in (Precision.float32.name, Precision.bfloat16.name):
        raise UserError(f"the environment variable {AUTO_PRECISION}={wanted}: float32 or bfloat16 is required")
    return Precision[wanted]


def _multiplies_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is the faster arithmetic.

    On CPUs the instruction alone does not tell. On an Intel processor without AMX, AVX512-BF16 reached 0.6 of the
    float32 rate (docs/experiments.md, 2026-11-22); AMD's cores with that instruction have twice the float32 rate.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_amx_tile_supported() or (torch.cpu._is_avx512_bf16_supported() and _is_amd()))


def _is_amd() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and "AuthenticAMD" in cpuinfo.read_text()


class Stopped(Exception):
    """The run was asked to stop, by the signal of this name; what it had is saved or about to be."""


class StopRequest:
    """Turns the first signal into a wish that `check` grants; a later one ends the process at once.

    What comes within `AGAIN_S` is one wish.
    SIGUSR1 and SIGUSR2 are what clusters send before they take a machine away, SIGHUP is a terminal that is gone; under
    `nohup` that one stays ignored. The handler only sets a flag: whatever it interrupts may be half done, a print
    included.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._signal = "a request"
        self._asked_s = 0.0
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        for number in STOP_SIGNALS:
            if not (number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN):
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        """A run that was stopped is ending: what still comes must not take its exit code."""
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_IGN if self.wanted else handler)  # type: ignore[arg-type]
        self._previous.clear()

    def _receive(self, number: int, _: FrameType | None) -> None:
        now_s = time.monotonic()
        if self.wanted and now_s - self._asked_s > AGAIN_S:
            os._exit(128 + number)
        if not self.wanted:
            self._signal = signal.Signals(number).name
            self.wanted, self._asked_s = True, now_s

    def check(self) -> None:
        """Raise `Stopped` if a stop was asked for."""
        if self.wanted:
            raise Stopped(self._signal)
