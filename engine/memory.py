"""How much memory a process has taken, and how much more it can get."""

import re
from collections.abc import Iterator
from pathlib import Path

import torch

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
# Of a control group: its limit, its use, and the line of memory.stat that says how much of it are files that can go.
VERSION_2 = ("memory.max", "memory.current", "inactive_file")
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def taken_bytes(device: torch.device, proc: Path = PROC) -> int | None:
    """Of a GPU what torch has allocated there, of a CPU what is resident of this process; None where no system says."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    found = re.search(r"^VmRSS:\s+(\d+) kB", _text(proc / "self" / "status"), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def available_bytes(device: torch.device, proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """That this process can still get: of a GPU what nobody has, of a CPU as the system and control groups allow.

    None where no system says.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _text(proc / "meminfo"), re.MULTILINE)
    system = [int(found[1]) * 1024] if found else []
    return min([*system, *_left_in_groups(proc, cgroups)], default=None)


def _left_in_groups(proc: Path, cgroups: Path) -> Iterator[int]:
    """Of every control group that this process is in and that has a limit."""
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = cgroups, VERSION_2
        elif "memory" in controllers.split(","):
            root, names = cgroups / "memory", VERSION_1
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *(parent for parent in group.parents if parent.is_relative_to(root))):
            yield from _left(folder, *names)


def _left(folder: Path, limit_name: str, use_name: str, files_name: str) -> Iterator[int]:
    """A container may see its own group as the root, and nothing at the path that it is told."""
    limit, use = (_text(folder / name).strip() for name in (limit_name, use_name))
    if not (limit.isdecimal() and use.isdecimal()):  # "max": there is none
        return
    found = re.search(rf"^{files_name} (\d+)$", _text(folder / "memory.stat"), re.MULTILINE)
    yield max(0, int(limit) - int(use) + (int(found[1]) if found else 0))


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
