"""The long campaigns: python -m tests.torture [CAMPAIGN ...] [--seed N] [--scale SHARE] [--try NUMBER]

Each prints what it loses, and how to repeat that; the table and the exit code come last. Without --scale it takes about
half an hour on two cores.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.torture import processes
from tests.torture.damage import damage
from tests.torture.images import images
from tests.torture.kills import kills
from tests.torture.ranks import ranks
from tests.torture.resume import resume
from tests.torture.sweep import sweep
from tests.torture.tries import Campaign, Outcome, Setting

CAMPAIGNS: dict[str, Campaign] = {
    campaign.__name__: campaign for campaign in (damage, images, resume, kills, sweep, ranks)
}
PROGRESS_S = 15.0  # between two lines
SHARED_MEMORY = Path("/dev/shm")
OF_TORCH = "torch_*"  # the names of its pieces there
OF_TORCHRUN = "torchelastic_"  # the folders that every torchrun leaves, whatever it starts


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__.partition("\n")[0])
    parser.add_argument("campaigns", nargs="*", metavar="CAMPAIGN", help=f"all of {', '.join(CAMPAIGNS)} by default")
    parser.add_argument("--seed", type=int, default=0, help="other moments, places and draws")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the tries to make, above 0; 0.05 for a look")
    parser.add_argument("--try", type=int, dest="only", metavar="NUMBER", help="one try of a campaign, by its number")
    request = parser.parse_args(arguments)
    unknown = [name for name in request.campaigns if name not in CAMPAIGNS]
    if unknown:
        parser.error(f"there is no campaign {unknown[0]}; there are {', '.join(CAMPAIGNS)}")
    if not 0 < request.scale <= 10:
        parser.error(f"--scale={request.scale:g}: a share of the tries above 0 and at most 10 is required")
    processes.prepare()
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    outcomes: list[Outcome] = []
    try:
        for name in request.campaigns or CAMPAIGNS:
            setting = Setting(folder / name, request.seed, request.scale, request.only)
            outcomes += run(name, setting)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    finally:
        for pid in processes.children():
            processes.end_child(pid)
        if any(outcome.lost for outcome in outcomes):
            print(f"\nwhat the tries left is in {folder}")
        else:
            shutil.rmtree(folder)
    print(table(outcomes))
    return int(any(outcome.lost for outcome in outcomes))


def run(name: str, setting: Setting) -> Iterator[Outcome]:
    """The outcomes of a campaign; its progress and its losses are printed."""
    began_s = said_s = time.monotonic()
    print(f"== {name}", flush=True)
    num_tries, num_lost = 0, 0
    for outcome in _with_leftovers(CAMPAIGNS[name], setting):
        num_tries, num_lost = num_tries + 1, num_lost + bool(outcome.lost)
        if outcome.lost:
            again = f" --try={outcome.number}" if outcome.number >= 0 else ""
            print(f"LOST {outcome.fault}: {outcome.lost}")
            print(f'    again: make torture ARGS="{name} --seed={setting.seed}{again}"', flush=True)
        if time.monotonic() - said_s > PROGRESS_S:
            said_s = time.monotonic()
            print(f"{name}: {num_tries} tries, {num_lost} lost, {said_s - began_s:.0f} s", flush=True)
        yield outcome
    print(f"{name}: {num_tries} tries, {num_lost} lost, in {time.monotonic() - began_s:.0f} s", flush=True)


def _with_leftovers(campaign: Campaign, setting: Setting) -> Iterator[Outcome]:
    """The campaign's outcomes, and whether it has left files, processes or shared memory behind.

    A campaign that breaks off is lost: what it did not try, it has not shown.
    """
    temporary = setting.folder / "temporary"
    temporary.mkdir(parents=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    shared = set(SHARED_MEMORY.glob(OF_TORCH))
    try:
        yield from campaign(setting)
    except Exception:
        traceback.print_exc()
        yield Outcome(f"{setting.folder.name} to its end", -1, "broke off, see above")
    left = [f"process {command}" for command in processes.orphans()]
    files = [path for path in temporary.iterdir() if not path.name.startswith(OF_TORCHRUN)]
    left += [str(path.relative_to(setting.folder)) for path in [*files, *setting.folder.rglob(".*.tmp")]]
    left += [str(path) for path in set(SHARED_MEMORY.glob(OF_TORCH)) - shared if _is_ownerless(path)]
    yield Outcome("no process, file or shared memory left", -1, ", ".join(left))


def _is_ownerless(piece: Path) -> bool:
    """Whether the process is gone whose number torch has put into the name: torch_PID_..."""
    return not Path(f"/proc/{piece.name.split('_')[1]}").exists()


def table(outcomes: Sequence[Outcome]) -> str:
    tries = Counter(outcome.fault for outcome in outcomes)
    lost = Counter(outcome.fault for outcome in outcomes if outcome.lost)
    width = max(map(len, tries))
    lines = [f"{'fault':{width}}  tries  survived  lost"]
    lines += [f"{name:{width}}  {num:5}  {num - lost[name]:8}  {lost[name]:4}" for name, num in tries.items()]
    return "\n".join(["", *lines, f"torture: {tries.total()} tries, {lost.total()} lost"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
