"""python -m benchmarks.gpu_run [SECONDS [KEY=VALUE ...]]: the next steps of a fixed list, as far as the seconds go.

Each step is done once; `FOLDER/progress` knows which are: remove a step's file there to have it done again. A training
that is stopped goes on in the next call; what else is stopped begins anew, and is given up where it was stopped twice.
`FOLDER/results` gets what the steps print, and summary.md. Before the archives of benchmarks/gpu_pack.py are unpacked,
only the standard library can be relied on.
"""

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parent.parent
DONE, FAILED, MORE = 0, 1, 75
SECONDS = 520
SAVE_S = 30.0  # from the signal to a saved training; a checkpoint of the full width has a gigabyte
STOPS = 2  # after so many a step that cannot go on is given up
SUMMARY_LINES = 40  # of each step's output
NETWORKS = ("front end", "front end + Basic", "front end + Large")
CROPS = ((256, 8), (512, 2))  # side in px, and how many fill a GPU

State = Literal["done", "failed", "stopped"]


class TimeUp(Exception):
    """A SIGTERM has come: as if the seconds were over."""


@dataclass(frozen=True)
class Step:
    """A command, how many seconds it has to have, and after how many it is given up.

    `goes_on`: it saves at SIGUSR1, exits with 75, and resumes. `needs` are parts of the folder without which it waits.
    """

    name: str
    command: Sequence[str]
    least_s: float = 0.0
    most_s: float = math.inf
    goes_on: bool = False
    needs: Sequence[str] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of a step so far: seconds over all calls, how often it was stopped, its last exit code."""

    state: State
    code: int | None
    seconds: float
    stops: int


def steps(folder: Path, words: Sequence[str], is_dry: bool) -> list[Step]:
    """All of them in order. `words` are added to the command of the training."""
    return [
        Step("machine", [sys.executable, "-m", "benchmarks.gpu_machine"]),
        Step("tests", [sys.executable, "-m", "pytest", "-m", "gpu", "tests/test_gpu.py"], 0 if is_dry else 150, 300),
        *(_tiny_measurements(folder) if is_dry else _measurements(folder)),
        _training(folder, [*(TINY_TRAINING if is_dry else ()), *words]),
    ]


def _measurements(folder: Path) -> list[Step]:
    cases = [("rows", network, "zero", *crop) for network in NETWORKS for crop in CROPS]
    cases += [("rows", NETWORKS[0], "reflect", *CROPS[0])]  # what experiment=camvid takes
    cases += [("memory", network, padding, *CROPS[0]) for network, padding in
              ((NETWORKS[0], "zero"), (NETWORKS[0], "reflect"), (NETWORKS[2], "zero"))]  # fmt: skip
    cases += [("forms", NETWORKS[1], "zero", *CROPS[0])]
    return [_measurement(folder, *case) for case in cases]


def _measurement(folder: Path, kind: str, network: str, padding: str, crop_px: int, batch: int, *more: str) -> Step:
    name = f"{kind}, {network}, {padding}, {batch} x {crop_px} px"
    options = ["--network", network, "--padding", padding, "--crop-px", str(crop_px), "--batch", str(batch), *more]
    path = folder / "results" / f"{file_name(name)}.json"
    least_s, most_s = (240, 480) if kind == "forms" else (90, 180)  # compiling may take a minute each time
    command = [sys.executable, "-m", "benchmarks.gpu_steps", kind, "--json", str(path), *options]
    return Step(name, command) if "cpu" in more else Step(name, command, least_s, most_s)


def _tiny_measurements(folder: Path) -> list[Step]:
    tiny = ("--device", "cpu", "--width", "0.03125", "--threads", "1")
    return [
        _measurement(folder, "rows", NETWORKS[1], "zero", 64, 2, *tiny),
        _measurement(folder, "memory", NETWORKS[0], "reflect", 64, 1, *tiny),
        _measurement(folder, "forms", NETWORKS[1], "zero", 64, 1, *tiny, "--forms", "graphs"),
    ]


TINY_TRAINING = (
    "model.frontend.width=0.03125", "model.pretrained=null", "runtime.threads=1", "runtime.workers=0",
    "runtime.precision=float32", "validation.tile_px=[128,128]",
    *(f"stage.{stage}.{key}" for stage in ("frontend", "joint")
      for key in ("steps=2", "validate_steps=2", "batch=1", "crop_px=[64,64]")),
)  # fmt: skip


def _training(folder: Path, words: Sequence[str]) -> Step:
    """The paper's recipe: front end, then joint."""
    workers = max(1, min(8, (os.cpu_count() or 1) - 1))
    command = [
        sys.executable, "train.py", "experiment=camvid", f"data.root={folder / 'data'}",
        f"model.pretrained={folder / 'weights' / 'weights.safetensors'}", f"run.dir={folder / 'run'}",
        f"cache.root={folder / 'cache'}", f"runtime.workers={workers}", "resume=auto", *words,
    ]  # fmt: skip
    return Step("training", command, 60, goes_on=True, needs=("data", "weights"))


