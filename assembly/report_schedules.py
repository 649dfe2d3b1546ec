"""The section of a report on what the context modules see and cost, before any training."""

from collections.abc import Sequence

from assembly.header import context_crop_px
from configs.errors import ConfigError
from configs.schema import STAGES, Config
from configs.validation import validated
from engine.reporting.coverage_figure import coverage_figure
from engine.reporting.report.parts import Cell, Gallery, Heading, Paragraph, Picture, Points, Section, Table, TableRow
from engine.reporting.report.pictures import PictureBudget
from engine.reporting.report.records import Record, Schedule
from engine.reporting.score_table import schedule_name
from models.coverage import path_counts
from models.describe import schedule_verdict

MOST_LAYERS = 16  # of a schedule that is drawn
COLUMNS = ("dilations", "field, cells", "field, px", "holes", "common factor", "parameters", "multiply-adds")


def schedules_section(records: Sequence[Record], budget: PictureBudget) -> Section:
    """The figures of every run's schedule, and each schedule once as a picture with its verdict."""
    section = Section("schedules", "Schedule" if len(records) == 1 else "Schedules")
    known = [(record, record.schedule) for record in records if record.schedule is not None]
    if not known:
        section.parts.append(Paragraph("No finished run here trains a context module.", is_note=True))
        return section
    rows = [TableRow(record.name, _figures(own)) for record, own in known]
    section.parts.append(Table("What each context module sees and costs", "run", list(COLUMNS), rows))
    first_of = dict[tuple[int, ...], tuple[Record, Schedule]]()
    for record, own in known:
        first_of.setdefault(tuple(own.dilations), (record, own))
    for record, own in first_of.values():
        section.parts.append(Heading(f"Dilations {schedule_name(own.dilations)}"))
        section.parts.append(Points(_verdict(record, own)))
        section.parts.append(_picture(own, budget))
    return section


def _figures(own: Schedule) -> list[Cell]:
    numbers = (own.field_cells, own.field_px, own.holes_per_axis, own.gcd, own.parameters, own.multiply_adds)
    return [Cell(schedule_name(own.dilations, own.widths)), *(Cell(f"{number:,}") for number in numbers)]


def _verdict(record: Record, own: Schedule) -> list[str]:
    try:
        config = validated(Config, record.config)
    except ConfigError as error:
        return [f"no verdict, for config.json is not one of this version: {error.problems[0]}"]
    if config.model.context.dilations != own.dilations:
        return ["no verdict, for config.json and summary.json name different dilations"]
    if not set(config.stages) <= set(STAGES):
        return ["no verdict, for config.json names stages that there are not"]
    crop_px = context_crop_px(config)
    return schedule_verdict(config.model, crop_px) if crop_px else []


def _picture(own: Schedule, budget: PictureBudget) -> Gallery | Paragraph:
    dilations = own.dilations
    if len(dilations) > MOST_LAYERS:
        return Paragraph(f"{len(dilations)} layers are not drawn; up to {MOST_LAYERS} are.", is_note=True)
    counts = [path_counts(dilations[:depth]) for depth in range(1, len(dilations) + 1)]
    holes = counts[-1].count(0)
    alt = (
        f"Which cells reach the centre after each layer of dilations {schedule_name(dilations)}: the field grows over "
        f"{', '.join(str(len(of_layer)) for of_layer in counts)} cells a side; {holes} of the last are never used"
    )
    return Gallery([Picture(budget.figure(coverage_figure(dilations, counts)), alt, is_figure=True)])
