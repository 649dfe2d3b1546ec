"""Jobs of a sweep and the same runs alone: the same bits."""

import json
from collections.abc import Iterator
from pathlib import Path

from configs.schema import STAGES
from tests.helpers import programs
from tests.torture import runs
from tests.torture.tries import Outcome, Setting

JOBS = [(schedule, seed) for seed in (1, 2) for schedule in ("[1,2,1]", "[2,1,1]", "[1]")]
TIMEOUT_S = 1200.0


def sweep(setting: Setting) -> Iterator[Outcome]:
    data, root = setting.folder / "set", setting.folder / "swept"
    runs.write_set(data)
    jobs = [JOBS[number] for number in setting.numbers(len(JOBS))]
    schedules, seeds = (list(dict.fromkeys(parts)) for parts in zip(*jobs, strict=True))
    words = runs.words(data)
    varied = [f"model.context.dilations={','.join(schedules)}", f"seed={','.join(map(str, seeds))}", f"run.root={root}"]
    kept = [word for word in words if not word.startswith(("model.context.dilations=", "seed="))]
    done = programs.run(setting.folder, "train.py", "-m", *kept, *varied, timeout_s=TIMEOUT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    swept = {_of(json.loads(path.read_text())): path.parent for path in root.glob("*/config.json")}
    for number in setting.numbers(len(JOBS)):
        schedule, seed = JOBS[number]
        alone = setting.folder / f"alone{number}"
        lost = runs.finished((*words, f"model.context.dilations={schedule}", f"seed={seed}"), alone)
        yield Outcome(
            "a job in a sweep and alone: same bits", number, lost or _compared(alone, swept[(schedule, seed)])
        )


def _of(config: dict[str, object]) -> tuple[str, int]:
    """The job of a folder, as in JOBS."""
    return json.dumps(config["model"]["context"]["dilations"], separators=(",", ":")), config["seed"]  # type: ignore


def _compared(alone: Path, job: Path) -> str:
    """The newest state, and the best weights of every stage."""
    return runs.same_training(alone, job) or runs.same_weights(alone, job, [f"{stage}.pt" for stage in STAGES])
