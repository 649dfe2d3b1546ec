"""Where and how numbers are computed: device, precision, threads."""

import os
import resource
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch

from configs.errors import UserError
from configs.schema import Precision, RuntimeConfig
from engine.gpu import gpu_versions, require_same_bits
from engine.process.ranks import ALONE, Ranks

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")  # that `auto` can mean
AUTO_PRECISION = "AUTO_PRECISION"  # environment variable: what precision=auto means, whatever the processor can do


@dataclass(frozen=True)
class Runtime:
    """The device, the precision and the number of CPU threads that a process computes with, and its fellows."""

    device: torch.device
    precision: Precision  # never auto
    threads: int
    ranks: Ranks = ALONE

    def to_plain(self) -> dict[str, str | int]:
        """All of the machine that bits depend on, as far as it is known. One process alone is not mentioned."""
        processes = {"processes": self.ranks.size} if self.ranks.size > 1 else {}
        gpu = gpu_versions(self.device) if self.device.type == "cuda" else {}
        return {"device": self.device.type, "precision": self.precision, "threads": self.threads, **gpu, **processes}

    def autocast(self) -> AbstractContextManager[object]:
        enabled = self.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    @property
    def pin_memory(self) -> bool:
        """Whether batches are to lie in page-locked memory: a GPU copies from there beside the work of the CPU."""
        return self.device.type == "cuda"

    def describe(self) -> str:
        if self.device.type == "cuda":
            return f"{self._processes()}{torch.cuda.get_device_name(self.device)}, {self.precision}"
        return f"{self._processes()}CPU, {self.threads} threads, {self.precision}"

    def _processes(self) -> str:
        return f"{self.ranks.size} processes, each on " if self.ranks.size > 1 else ""

    def peak_memory_mib(self) -> float:
        """Of the device that computes; on a CPU the largest resident size of this process so far."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def choose_runtime(config: RuntimeConfig, ranks: Ranks = ALONE) -> Runtime:
    """Resolve every `auto` by what this machine can do; set the number of threads, and what a GPU promises.

    The ranks of one machine share its cores, and each has a GPU of its own.
    """
    has_gpu = torch.cuda.is_available()
    if config.device == "gpu" and not has_gpu:
        reason = "torch sees no GPU here" if torch.version.cuda else "this torch was built for CPUs alone"
        raise UserError(f"runtime=gpu, but {reason}; use runtime=auto or runtime=cpu")
    device = torch.device("cpu")
    if has_gpu and config.device != "cpu":
        device = torch.device("cuda", ranks.local_rank) if ranks.size > 1 else torch.device("cuda")
        _require_gpus(ranks)
    precision = config.precision
    if precision == "auto":
        precision = _automatic_precision(device)
    threads = config.threads or max(1, len(os.sched_getaffinity(0)) // ranks.local_size)
    torch.set_num_threads(threads)
    require_same_bits()
    return Runtime(device, precision, threads, ranks)


def _require_gpus(ranks: Ranks) -> None:
    if ranks.local_size > torch.cuda.device_count():
        raise UserError(
            f"torchrun --nproc-per-node={ranks.local_size}: this machine has {torch.cuda.device_count()} GPUs, and "
            "each process needs one; start as many processes as there are GPUs, or set runtime=cpu"
        )


def _automatic_precision(device: torch.device) -> Precision:
    requested = os.environ.get(AUTO_PRECISION)
    if requested is None:
        return "bfloat16" if _multiplies_bfloat16(device) else "float32"
    for precision in PRECISIONS:
        if requested == precision:
            return precision
    raise UserError(f"the environment variable {AUTO_PRECISION}={requested}: float32 or bfloat16 is required")


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
