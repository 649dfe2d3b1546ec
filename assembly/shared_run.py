"""The run of all ranks: rank 0 opens its folder and reads its checkpoint, the others are handed what it found."""

from pathlib import Path
from typing import Any

from configs.schema import Config
from engine.process.ranks import Ranks, is_restart
from engine.runs.folder import RunFolder
from engine.runs.header import RunHeader
from engine.runs.progress import Progress
from engine.runs.resume import Run, open_run


def open_shared_run(config: Config, header: RunHeader, ranks: Ranks) -> Run:
    """As `open_run`; where torchrun has started the command once more, the run goes on. Raises UserError on rank 0."""
    if is_restart():
        config = config.model_copy(update={"resume": "auto"})
    own = open_run(config, header) if ranks.is_first else None

    def opened() -> tuple[Path, RunHeader, dict[str, Any] | None, Progress]:
        assert own is not None, "rank 0 has opened it"
        return own.folder.path, own.header, own.resumed, own.progress

    path, header, resumed, progress = ranks.of_first(opened)
    return own or Run(RunFolder(path), header, resumed, progress, notes=[])
