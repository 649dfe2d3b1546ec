"""python -m benchmarks.gpu_machine: what is there; the exit code is 1 where a requirement of the project is not met."""

import importlib.metadata
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from packaging.requirements import Requirement

FOR_TESTS = ("pytest",)
PRESUPPOSED = ("torch", "torchvision")
PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def requirement_line(requirement: Requirement) -> tuple[str, bool]:
    """A line about it, and whether it is met."""
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement}: MISSING; name it to benchmarks/gpu.sh pack", False
    is_met = requirement.specifier.contains(version, prereleases=True)
    return f"{requirement}: {version}{'' if is_met else ', NOT MET'}", is_met


def with_theirs(texts: Iterable[str]) -> Iterator[Requirement]:
    """Requirements, and what is required by what is installed for them; each once. torch is not asked: it is there."""
    to_come, seen = list(texts), set()
    while to_come:
        requirement = Requirement(to_come.pop(0))
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and str(requirement) not in seen:
            seen.add(str(requirement))
            yield requirement
            if requirement.name in PRESUPPOSED:
                continue
            with suppress(importlib.metadata.PackageNotFoundError):
                to_come += importlib.metadata.requires(requirement.name) or []


def main() -> int:
    print(f"Python {platform.python_version()}, {platform.platform()}")
    direct = [*tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"], *FOR_TESTS]
    checked = [requirement_line(requirement) for requirement in with_theirs(direct)]
    print(*(line for number, (line, is_met) in enumerate(checked) if number < len(direct) or not is_met), sep="\n")
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    print(f"torch {torch.__version__}, CUDA {torch.version.cuda}, GPU: {gpu}")
    if shutil.which("nvidia-smi"):
        print(subprocess.run(["nvidia-smi"], capture_output=True, text=True).stdout)
    return int(not all(is_met for _, is_met in checked))


if __name__ == "__main__":
    sys.exit(main())
