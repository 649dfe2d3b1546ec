"""From measurements to rows: what is compared with what, how far from the limit, and whether it holds."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from benchmarks.harness import Run, Series, Task
from benchmarks.peaks import Peaks

Quantity = Literal["s", "MiB"]
Measured = Mapping[str, Series]  # by the names of a group's tasks
Limit = Callable[[Measured, Peaks], float]  # seconds, or MiB, that nothing on this machine can stay below


@dataclass(frozen=True)
class Row:
    """`ours`, `alternative` and `limit` in seconds or MiB, medians over the rounds.

    `ratio` is the median over the rounds of the alternative's value over ours, `spread` half the range of these ratios.
    With `is_bound`, the alternative did not end: `alternative` and `ratio` are lower bounds, and there is no spread.
    None: there is no alternative, or no limit.
    """

    name: str
    ours: float
    alternative: float | None
    limit: float | None
    ratio: float | None
    spread: float | None
    orientation: bool
    alternative_name: str
    unit: Quantity = "s"
    is_bound: bool = False
    target: float | None = None  # ratio that is wanted; it is printed, and fails nothing
    peak_mib: float | None = None  # most memory of our process
    alternative_peak_mib: float | None = None

    @property
    def holds(self) -> bool:
        """Ours is as fast, within the spread. What is there for orientation, or has no alternative, cannot fail."""
        if self.orientation or self.ratio is None or self.spread is None:
            return True
        return self.ratio + self.spread >= 1

    @property
    def verdict(self) -> str:
        return "orientation" if self.orientation else "" if self.ratio is None else "holds" if self.holds else "BEHIND"

    def to_plain(self) -> dict[str, Any]:
        return {**asdict(self), "holds": self.holds}


@dataclass(frozen=True)
class Pairing:
    """A row to come: which tasks of its group are compared. No alternative: ours is held against the limit alone."""

    name: str
    ours: str
    alternative: str | None
    alternative_name: str = ""  # for people
    limit: Limit | None = None
    orientation: bool = False
    unit: Quantity = "s"
    target: float | None = None
    limit_task: str | None = None  # whose time is the limit, where `limit` is not given

    @property
    def tasks(self) -> list[str]:
        """What has to be measured for it."""
        return [name for name in (self.ours, self.alternative, self.limit_task) if name is not None]

    def row(self, measured: Measured, peaks: Peaks) -> Row:
        """Every task of it took part, and ours has ended."""
        ours = measured[self.ours]
        alternative = None if self.alternative is None else measured[self.alternative]
        value, ratio, spread = self._compared(ours, alternative)
        return Row(
            name=self.name,
            ours=statistics.median(self._values(ours)),
            alternative=value,
            limit=self._limit(measured, peaks),
            ratio=ratio,
            spread=spread,
            orientation=self.orientation,
            alternative_name=self.alternative_name,
            unit=self.unit,
            is_bound=alternative is not None and alternative.at_least_s is not None,
            target=self.target,
            peak_mib=_peak_mib(ours),
            alternative_peak_mib=None if alternative is None else _peak_mib(alternative),
        )

    def _compared(self, ours: Series, alternative: Series | None) -> tuple[float | None, float | None, float | None]:
        """The alternative's value, the ratio and its spread."""
        if alternative is None:
            return None, None, None
        if alternative.at_least_s is not None:
            return alternative.at_least_s, alternative.at_least_s / statistics.median(ours.seconds), 0.0
        values = self._values(alternative)
        ratio, spread = compared(self._values(ours), values)
        return statistics.median(values), ratio, spread

    def _values(self, series: Series) -> list[float]:
        return [self._value(run) for run in series.runs]

    def _value(self, run: Run) -> float:
        return run.seconds if self.unit == "s" else run.grown_mib

    def _limit(self, measured: Measured, peaks: Peaks) -> float | None:
        if self.limit is not None:
            return self.limit(measured, peaks)
        return None if self.limit_task is None else min(measured[self.limit_task].seconds)


def compared(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """The median of theirs over ours, round by round, and half the range of these ratios.

    Who was run once alone is compared with every run of the other.
    """
    if min(len(ours), len(theirs)) == 1:
        ratios = [their / our for our in ours for their in theirs]
    else:
        ratios = [their / our for our, their in zip(ours, theirs, strict=False)]  # one may have left early
    return statistics.median(ratios), (max(ratios) - min(ratios)) / 2


def _peak_mib(series: Series) -> float | None:
    return max(run.peak_mib for run in series.runs) if series.runs else None


@dataclass(frozen=True)
class Note:
    """Lines that are printed below the table: `lines` makes them of what a task returned."""

    name: str
    task: str
    lines: Callable[[Any, Peaks], list[str]]


@dataclass(frozen=True)
class Group:
    """What is measured in turn, and the rows and notes that it gives. Names of tasks are those of the whole run.

    `uses_products`: the limits count multiply-adds, so the peak is measured anew beside them.
    """

    tasks: Mapping[str, Task]
    pairings: Sequence[Pairing] = ()
    notes: Sequence[Note] = ()
    uses_products: bool = False

    @property
    def names(self) -> list[str]:
        """Of its rows and notes."""
        return [*(pairing.name for pairing in self.pairings), *(note.name for note in self.notes)]

    def only(self, is_wanted: Callable[[str], bool]) -> "Group":
        """The rows and notes that are wanted, and the tasks that they need, in their order."""
        pairings = [pairing for pairing in self.pairings if is_wanted(pairing.name)]
        notes = [note for note in self.notes if is_wanted(note.name)]
        needed = {task for pairing in pairings for task in pairing.tasks} | {note.task for note in notes}
        tasks = {name: task for name, task in self.tasks.items() if name in needed}
        return Group(tasks, pairings, notes, self.uses_products)
