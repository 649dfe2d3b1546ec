"""The memory that a training is forecast to take, against the peak that it then takes.

python benchmarks/memory.py                   every setting
python benchmarks/memory.py --only light      those whose name holds this word
python benchmarks/memory.py --device gpu      on a GPU, where the peak is that of torch's allocator

Each setting is a run of train.py on the built-in scenes in a process of its own: two steps, then scoring. The forecast
is what its log says before the first step, the peak what its summary.json says at the end.
"""

import argparse
import itertools
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FORECAST = re.compile(r"memory: about ([\d,]+) MiB")
TWO_STEPS = ("data.limit=12", "runtime.workers=0", "run.num_pictures=1")
STAGE = {"steps": 2, "validate_steps": 2, "maps": "computed", "lr": 1e-6, "schedule.warmup_steps": 0}

# Of a name: groups and keys, the stage, and what its settings are beside STAGE.
SETTINGS: dict[str, tuple[list[str], str, dict[str, object]]] = {
    "small": ([], "frontend", {}),
    "small, batch 2": ([], "frontend", {"batch": 2}),
    "small, batch 24": ([], "frontend", {"batch": 24}),
    "small, crop 128": ([], "frontend", {"crop_px": "[128,128]"}),
    "small, zero padding": (["model.padding=zero"], "frontend", {}),
    "small, checkpoints": ([], "frontend", {"checkpoint_activations": "true"}),
    "small, accumulated": ([], "frontend", {"accumulation": 4}),
    "small with context": ([], "warmup", {"batch": 8}),
    "small with context, pixels": ([], "warmup", {"batch": 8, "loss.grid": "pixels"}),
    "small with context, wide": (["context=large"], "warmup", {"batch": 4}),
    "light, zero padding": (["frontend=light", "model.padding=zero"], "frontend", {"batch": 2}),
    "light, pixels": (["frontend=light", "model.padding=zero"], "frontend", {"batch": 2, "loss.grid": "pixels"}),
    "light, checkpoints": (
        ["frontend=light", "model.padding=zero"], "frontend", {"batch": 4, "checkpoint_activations": "true"}
    ),
    "light, frozen blocks": (["frontend=light", "model.padding=zero"], "warmup", {"batch": 4, "frozen_blocks": 2}),
    "light, kept maps": (
        ["frontend=light", "model.padding=zero"], "warmup", {"batch": 4, "frozen_blocks": 3, "maps": "cached"}
    ),
    "light, SGD": (
        ["frontend=light", "model.padding=zero"], "frontend", {"batch": 2, "optimizer.name": "sgd"}
    ),
    "full width": (
        ["frontend=vgg16", "model.padding=zero"], "frontend", {"batch": 1, "crop_px": "[128,128]"}
    ),
    "light, reflected": (["frontend=light"], "frontend", {"batch": 1, "crop_px": "[128,128]"}),
}  # fmt: skip


def words(name: str, precision: str, folder: str) -> list[str]:
    """Of the command line."""
    own, stage, changes = SETTINGS[name]
    keys = [f"stage.{stage}.{key}={value}" for key, value in {"crop_px": "[256,256]", **STAGE, **changes}.items()]
    places = [f"run.dir={folder}/run", f"cache.root={folder}/cache"]
    return [*own, *TWO_STEPS, *keys, *places, f"stages=[{stage}]", f"runtime.precision={precision}"]


def forecast_and_peak(name: str, precision: str, device: str) -> tuple[float, float]:
    """Both in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "train.py"), *words(name, precision, folder), f"runtime={device}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{done.stdout}{done.stderr}")
        said = FORECAST.search(done.stdout)
        assert said is not None, "train.py says no forecast"
        summary = json.loads((Path(folder) / "run" / "summary.json").read_text())
    return float(said[1].replace(",", "")), summary["peak_memory_mib"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a part of the names")
    parser.add_argument("--precision", nargs="+", choices=["float32", "bfloat16"], default=["float32", "bfloat16"])
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    arguments = parser.parse_args()
    names = [name for name in SETTINGS if arguments.only in name]
    print("| setting | precision | forecast, MiB | peak, MiB | error |\n|---|---|---|---|---|")
    errors = []
    for name, precision in itertools.product(names, arguments.precision):
        forecast, peak = forecast_and_peak(name, precision, arguments.device)
        errors.append(forecast / peak - 1)
        print(f"| {name} | {precision} | {forecast:,.0f} | {peak:,.0f} | {errors[-1]:+.1%} |", flush=True)
    num_near = sum(abs(error) <= 0.15 for error in errors)
    print(f"\n{num_near} of {len(errors)} within 15 %, the largest error {max(errors, key=abs):+.1%}")


if __name__ == "__main__":
    main()
