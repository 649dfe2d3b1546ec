"""Whether labels of 0 and 255 alone are masks whose object would be ignored: decided from the whole split."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from configs.errors import UserError
from data.labels import Labels

MAX_READ = 500
OBJECT = 1  # the class that a mask writes as 255


class Masks:
    """Whether the labels of a split are masks; they are read at the first call, in every worker once."""

    def __init__(self, labels: Sequence[Path], read: Callable[[Path], Labels]) -> None:
        self.labels, self.read = labels, read

    def evidence(self) -> str:
        """Why they are masks, for the message; empty if a label holds id 1, so that 255 may well mean void.

        Of more than MAX_READ labels, so many are read, evenly spread: neighbours are alike.
        """
        return self._evidence

    @cached_property
    def _evidence(self) -> str:
        chosen = self.labels[:: -(-len(self.labels) // MAX_READ)]
        if any(self._holds_object(label) for label in chosen):
            return ""
        return f"none of {len(chosen)} labels of the split that were looked at holds id {OBJECT}"

    def _holds_object(self, label: Path) -> bool:
        try:
            return bool((self.read(label) == OBJECT).any())
        except UserError:  # raised again when the label itself is read
            return False
