"""python -m benchmarks [--only GLOB] [--quick]: ours against alternatives, and how far from what is possible.

A row holds where the ratio, the alternative's time over ours, and its spread come to 1. The exit code is 1 where one
does not, or where a measurement failed. Rows for orientation compare with other networks and cannot fail. Takes under
40 minutes on two cores.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from benchmarks.harness import Rounds
from benchmarks.rows import Group

FOLDER = Path(__file__).resolve().parent
LATEST, PARTIAL = FOLDER / "latest.json", FOLDER / "partial.json"
QUICK = Rounds(least=1, most=1, patience_s=0.0, limit_s=15.0)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="GLOB", default="*", help="rows and notes of these names, as 'fc6*'")
    parser.add_argument("--quick", action="store_true", help="each once, with lower bounds after 15 s: for a look")
    parser.add_argument("--threads", type=int, metavar="N", help="of everything but workers; all cores by default")
    parser.add_argument("--list", action="store_true", help="only say what there is")
    request = parser.parse_args(words)

    from benchmarks.session import Session, header, table, write

    threads = request.threads or len(os.sched_getaffinity(0))
    chosen = [group.only(lambda name: fnmatchcase(name, request.only)) for group in all_groups(threads)]
    names = [name for group in chosen for name in group.names]
    if not names:
        parser.error(f"--only={request.only}: no row has such a name; --list shows all")
    if request.list:
        print(*names, sep="\n")
        return 0
    import torch

    torch.set_num_threads(threads)
    session = Session(QUICK if request.quick else Rounds(), say=lambda line: print(line, file=sys.stderr, flush=True))
    is_partial = request.quick or request.only != "*" or request.threads is not None
    path = PARTIAL if is_partial else LATEST
    about = header(threads)
    session.run(chosen, keep=lambda: write(path, about, session.rows(), session.notes()))
    print(table(session.rows()), *session.notes(), sep="\n")
    print(f"written to {path}")
    return session.exit_code()


def all_groups(threads: int) -> Iterator[Group]:
    """In the order in which they are measured. Imported here, so that the processes of tasks import only their own."""
    from benchmarks import answers, commands, pipeline, steps

    for module in (steps, pipeline, answers, commands):
        yield from module.groups(threads)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
