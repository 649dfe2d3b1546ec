"""What a GPU is required to do, and what of it bits depend on."""

import re
from pathlib import Path

import torch

DRIVER = Path("/proc/driver/nvidia/version")  # "NVRM version: ... Kernel Module  580.65.06  Release Build ..."
UNKNOWN = "unknown"


def require_same_bits() -> None:
    """The same command gives the same bits on the same machine, and float32 means float32.

    So cuDNN may neither choose kernels by racing them nor add up in any order, and matrix units may not round to TF32.
    No other operation of training adds up in any order; on a GPU tests/test_gpu.py has torch raise at one that does.
    """
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def gpu_versions(device: torch.device) -> dict[str, str | int]:
    """The model of a GPU, and the versions of what chooses and makes its kernels."""
    return {
        "gpu": torch.cuda.get_device_name(device),
        "driver": driver_version(),
        "cuda": torch.version.cuda or UNKNOWN,
        "cudnn": torch.backends.cudnn.version() or 0,  # type: ignore[no-untyped-call]  # torch has no annotation here
    }


def driver_version(file: Path = DRIVER) -> str:
    """Of NVIDIA's kernel module; "unknown" where the system does not show it, as on Windows."""
    try:
        found = re.search(r"Kernel Module(?: for \S+)?\s+(\d[\d.]*)", file.read_text(errors="replace"))
    except OSError:
        return UNKNOWN
    return found[1] if found else UNKNOWN
