"""Where and how numbers are computed: device, precision, threads."""

import os
import resource
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch

from configs.errors import UserError
from configs.schema import CacheConfig, Precision, RuntimeConfig
from engine.gpu import gpu_versions, require_same_bits
from engine.precision import (
    Measurement,
    describe_processor,
    kept,
    kept_or_measured,
    machine,
    measured_speedup,
    requested_precision,
)
from engine.process.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Runtime:
    """The device, the precision and the number of CPU threads that a process computes with, and its fellows."""

    device: torch.device
    precision: Precision  # never auto
    threads: int
    ranks: Ranks = ALONE
    measurement: Measurement | None = None  # of both precisions on this CPU, where there is one

    def to_plain(self) -> dict[str, str | int]:
        """All of the machine that bits depend on, as far as it is known. One process alone is not mentioned."""
        processes = {"processes": self.ranks.size} if self.ranks.size > 1 else {}
        gpu = gpu_versions(self.device) if self.device.type == "cuda" else {}
        return {"device": self.device.type, "precision": self.precision, "threads": self.threads, **gpu, **processes}

    @property
    def processor(self) -> str:
        """Of a CPU, whose kernels decide last bits: what several machines share on one disk depends on it, too."""
        return " ".join(describe_processor().values()) if self.device.type == "cpu" else ""

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

    def precision_line(self, key: str) -> str:
        """What the precision means here, and how the setting `key` chooses the other; empty where nothing is known."""
        return "" if self.measurement is None else self.measurement.line(self.precision, key)

    def _processes(self) -> str:
        return f"{self.ranks.size} processes, each on " if self.ranks.size > 1 else ""

    def peak_memory_mib(self) -> float:
        """Of the device that computes; on a CPU the largest resident size of this process so far."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def choose_runtime(config: RuntimeConfig, ranks: Ranks = ALONE, cache: CacheConfig | None = None) -> Runtime:
    """Resolve every `auto` by what this machine can do; set the number of threads, and what a GPU promises.

    The ranks of one machine share its cores, and each has a GPU of its own. Without a `cache` the speed of this machine
    is neither kept nor looked up.
    """
    has_gpu = torch.cuda.is_available()
    if config.device == "gpu" and not has_gpu:
        reason = "torch sees no GPU here" if torch.version.cuda else "this torch was built for CPUs alone"
        raise UserError(f"runtime=gpu, but {reason}; use runtime=auto or runtime=cpu")
    device = torch.device("cpu")
    if has_gpu and config.device != "cpu":
        device = torch.device("cuda", ranks.local_rank) if ranks.size > 1 else torch.device("cuda")
        _require_gpus(ranks)
    threads = config.threads or max(1, len(os.sched_getaffinity(0)) // ranks.local_size)
    torch.set_num_threads(threads)
    require_same_bits()
    # Ranks on other machines would measure otherwise: all compute in what is faster on the first.
    precision, measurement = ranks.of_first(lambda: _precision(config.precision, device, threads, cache))
    return Runtime(device, precision, threads, ranks, measurement)


def _require_gpus(ranks: Ranks) -> None:
    if ranks.local_size > torch.cuda.device_count():
        raise UserError(
            f"torchrun --nproc-per-node={ranks.local_size}: this machine has {torch.cuda.device_count()} GPUs, and "
            "each process needs one; start as many processes as there are GPUs, or set runtime=cpu"
        )


def _precision(
    wanted: Precision, device: torch.device, threads: int, cache: CacheConfig | None
) -> tuple[Precision, Measurement | None]:
    """The precision to compute in, and what is known of both here. Measures only where nothing else decides."""
    decided = (requested_precision() or wanted) if wanted == "auto" else wanted
    if device.type == "cuda":
        # Not measured: a GPU that has bfloat16 has units for it, far faster than its float32, which is never TF32 here.
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bfloat16" if has_bfloat16 else "float32") if decided == "auto" else decided, None
    root, identity = None if cache is None else Path(cache.root), machine(threads)
    if decided != "auto":
        return decided, None if root is None else kept(root, identity)
    measurement = (
        Measurement(measured_speedup()) if root is None else kept_or_measured(root, identity, measured_speedup)
    )
    return measurement.choice, measurement
