"""What two processes measure of a context module, each on its share of the windows, is what one measures on all."""

from pathlib import Path

from tests.helpers import ranks
from tests.helpers.programs import ROOT

# Weights and windows at random: each window is measured as another field. The second part begins with a size that is
# not the set's first, and is as large as the set's largest but less tall.
PROGRAM = """
import sys

sys.path.insert(0, sys.argv[1])

import torch
from torch import nn

from configs.schema import ContextConfig, RuntimeConfig
from engine.evaluation.effective_field import Probe
from engine.process.ranks import ranks_of_torchrun
from engine.runtime import choose_runtime
from models.context import Context

generator = torch.Generator().manual_seed(0)
sizes = [(4, 10), (8, 6), (4, 10), (6, 8), (4, 10), (8, 6)]
windows = [torch.randn((1, 2, *size), generator=generator) for size in sizes]
context = Context(ContextConfig(dilations=[1, 2]), 2, generator)
for parameter in context.parameters():
    nn.init.normal_(parameter, generator=generator)


def probe_of(own):
    probe = Probe(context, [1, 2])
    for window in own:
        probe(window, context(window).detach())
    return probe


with ranks_of_torchrun() as ranks:
    runtime = choose_runtime(RuntimeConfig(device="cpu", precision="float32", threads=1), ranks)
    together = probe_of(windows[3 * ranks.rank : 3 * ranks.rank + 3])
    together.gather(runtime)
    whole, gathered = probe_of(windows).measure(), together.measure()
    assert whole.gridding == gathered.gridding, (whole.gridding, gathered.gridding)
    assert whole.gradient_hw.shape == gathered.gradient_hw.shape
    assert whole.gradient_hw.any() and (whole.gradient_hw == gathered.gradient_hw).all()
    assert whole.gradient_hw.shape == (8, 6), "the largest"
"""


def test_windows_of_several_sizes_are_measured_by_two_processes_as_by_one(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    code, output = ranks.run(tmp_path, 2, str(program), str(ROOT))
    assert code == 0, output
