"""The folder that `predict.py` fills: a folder for each kind of result, and what made them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from configs.errors import UserError
from configs.schema import ResultKind
from data.names import readable

KINDS: tuple[ResultKind, ...] = get_args(ResultKind)
RECORD, FINISHED = "predictions.json", "inputs.jsonl"  # beside the kinds' folders: what made all, and of which files
SUFFIXES: dict[ResultKind, str] = {"ids": ".png", "overlays": ".jpg", "confidence": ".png", "entropy": ".png"}
VIDEO_SUFFIX = ".mp4"  # of a video's overlays; its other results are a folder with a file for each frame


@dataclass(frozen=True)
class Results:
    """Where the results of these kinds lie. A name is that of the input, without extension, "/" between folders."""

    root: Path
    kinds: Sequence[ResultKind]

    def __str__(self) -> str:
        return ", ".join(readable(self.root / kind) for kind in KINDS if kind in self.kinds)

    @property
    def record(self) -> Path:
        return self.root / RECORD

    @property
    def finished(self) -> Path:
        return self.root / FINISHED

    def of_image(self, name: str) -> dict[ResultKind, Path]:
        return {kind: self.root / kind / f"{name}{SUFFIXES[kind]}" for kind in self.kinds}

    def of_frame(self, name: str, position: int) -> dict[ResultKind, Path]:
        """A frame's own files, which are of all kinds but overlays."""
        files = self.of_image(f"{name}/{position:06d}")
        return {kind: path for kind, path in files.items() if kind != "overlays"}

    def of_video(self, name: str) -> dict[ResultKind, Path]:
        """The file of a whole video, which its overlays have."""
        return {kind: self.root / kind / f"{name}{VIDEO_SUFFIX}" for kind in self.kinds if kind == "overlays"}

    def require_own_folders(self) -> None:
        """Raises UserError where a folder of results is there already and no record tells that `predict.py` made it."""
        if self.record.is_file():
            return
        for folder in (self.root / kind for kind in KINDS):
            if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
                raise UserError(
                    f"output={readable(self.root)}: {readable(folder)} is there already, and no {RECORD} beside it "
                    "tells what made it; nothing of it is overwritten; set output elsewhere, or move it away"
                )

    def require_outside(self, files: Sequence[Path]) -> None:
        """Raises UserError for an input that lies among the results."""
        folders = {file.parent: file for file in files}
        kinds = {Path(os.path.realpath(self.root / kind)) for kind in KINDS}
        for folder, file in folders.items():
            real = Path(os.path.realpath(folder))
            if kinds & {real, *real.parents}:
                raise UserError(
                    f"output={readable(self.root)}: {readable(file)} lies among its results; set output elsewhere"
                )


def is_results_folder(real: Path) -> bool:
    """Whether the folder at this real path holds results of `predict.py`, of this run or of any other."""
    return real.name in KINDS and (real.parent / RECORD).is_file()
