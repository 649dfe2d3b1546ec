"""What a run keeps in its folder while it trains: its newest state, the best weights, its wall time."""

import time
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from engine.contracts import DenseModel
from engine.runs import checkpoint
from engine.runs.folder import RunFolder
from engine.runs.header import RunHeader
from engine.runs.progress import Progress
from engine.runtime import Runtime
from engine.training.random_state import random_state


@dataclass
class Saver:
    """Writes checkpoints of `model` and `progress`, and reads those of finished stages; files are rank 0's business."""

    header: RunHeader
    model: DenseModel
    progress: Progress
    folder: RunFolder
    runtime: Runtime
    _began_s: float = 0.0  # when this stage would have begun, had it run without a break

    def start_clock(self, seconds: float) -> None:
        """`seconds`: wall time of the stage in the sittings before."""
        self._began_s = time.perf_counter() - seconds

    def read_clock(self) -> None:
        """Wall time of the stage up to now, into its progress and its result."""
        progress = self.progress
        progress.seconds = time.perf_counter() - self._began_s
        if progress.stage in progress.results:
            progress.results[progress.stage].seconds = progress.seconds

    def save_last(self, optimizer: Optimizer) -> None:
        """What the run goes on from after a break."""
        self.read_clock()
        rng = random_state(self.runtime)
        if not self.runtime.ranks.is_first:
            return
        self.folder.save_last({**self._content(), "optimizer": optimizer.state_dict(), "rng": rng})

    def save_best(self, is_best_of_run: bool, confusions_NKK: Tensor | None = None) -> None:
        """The weights as the best of their stage; `confusions_NKK` are those of every validation image."""
        if not self.runtime.ranks.is_first:
            return
        self.folder.save_stage(self.progress.stage, self._content(), is_best_of_run)
        if confusions_NKK is not None:
            self.folder.save_confusions(self.progress.stage, confusions_NKK)

    def read_best(self, stage: str) -> dict[str, Any]:
        """The checkpoint of a stage's best weights."""
        return checkpoint.load(self.folder.stage_file(stage))

    def load_best(self, stage: str) -> None:
        """The best weights of a stage into the model."""
        if self.runtime.ranks.is_first:
            self.model.load_state_dict(self.read_best(stage)["model"])
        self.runtime.ranks.copy_first(self.model.state_dict().values())

    def _content(self) -> dict[str, Any]:
        return {**self.header.to_plain(), "model": self.model.state_dict(), "progress": self.progress.to_plain()}
