"""TensorBoard. After an error of its own (a full disk, a damaged file) it warns once and writes no more."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter


def _add_scalars(writer: SummaryWriter, values: Mapping[str, float], step: int) -> None:
    for tag, value in values.items():
        writer.add_scalar(tag, value, step)


class Board:
    """Scalars and pictures over the global step of a run."""

    def __init__(self, folder: Path, first_step: int, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._writer: SummaryWriter | None = None
        # purge_step hides what an interrupted sitting has logged past its last checkpoint.
        self._guard(lambda: setattr(self, "_writer", SummaryWriter(str(folder), purge_step=first_step)))

    def _guard(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            self._writer = None
            self._warn(f"TensorBoard stopped ({error}); training goes on without it")

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        writer = self._writer
        if writer is not None:
            self._guard(partial(_add_scalars, writer, values, step))

    def hparams(self, settings: Mapping[str, int | float | str], results: Mapping[str, float]) -> None:
        """A row of TensorBoard's table of runs."""
        writer = self._writer
        if writer is not None:
            self._guard(lambda: writer.add_hparams(dict(settings), dict(results), run_name="."))

    def picture(self, tag: str, pixels_HW3: NDArray[np.uint8], step: int) -> None:
        writer = self._writer
        if writer is not None:
            self._guard(lambda: writer.add_image(tag, pixels_HW3, step, dataformats="HWC"))

    def text(self, tag: str, lines: Sequence[str], step: int) -> None:
        """Lines as they are: indented, they are no Markdown."""
        writer = self._writer
        if writer is not None:
            self._guard(lambda: writer.add_text(tag, "\n".join(f"    {line}" for line in lines), step))

    def flush(self) -> None:
        writer = self._writer
        if writer is not None:
            self._guard(writer.flush)

    def close(self) -> None:
        writer = self._writer
        if writer is not None:
            self._guard(writer.close)
