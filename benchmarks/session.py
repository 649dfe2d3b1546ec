"""One run of the benchmarks: groups measured one after the other, what they give, the table and the file."""

import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import Contestant, Crashed, Rounds, Series, Task, TimedProcess, Unavailable, in_turn
from benchmarks.peaks import FIRST_REPEATS, Peaks
from benchmarks.rows import Group, Measured, Note, Pairing, Row
from engine.precision import machine

PACKAGES = ("torch", "torchvision", "numpy", "opencv-python-headless", "albumentations", "pillow", "onnxruntime")
NOTE_LIMIT_S = 600.0

Measure = Callable[[Mapping[str, Task], Rounds], dict[str, Series]]


def measured_in_processes(tasks: Mapping[str, Task], rounds: Rounds) -> dict[str, Series]:
    """Every task in a process of its own, in turn. Those that cannot take part say why in `Series.unavailable`."""
    unavailable: dict[str, Series] = {}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        processes = {name: stack.enter_context(closing(TimedProcess(task, rounds.limit_s, folder)))
                     for name, task in tasks.items()}  # fmt: skip
        contestants: dict[str, Contestant] = {}
        for name, process in processes.items():
            try:
                process.ready()
                contestants[name] = process
            except Unavailable as reason:
                unavailable[name] = Series(unavailable=str(reason), is_crashed=isinstance(reason, Crashed))
        return {**in_turn(contestants, rounds), **unavailable}


@dataclass
class Session:
    """Measures groups, and keeps what they give. `measure` runs tasks; `say` prints a line."""

    rounds: Rounds
    peaks: Peaks = field(default_factory=Peaks)
    measure: Measure = measured_in_processes
    say: Callable[[str], None] = print
    clock: Callable[[], float] = time.monotonic
    overdue: set[str] = field(default_factory=set)  # tasks that did not end
    results: list[tuple[Pairing, Measured]] = field(default_factory=list)
    noted: list[tuple[Note, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)  # rows and notes whose measurement ended in a fault, or did not end

    def run(self, groups: Iterable[Group], keep: Callable[[], None] = lambda: None) -> None:
        """Those that hold a row or a note. `keep` is called after each, so that what is measured outlives an end."""
        start_s = self.clock()
        self.peaks.measure(FIRST_REPEATS)
        for group in groups:
            if group.names:
                try:
                    self._group(group)
                except RuntimeError as error:  # of one of its processes; what was measured before must not be lost
                    self.failed.append(f"{'; '.join(group.names)}: {error}")
                self.say(f"{self.clock() - start_s:5.0f} s  {'; '.join(group.names)}")
                keep()

    def _group(self, group: Group) -> None:
        if group.uses_products:
            self.peaks.measure()
        of_notes = {note.task for note in group.notes}
        in_rows = {name: task for name, task in group.tasks.items() if name not in of_notes}
        measured = self._measured(in_rows)
        for pairing in group.pairings:
            self._keep(pairing, measured)
        for note in group.notes:
            series = self.measure({note.task: group.tasks[note.task]}, Rounds(1, 1, 0.0, NOTE_LIMIT_S))[note.task]
            if series.runs:
                self.noted.append((note, series.value))
            elif series.unavailable:
                (self.failed if series.is_crashed else self.skipped).append(f"{note.name}: {series.unavailable}")
            else:
                self.failed.append(f"{note.name}: it did not end in {NOTE_LIMIT_S:.0f} s")

    def _measured(self, tasks: Mapping[str, Task]) -> dict[str, Series]:
        """Tasks that hold the work of one that did not end are not tried."""
        hopeless = {name for name, task in tasks.items() if task.includes in self.overdue}
        measured = self.measure({name: task for name, task in tasks.items() if name not in hopeless}, self.rounds)
        measured |= {name: Series(at_least_s=self.rounds.limit_s) for name in hopeless}
        self.overdue |= {name for name, series in measured.items() if series.at_least_s is not None}
        return measured

    def _keep(self, pairing: Pairing, measured: Measured) -> None:
        reasons = [f"{name}: {measured[name].unavailable}" for name in pairing.tasks if measured[name].unavailable]
        if reasons:
            (self.failed if measured[pairing.ours].is_crashed else self.skipped).append(
                f"{pairing.name}: {'; '.join(reasons)}"
            )
        elif not measured[pairing.ours].runs:
            self.failed.append(f"{pairing.name}: ours did not end in {self.rounds.limit_s:.0f} s")
        else:
            self.results.append((pairing, measured))

    def rows(self) -> list[Row]:
        """With limits by the highest peaks of the whole run."""
        return [pairing.row(measured, self.peaks) for pairing, measured in self.results]

    def notes(self) -> list[str]:
        """Lines: the peaks, what was noted, whatever beat its limit, what was skipped, and what failed."""
        noted = [f"{note.name}: {line}" for note, value in self.noted for line in note.lines(value, self.peaks)]
        beaten = [f"{row.name}: beyond the limit, which is too low" for row in self.rows() if is_beaten(row)]
        left_out = [*(f"skipped: {line}" for line in self.skipped), *(f"FAILED: {line}" for line in self.failed)]
        return [self.peaks.line(), *noted, *beaten, *left_out]

    def exit_code(self) -> int:
        """1 where a row does not hold, or a measurement failed."""
        return int(bool(self.failed) or not all(row.holds for row in self.rows()))


def is_beaten(row: Row) -> bool:
    """Something was faster than the limit says that anything can be; it does not bind another network."""
    alternative = None if row.orientation else row.alternative
    return row.limit is not None and min(row.ours, alternative or row.ours) < row.limit


def header(threads: int) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": machine(threads)["processor"],
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "python": platform.python_version(),
        "versions": dict(_versions()),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def _versions() -> Iterator[tuple[str, str | None]]:
    """None: it is not installed, and what needs it is skipped."""
    for name in PACKAGES:
        try:
            yield name, version(name)
        except ModuleNotFoundError:
            yield name, None


def table(rows: Sequence[Row]) -> str:
    """In Markdown; seconds, unless it says MiB."""
    head = ("", "ours", "alternative", "", "times faster", "of the limit", "MiB", "its MiB", "")
    lines = [head, ("---",) * len(head), *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(row: Row) -> tuple[str, ...]:
    bound = "> " if row.is_bound else ""
    wanted = "" if row.target is None else f" (wanted: {row.target:g})"
    ratio = "" if row.ratio is None else f"{bound}{row.ratio:.2f} ± {row.spread:.2f}{wanted}"
    return (
        row.name,
        _amount(row.ours, row.unit),
        "" if row.alternative is None else bound + _amount(row.alternative, row.unit),
        row.alternative_name,
        ratio,
        "" if row.limit is None else f"{row.limit / row.ours:.0%}",
        "" if row.peak_mib is None else f"{row.peak_mib:.0f}",
        "" if row.alternative_peak_mib is None else f"{row.alternative_peak_mib:.0f}",
        row.verdict,
    )


def _amount(value: float, unit: str) -> str:
    return f"{value:.3g}" if unit == "s" else f"{value:.0f} MiB"


def write(path: Path, about: Mapping[str, Any], rows: Sequence[Row], notes: Sequence[str]) -> None:
    """The file beside the table: header, rows, notes."""
    content = {"header": about, "rows": [row.to_plain() for row in rows], "notes": list(notes)}
    path.write_text(json.dumps(content, indent=2) + "\n")
