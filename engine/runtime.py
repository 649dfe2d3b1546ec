"""Where and how numbers are computed, and how a run is asked to stop."""

import os
import signal
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch

from configs.errors import UserError
from configs.schema import Device, Precision, RuntimeConfig


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


def choose_runtime(config: RuntimeConfig) -> Runtime:
    """Resolve every `auto` by what this machine can do, and set the number of threads."""
    has_gpu = torch.cuda.is_available()
    if config.device is Device.gpu and not has_gpu:
        raise UserError("runtime=gpu, but torch sees no GPU here; use runtime=auto or runtime=cpu")
    device = torch.device("cuda" if has_gpu and config.device is not Device.cpu else "cpu")
    precision = config.precision
    if precision is Precision.auto:
        precision = Precision.bfloat16 if _multiplies_bfloat16(device) else Precision.float32
    threads = config.threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    return Runtime(device, precision, threads)


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
    """The run was asked to stop; what it had is saved or about to be."""


class StopRequest:
    """Turns the first SIGINT, SIGTERM or SIGUSR1 into a wish that the loop grants; the second one ends the process."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

    def __init__(self) -> None:
        self.wanted = False
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        self._previous = {number: signal.signal(number, self._receive) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned

    def _receive(self, number: int, _: FrameType | None) -> None:
        if self.wanted:
            os._exit(128 + number)
        self.wanted = True
        print(f"\n{signal.Signals(number).name}: saving, then stopping (once more: stop at once)", flush=True)

    def check(self) -> None:
        """Raise `Stopped` if a stop was asked for."""
        if self.wanted:
            raise Stopped
