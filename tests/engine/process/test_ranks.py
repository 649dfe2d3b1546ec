"""What one process of several says when it, or another, cannot go on."""

from pathlib import Path

from tests.helpers import ranks
from tests.helpers.programs import ROOT

PROGRAM = """
import sys

sys.path.insert(0, sys.argv[1])

import torch

from engine.process.exits import guarded
from engine.process.ranks import ranks_of_torchrun


class TooLarge:
    def __reduce__(self):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def work():
    with ranks_of_torchrun() as ranks:
        ranks.gather(0 if ranks.is_first else TooLarge())
    return 0


sys.exit(guarded(work, "lower batch"))
"""


def test_a_lack_of_memory_between_processes_is_said_by_the_one_that_lacks_it(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    code, output = ranks.run(tmp_path, 2, str(program), str(ROOT))
    assert code == 1
    assert "out of memory: lower batch (CUDA out of memory. Tried to allocate 20.00 GiB)" in output
