"""A training of one's own, interrupted at random until it has ended, against the same that was left alone:

    python -m tests.torture.interrupted WHOLE PLACE [--pause_s 45 150] [--seed 0] -- python train.py ...

WHOLE is the folder of the command that was left alone, PLACE one that it has not yet had. The command is run in PLACE
(`run.dir` and `resume` are appended), hit after a random pause, and run again. A try is one hit; the last is the end.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

from configs.errors import STOP_SIGNALS, STOPPED
from engine.runs.files import TEMPORARY
from tests.helpers.ranks import children
from tests.torture import processes, runs

STOP_S = 240.0  # that a command may take to save and end
RANKS = "torch.distributed.run"  # the module that torchrun is


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.interrupted")
    parser.add_argument("whole", type=Path, help="folder of the run that was left alone")
    parser.add_argument("place", type=Path, help="folder of the run to interrupt")
    parser.add_argument("--pause_s", type=float, nargs=2, default=(45.0, 150.0), metavar=("LEAST", "MOST"))
    parser.add_argument("--seed", type=int, default=0, help="other pauses and hits")
    parser.add_argument("command", nargs="+")
    request = parser.parse_args(arguments)
    processes.prepare()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` and a shell's & have these ignored, and the command would
    signal.signal(signal.SIGINT, signal.default_int_handler)
    words = [*request.command, f"run.dir={request.place}", "resume=auto"]
    draw = random.Random(request.seed)
    num_hits, num_lost, begun_s = 0, 0, time.monotonic()
    with request.place.with_suffix(".txt").open("ab") as output:
        while True:
            sitting = _sit(words, output, draw, request.pause_s)
            lost = "; ".join(filter(None, (sitting.lost, *(f"outlived by {it}" for it in processes.orphans()))))
            num_hits, num_lost = num_hits + bool(sitting.hit), num_lost + bool(lost)
            print(
                f"{time.monotonic() - begun_s:6.0f} s  {sitting.hit or 'its end'}: {sitting.code}  {lost}", flush=True
            )
            if not sitting.hit:
                break
    leftovers = [path.name for path in request.place.glob(TEMPORARY)]
    different = f"left {leftovers}" if leftovers else runs.same(request.whole, request.place)
    print(f"{num_hits} hits, {num_lost} lost; {different or 'every bit is that of the run left alone'}")
    return 1 if num_lost or different else 0


class _Sitting(NamedTuple):
    """How one start of the command ended: what it was hit by and what is wrong with its end, each empty without."""

    code: int | None
    hit: str
    lost: str


def _sit(words: list[str], output: IO[bytes], draw: random.Random, pause_s: tuple[float, float]) -> _Sitting:
    process = subprocess.Popen(words, stdout=output, stderr=output, start_new_session=True)
    try:
        code = process.wait(draw.uniform(*pause_s))
    except subprocess.TimeoutExpired:
        hit, expected = _hit(process, draw, has_ranks=RANKS in words)
        code = _end(process)
        return _Sitting(code, hit, "" if code in expected else f"ended with {code}")
    return _Sitting(code, "", f"ended by itself with {code}" if code else "")


def _hit(process: "subprocess.Popen[bytes]", draw: random.Random, *, has_ranks: bool) -> tuple[str, set[int]]:
    """Send a signal to the whole group or to one process; what was done, and the codes that may come of it.

    torchrun ends with 1 whatever its processes end with, and by the signals that it does not know.
    """
    number = draw.choice([*STOP_SIGNALS, signal.SIGKILL])
    name = signal.Signals(number).name
    if not has_ranks:
        to_group = number != signal.SIGKILL and draw.random() < 0.5
        (os.killpg if to_group else os.kill)(process.pid, number)
        return f"{name} to {'the group' if to_group else 'it'}", {-number if number == signal.SIGKILL else STOPPED}
    if number != signal.SIGKILL and draw.random() < 0.5:
        os.killpg(process.pid, number)
        return f"{name} to the group", {1, -number}
    ranks = children(process.pid)
    chosen = draw.randrange(len(ranks))
    os.kill(ranks[chosen], number)
    return f"{name} to process {chosen} of {len(ranks)}", {1}


def _end(process: "subprocess.Popen[bytes]") -> int | None:
    try:
        return process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
