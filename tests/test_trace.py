"""The proof rule: a refactor keeps this trace of losses; a change of the arithmetic updates it and says why.

    python tests/test_trace.py     writes tests/trace.json anew

On one processor with one thread the trace repeats to the last bit; other processors round differently, and the
differences grow, so the test allows for that.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TRACE = Path(__file__).with_name("trace.json")
STEPS = {"frontend": 30, "context": 10, "joint": 10}


def trace(folder: Path) -> dict[str, list[float]]:
    """The loss of every step of a small run of all three stages."""
    from configs.compose import compose
    from train import train

    words = ["model.frontend.width=0.25", "model.frontend.dropout=0.2", "data.limit=6", "runtime.threads=1"]
    words += ["data.shapes.size_px=192", "runtime.precision=float32", "run.log_steps=1", f"run.dir={folder}"]
    for stage, steps in STEPS.items():
        words += [f"stage.{stage}.{key}" for key in (f"steps={steps}", "batch=2", "crop_px=[96,96]", "maps=computed")]
        words += [f"stage.{stage}.validate_steps={steps}", f"stage.{stage}.schedule.warmup_steps=2"]
    assert train(compose(words)) == 0
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {stage: [event.value for event in events.Scalars(f"{stage}/loss")] for stage in STEPS}


def test_the_losses_of_50_steps_are_the_committed_ones(tmp_path: Path) -> None:
    committed = json.loads(TRACE.read_text())
    for stage, losses in trace(tmp_path).items():
        assert len(losses) == STEPS[stage]
        np.testing.assert_allclose(losses, committed[stage], rtol=0.02, atol=0.002, err_msg=stage)


if __name__ == "__main__":
    sys.path.insert(0, str(TRACE.parent.parent))
    with tempfile.TemporaryDirectory() as folder:
        TRACE.write_text(json.dumps(trace(Path(folder)), indent=1) + "\n")
