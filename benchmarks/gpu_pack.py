"""python -m benchmarks.gpu_pack DATA WEIGHTS [PACKAGE ...]: what a machine without a network lacks, in three archives.

packages.zip   what pip installs of the PACKAGEs, without what they require, for Python 3.12 on Linux, x86_64
data.zip       train and val of CamVid in DATA: SPLIT/images and SPLIT/labels
weights.zip    WEIGHTS, a .safetensors file of VGG-16's convolutions

They lie in benchmarks/gpu, which git ignores. The exit code is 1 where they and the checkout come to more than 64 MiB;
the archives may travel one at a time, and benchmarks/gpu.sh run does what it has the parts for.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_LZMA, ZipFile

ROOT = Path(__file__).resolve().parent.parent
LIMIT_MIB = 64
# What a machine with torch and the usual packages of science has not: Hydra, albumentations, pydantic, and what these
# require beside. benchmarks/gpu_machine.py says what else is missing.
PACKAGES = (
    "hydra-core", "omegaconf", "antlr4-python3-runtime", "albumentations", "albucore", "simsimd", "stringzilla",
    "pydantic", "pydantic-core", "annotated-types", "typing-inspection", "typing-extensions",
)  # fmt: skip
ONLY_SOURCES = ("antlr4-python3-runtime",)  # pure Python that is published without a wheel
PYTHON = "3.12"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
SPLITS, KINDS = ("train", "val"), ("images", "labels")


def pack_packages(path: Path, names: Sequence[str]) -> None:
    """In the tested versions. LZMA halves what deflate, which wheels are packed by, leaves of them."""
    with tempfile.TemporaryDirectory() as folder:
        built, site = Path(folder) / "built", Path(folder) / "site"
        built.mkdir()
        sources = [name for name in names if name in ONLY_SOURCES]
        if sources:
            _pip("wheel", "--no-deps", f"--wheel-dir={built}", *sources)
        platforms = [f"--platform={platform}" for platform in PLATFORMS]
        target = [f"--python-version={PYTHON}", "--implementation=cp", *platforms, f"--target={site}"]
        _pip("install", "--no-deps", "--no-compile", "--only-binary=:all:", f"--find-links={built}", *target, *names)
        _write(path, site, _files(site), ZIP_LZMA)


def _pip(command: str, *words: str) -> None:
    constraint = f"--constraint={ROOT / 'constraints.txt'}"
    subprocess.run([sys.executable, "-m", "pip", command, "--quiet", constraint, *words], check=True)


def pack_data(path: Path, data: Path) -> None:
    """Raises SystemExit where a folder is missing."""
    files = [file for split in SPLITS for kind in KINDS for file in _files(data / split / kind)]
    _write(path, data, files, ZIP_DEFLATED)


def pack_weights(path: Path, weights: Path) -> None:
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.write(weights, "weights.safetensors")


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SystemExit(f"{folder} is missing")
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _write(path: Path, root: Path, files: Sequence[Path], compression: int) -> None:
    """Names in the archive are relative to `root`."""
    with ZipFile(path, "w", compression) as archive:
        for file in files:
            archive.write(file, file.relative_to(root))


def write_tiny(folder: Path) -> tuple[Path, Path]:
    """DATA and WEIGHTS for a dry run: a few pictures of noise, and a file that is no network's."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for split in SPLITS:
        for kind in KINDS:
            (folder / split / kind).mkdir(parents=True)
        for number in range(3):
            name = f"0001TP_{split}_{number}.png"
            Image.fromarray(random.integers(0, 256, (96, 128, 3), np.uint8)).save(folder / split / "images" / name)
            Image.fromarray(random.integers(0, 11, (96, 128), np.uint8)).save(folder / split / "labels" / name)
    (folder / "weights.safetensors").write_bytes(b"none")
    return folder, folder / "weights.safetensors"


def checkout_bytes() -> int:
    """Of all files that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / name for name in listed.decode().split("\0") if name]
    return sum(path.stat().st_size for path in paths if path.is_file())


def report(folder: Path) -> int:
    """Print what each part weighs; 1 where all of it is too heavy."""
    parts = {archive.name: archive.stat().st_size for archive in sorted(folder.glob("*.zip"))}
    parts["checkout"] = checkout_bytes()
    parts["in all"] = sum(parts.values())
    for name, size in parts.items():
        print(f"{name:13} {size / 2**20:6.1f} MiB")
    is_heavy = parts["in all"] > LIMIT_MIB * 2**20
    if is_heavy:
        print(f"more than {LIMIT_MIB} MiB: take the archives one at a time")
    return int(is_heavy)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_pack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "benchmarks" / "gpu")
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("packages", nargs="*", default=PACKAGES, help=f"in place of {' '.join(PACKAGES)}")
    if words[:1] == ["--tiny"]:
        return tiny(Path(words[1]))
    request = parser.parse_args(words)
    request.folder.mkdir(parents=True, exist_ok=True)
    pack_data(request.folder / "data.zip", request.data)
    pack_weights(request.folder / "weights.zip", request.weights)
    pack_packages(request.folder / "packages.zip", request.packages)
    return report(request.folder)


def tiny(folder: Path) -> int:
    """For a dry run, where all packages are there."""
    with tempfile.TemporaryDirectory() as made:
        data, weights = write_tiny(Path(made))
        pack_data(folder / "data.zip", data)
        pack_weights(folder / "weights.zip", weights)
    return report(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