def file_name(name: str) -> str:
    """Letters, digits, "-" and "_" of a step's name."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def unpack(folder: Path) -> None:
    """Every archive that came along and has not been unpacked: PART.zip to PART/."""
    for archive in sorted(folder.glob("*.zip")):
        place, stamp = folder / archive.stem, folder / f"{archive.stem}.unpacked"
        size = str(archive.stat().st_size)
        if not stamp.exists() or stamp.read_text() != size:
            with ZipFile(archive) as file:
                file.extractall(place)
            stamp.write_text(size)


def piece(folder: Path, todo: Sequence[Step], seconds: float) -> int:
    """Do what is not done yet, in order, for so many seconds. Returns DONE, MORE or FAILED."""
    until_s = time.monotonic() + seconds
    for name in ("progress", "results"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    waits = False
    for step in todo:
        before = outcome_of(folder, step)
        if before is not None and before.state != "stopped":
            continue
        if not all((folder / part).is_dir() for part in step.needs):
            print(f"{step.name}: waits for {' and '.join(step.needs)}", flush=True)
            waits = True
            continue
        left_s = until_s - time.monotonic()
        if left_s <= max(step.least_s, SAVE_S * step.goes_on):
            print(f"{step.name}: needs more than the {left_s:.0f} s that are left", flush=True)
            return MORE
        outcome = take(folder, step, left_s, before)
        print(f"{step.name}: {outcome.state} after {outcome.seconds:.0f} s", flush=True)
        if outcome.state == "stopped" or outcome.stops > (before.stops if before else 0):
            return MORE
    if waits:
        return MORE
    return FAILED if any((found := outcome_of(folder, step)) and found.state == "failed" for step in todo) else DONE


def outcome_of(folder: Path, step: Step) -> Outcome | None:
    """None: it has not been begun."""
    path = folder / "progress" / f"{file_name(step.name)}.json"
    return Outcome(**json.loads(path.read_text())) if path.exists() else None


def take(folder: Path, step: Step, left_s: float, before: Outcome | None) -> Outcome:
    """Run the step until it ends or the seconds do, and keep what came of it."""
    start_s = time.monotonic()
    output = folder / "results" / file_name(step.name)
    mode = "a" if step.goes_on else "w"
    packages = os.pathsep.join(filter(None, [str(folder / "packages"), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": packages, "PYTHONUNBUFFERED": "1"}
    with output.with_suffix(".txt").open(mode) as text, output.with_suffix(".log").open(mode) as log:
        process = subprocess.Popen(
            step.command, cwd=ROOT, env=environment, stdout=text, stderr=log, start_new_session=True
        )
        code, in_time = wait(process, min(left_s, step.most_s), step.goes_on)
    is_overdue = not in_time and time.monotonic() - start_s >= step.most_s
    stops = (before.stops if before else 0) + (not in_time and not is_overdue)
    is_cut_short = not in_time and code < 0  # by a signal that came before it could save
    is_stopped = (code == MORE or is_cut_short) if step.goes_on else (stops < STOPS and not in_time and not is_overdue)
    state: State = "stopped" if is_stopped else "done" if code == 0 else "failed"
    outcome = Outcome(state, code, (before.seconds if before else 0.0) + time.monotonic() - start_s, stops)
    (folder / "progress" / f"{file_name(step.name)}.json").write_text(json.dumps(asdict(outcome)) + "\n")
    return outcome


def wait(process: "subprocess.Popen[Any]", left_s: float, goes_on: bool) -> tuple[int, bool]:
    """The exit code, and whether it ended by itself. Whatever the process has started ends with it."""
    try:
        return process.wait(left_s - SAVE_S * goes_on), True
    except (subprocess.TimeoutExpired, TimeUp):
        if goes_on:
            process.send_signal(signal.SIGUSR1)
            try:
                return process.wait(SAVE_S), False
            except subprocess.TimeoutExpired:
                pass
        return MORE, False
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def summary(folder: Path, todo: Sequence[Step]) -> str:
    """In Markdown: what came of each step, and the end of what it printed."""
    lines = ["| step | | seconds | exit code |", "|---|---|---|---|"]
    ends: list[str] = []
    for step in todo:
        outcome = outcome_of(folder, step)
        if outcome is None:
            lines.append(f"| {step.name} | to come | | |")
            continue
        lines.append(f"| {step.name} | {outcome.state} | {outcome.seconds:.0f} | {outcome.code} |")
        ends += ["", f"## {step.name}", ""]
        for suffix in (".txt", ".log") if outcome.state == "failed" else (".txt",):
            text = (folder / "results" / file_name(step.name)).with_suffix(suffix).read_text(errors="replace")
            ends += text.splitlines()[-SUMMARY_LINES:]
    return "\n".join([*lines, *ends]) + "\n"


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "benchmarks" / "gpu")
    parser.add_argument("--dry", action="store_true", help="tiny settings, on the CPU")
    parser.add_argument("--only", metavar="GLOB", default="*", help="steps of these names, as 'rows*' or training")
    parser.add_argument("seconds", type=float, nargs="?", default=SECONDS)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of train.py, the same in every call")
    request = parser.parse_args(words)
    folder, start_s = request.folder.resolve(), time.monotonic()

    def stop(*_: object) -> None:
        raise TimeUp

    signal.signal(signal.SIGTERM, stop)
    todo = steps(folder, request.overrides, request.dry)
    chosen = [step for step in todo if fnmatchcase(step.name, request.only)]
    try:
        unpack(folder)
        code = piece(folder, chosen, request.seconds - (time.monotonic() - start_s))
    except TimeUp:
        code = MORE
    path = folder / "results" / "summary.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(summary(folder, todo))
    print(f"{path}: {'all is done' if code == DONE else 'call it again' if code == MORE else 'a step failed'}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
