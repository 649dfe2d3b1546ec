"""A campaign's settings, and what its tries come to."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Outcome(NamedTuple):
    """Of one try. `number` repeats it; `lost` says what went wrong, and is empty where nothing did."""

    fault: str  # the row of the table
    number: int
    lost: str = ""


@dataclass(frozen=True)
class Setting:
    """`folder` is the campaign's own. `scale` is the share of its tries that are made; `only`: the one try to make."""

    folder: Path
    seed: int = 0
    scale: float = 1.0
    only: int | None = None

    def count(self, total: int) -> int:
        """How many of `total` tries are to be made, at least one."""
        return max(1, round(total * self.scale))

    def numbers(self, total: int) -> list[int]:
        """The tries to make of `total`, evenly spread over all of them."""
        if self.only is not None:
            return [self.only]
        count = self.count(total)
        return [total * place // count for place in range(count)]

    def random(self, number: int) -> random.Random:
        """The random numbers of a try, the same whichever others are made."""
        return random.Random(f"{self.seed}/{self.folder.name}/{number}")


Campaign = Callable[[Setting], Iterator[Outcome]]
