"""A report: which runs it is of, and what its page consists of."""

import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from assembly.report_images import images_section
from assembly.report_schedules import schedules_section
from configs.errors import UserError
from configs.schema import ReportConfig
from configs.validation import shown
from data.names import readable
from engine.reporting.comparisons import compare_rows
from engine.reporting.figures import shortened
from engine.reporting.leaderboard_rows import Row, Run, rows_of, run_settings
from engine.reporting.report.headlines import run_headline, runs_headline, sweep_headline
from engine.reporting.report.leaderboard_section import detailed_rows, leaderboard_section
from engine.reporting.report.parts import Page, Paragraph, Section
from engine.reporting.report.pictures import PictureBudget
from engine.reporting.report.records import Record, holds_a_run, read_record, run_folders
from engine.reporting.report.sections import (
    confusions_section,
    curves_section,
    field_section,
    machine_section,
    scores_section,
    settings_section,
)

LONGEST_NAME, LONGEST_PROBLEM = 80, 400
JOB_HASH = re.compile("-[0-9a-f]{8}$")  # how the folder of a sweep's job ends
SEVERAL = "runs side by side are named one by one, and a folder of runs stands alone"


def report_page(request: ReportConfig) -> Page:
    """Raises UserError where a folder holds no run."""
    folders = list(dict.fromkeys(Path(run) for run in request.runs))
    if len(folders) == 1 and not holds_a_run(folders[0]):
        return _sweep_page(folders[0], request)
    for folder in folders:
        if not holds_a_run(folder):
            raise UserError(f"runs={folder}: no run lies in this folder; {SEVERAL}")
    if request.against:
        raise UserError(
            f"against={shown(request.against)}: runs={folders[0]} is one run, and the schedules of a sweep are "
            "compared; leave it out, or give the folder of a sweep"
        )
    records = [read_record(folder, name) for folder, name in zip(folders, _names(folders), strict=True)]
    budget = PictureBudget()
    sections = _run_sections(records, [record.best_stage for record in records], request, budget)
    if len(records) == 1:
        return _page(f"Run {records[0].name}", "a run", run_headline(records[0]), records, sections, budget)
    subtitle = f"side by side, {', '.join(record.name for record in records)}"
    return _page(f"{len(records)} runs compared", subtitle, runs_headline(records), records, sections, budget)


def _sweep_page(folder: Path, request: ReportConfig) -> Page:
    """The leaderboard of the runs below a folder, and the best beside another in detail."""
    below = [read_record(path, readable(path.relative_to(folder))) for path in run_folders(folder)]
    if not below:
        raise UserError(f"runs={folder}: no run lies in it or below it; give the folder of a run or of a sweep")
    comparable = [record for record in below if record.summary and record.summary.is_comparable and record.config]
    rows = rows_of(_leaderboard_run(folder, record) for record in comparable)
    comparisons = compare_rows(folder, rows, request.against)
    budget = PictureBudget()
    left_out = [record for record in below if record not in comparable]
    sections = [leaderboard_section(rows, comparisons, left_out, budget)]
    records, stages = _detailed_records(folder, detailed_rows(rows, comparisons))
    if records:
        sections += _run_sections(records, stages, request, budget)
        detail = "in detail: " + ", beside it ".join(record.name for record in reversed(records))
        sections[1].parts.insert(0, Paragraph(f"From here on the best schedule {detail}."))
    headline = sweep_headline(rows, comparisons)
    subtitle = f"a folder of {len(below)} runs"
    return _page(f"Leaderboard of {readable(folder.resolve().name)}", subtitle, headline, records, sections, budget)


def _leaderboard_run(folder: Path, record: Record) -> Run:
    assert record.summary is not None, "a finished run"
    summary = record.summary.model_dump()
    place = record.folder.relative_to(folder).as_posix()
    settings = {**run_settings(record.config, summary), "classes": len(record.class_names)}  # a row has those of all
    return Run(place, summary, settings)


def _detailed_records(folder: Path, rows: Sequence[Row]) -> tuple[list[Record], list[str | None]]:
    """A run of each row, of a seed that all have where there is one; with the stage that the row is judged by."""
    shared = [seed for row in rows[:1] for seed in row.runs if all(seed in other.runs for other in rows)]
    seeds = [shared[0] if shared else next(iter(row.runs)) for row in rows]
    names = _distinct([f"{row.name}, seed {seed}" for row, seed in zip(rows, seeds, strict=True)])
    folders = [folder / row.runs[seed] for row, seed in zip(rows, seeds, strict=True)]
    return list(map(read_record, folders, names)), [row.stage for row in rows]


def _run_sections(
    records: Sequence[Record], stages: Sequence[str | None], request: ReportConfig, budget: PictureBudget
) -> list[Section]:
    return [
        scores_section(records),
        curves_section(records),
        images_section(records, stages, request, budget),
        confusions_section(records, stages, budget),
        schedules_section(records, budget),
        field_section(records, budget),
        settings_section(records),
        machine_section(records),
    ]


def _page(
    title: str, subtitle: str, headline: str, records: Sequence[Record], sections: list[Section], budget: PictureBudget
) -> Page:
    problems = [
        f"{record.name}: {shortened(problem, LONGEST_PROBLEM)}"
        for record in records
        for problem in dict.fromkeys(record.problems)
    ]
    if budget.num_left_out:
        problems.append(f"{budget.num_left_out} pictures are left out, for the page would weigh more than 5 MB")
    footer = f"Written by report.py on {date.today().isoformat()}. This file needs no network and no other file."
    return Page(title, f"Dilated context segmentation: {subtitle}", headline, problems, sections, footer)


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' names, or as much of their paths as tells them apart; without the hashes of a sweep's jobs."""
    paths = [folder.resolve() for folder in folders]
    depth = next((n for n in (1, 2, 3) if len({path.parts[-n:] for path in paths}) == len(paths)), 0)
    names = ["/".join(path.parts[-depth:]) for path in paths]
    short = [JOB_HASH.sub("", name) for name in names]
    return _distinct([readable(name) for name in (short if len(set(short)) == len(short) else names)])


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of a bounded length; numbered where they are not different any more."""
    short = [shortened(name, LONGEST_NAME) for name in names]
    return short if len(set(short)) == len(short) else [f"{place}: {name}" for place, name in enumerate(short, start=1)]
