"""python -m benchmarks.gpu_machine: what is there; the exit code is 1 where a requirement of the project is not met."""

import importlib.metadata
import platform
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def requirement_line(text: str) -> tuple[str, bool]:
    """A line about one requirement, and whether it is met."""
    from packaging.requirements import Requirement

    requirement = Requirement(text)
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement}: MISSING; name it to benchmarks/gpu.sh pack", False
    is_met = requirement.specifier.contains(version, prereleases=True)
    return f"{requirement}: {version}{'' if is_met else ', NOT MET'}", is_met


def main() -> int:
    print(f"Python {platform.python_version()}, {platform.platform()}")
    requirements = tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]
    checked = [requirement_line(text) for text in [*requirements, "pytest", "hypothesis"]]
    print(*(line for line, _ in checked), sep="\n")
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    print(f"torch {torch.__version__}, CUDA {torch.version.cuda}, GPU: {gpu}")
    if shutil.which("nvidia-smi"):
        print(subprocess.run(["nvidia-smi"], capture_output=True, text=True).stdout)
    return int(not all(is_met for _, is_met in checked))


if __name__ == "__main__":
    sys.exit(main())
