"""The sections that need nothing but what the runs left: scores, curves, effective fields, confusions, settings."""

import json
from collections.abc import Callable, Sequence

from engine.reporting.figures import confusion_figure, shortened
from engine.reporting.report.charts import line_chart
from engine.reporting.report.events import FIELD_CELLS_TAG, MEAN_IOU_TAG, Events, Point, nearest
from engine.reporting.report.parts import (
    Cell,
    Chart,
    Charts,
    Folded,
    Gallery,
    Heading,
    Paragraph,
    Part,
    Picture,
    Points,
    Section,
    Table,
    TableRow,
)
from engine.reporting.report.pictures import PictureBudget, decoded
from engine.reporting.report.records import Record
from engine.reporting.report.tables import (
    LONGEST_NAME,
    confused_pairs,
    confusion_table,
    history_lines,
    machine_table,
    run_tables,
    settings_table,
    stage_table,
)

MOST_TABLED = 30  # classes whose confusions are a table; of more they are a picture
LONGEST_CONFIG = 60_000  # signs


def scores_section(records: Sequence[Record]) -> Section:
    section = Section("scores", "Scores")
    scored = [record for record in records if record.stages]
    if not scored:
        section.parts.append(Paragraph("No run has been validated yet.", is_note=True))
    elif len(records) == 1:
        section.parts.append(stage_table(records[0]))
    else:
        section.parts += run_tables(scored)
        others = [record.name for record in scored if record.class_names != scored[0].class_names]
        if others:
            section.parts.append(Paragraph(f"Of other classes, and not compared: {', '.join(others)}.", is_note=True))
    return section


def curves_section(records: Sequence[Record]) -> Section:
    """Over the global step: all stages one after the other."""
    starts = [_stage_starts(record) for record in records]
    shared_starts = starts[0] if all(own == starts[0] for own in starts) else {}

    def chart(
        title: str, unit: str, values: Callable[[Events], Sequence[Point]], from_zero: bool = True
    ) -> Chart | None:
        lines = {record.name: values(record.events) for record in records}
        return line_chart(title, unit, lines, shared_starts, from_zero=from_zero)

    charts = [
        chart("Loss", "", lambda events: events.joined("loss")),
        chart("Mean IoU on the validation images", "%", _mean_iou, from_zero=False),
        chart("Learning rate", "", lambda events: events.joined("lr")),
        chart("Effective field", "cells a side", lambda events: events.scalars.get(FIELD_CELLS_TAG, [])),
    ]
    drawn = [each for each in charts if each is not None]
    parts: list[Part] = [Charts([record.name for record in records], drawn)] if drawn else []
    return Section("curves", "Curves", parts or [Paragraph("No event files of TensorBoard to draw.", is_note=True)])


def _mean_iou(events: Events) -> list[Point]:
    return [Point(step, 100 * value) for step, value in events.scalars.get(MEAN_IOU_TAG, [])]


def _stage_starts(record: Record) -> dict[str, int]:
    """The step before which each stage began, of all but the first."""
    ends = record.events.last_steps()
    return dict(zip(list(ends)[1:], ends.values(), strict=False))


def field_section(records: Sequence[Record], budget: PictureBudget) -> Section:
    """What the context modules in fact use, and whether their answers fall into grids."""
    section = Section("field", "What the context module uses")
    measured = [record for record in records if record.schedule and record.best_stage]
    for record in measured:
        section.parts += _field_parts(record, budget)
    gridding = _gridding_table(measured)
    if gridding is not None:
        section.parts += [
            Heading("Gridding"),
            Paragraph(
                "How far the answers fall into separate grids, for each dilation: near 1 where a cell's place in the "
                "grid does not matter, far above 1 where the grids answer differently."
            ),
            gridding,
        ]
    return section


def _field_parts(record: Record, budget: PictureBudget) -> list[Part]:
    schedule, step = record.schedule, _judged_step(record)
    pictures = record.events.fields
    if schedule is None or not pictures:
        return [Paragraph(f"{record.name}: no picture of the effective field in the event files.", is_note=True)]
    shown = min(pictures, key=lambda own: abs(own - step)) if step is not None else max(pictures)
    points = record.events.scalars.get(FIELD_CELLS_TAG)
    cells = f"{nearest(points, shown).value:.1f}" if points else "an unknown number of"
    sentence = (
        f"{record.name}, at step {shown}: as many cells matter as a square of {cells} cells a side has; the schedule's "
        f"field is {schedule.field_cells} cells a side."
    )
    pixels = decoded(pictures[shown])
    if pixels is None:
        return [Paragraph(sentence), Paragraph("The picture in the event files cannot be read.", is_note=True)]
    alt = f"How much each cell moves the answer at the centre. {sentence}"
    return [Gallery([Picture(budget.figure(pixels), alt, sentence, is_figure=True)])]


def _judged_step(record: Record) -> int | None:
    """Of the best validation of the last stage with a context module."""
    stages = [stage for stage in record.stages if stage != "frontend"]
    return record.best_step(stages[-1]) if stages else None


def _gridding_table(records: Sequence[Record]) -> Table | None:
    scores = [record.events.gridding_at(_judged_step(record)) for record in records]
    periods = sorted({period for own in scores for period in own if period.isdigit()}, key=int)
    if not periods:
        return None
    rows = [
        TableRow(record.name, [Cell(f"{own[period]:.2f}" if period in own else "n/a") for period in periods])
        for record, own in zip(records, scores, strict=True)
    ]
    return Table("Gridding by period, in cells", "run", [f"period {period}" for period in periods], rows)


def confusions_section(records: Sequence[Record], stages: Sequence[str | None], budget: PictureBudget) -> Section:
    """At the best weights of one stage of each run."""
    section = Section("confusions", "Confusions")
    for record, stage in zip(records, stages, strict=True):
        counts_NKK = record.confusions(stage) if stage else None
        section.parts.append(Heading(record.name if stage is None else f"{record.name}, {stage}"))
        if counts_NKK is None:
            section.parts.append(Paragraph("This run left no confusion matrices.", is_note=True))
            continue
        counts_KK, names = counts_NKK.sum(0), record.class_names
        pairs = confused_pairs(counts_KK, names)
        section.parts += [Paragraph("Most confused, by the pixels they cost:"), Points(pairs)] if pairs else []
        caption = f"Of every class's pixels in {len(counts_NKK)} images, per cent by answer; rows are the truth"
        if len(names) <= MOST_TABLED:
            section.parts.append(confusion_table(counts_KK, names, caption))
        else:
            figure = confusion_figure(counts_KK.tolist(), names)
            alt = f"{caption}. {'; '.join(pairs)}"
            section.parts.append(Gallery([Picture(budget.figure(figure), alt, is_figure=True)]))
    return section


def settings_section(records: Sequence[Record]) -> Section:
    section = Section("settings", "Settings")
    if len(records) > 1:
        table = settings_table(records)
        section.parts.append(table if table.rows else Paragraph("The runs have the same settings."))
    for record in records:
        text = json.dumps(record.config, indent=2, ensure_ascii=False)
        section.parts.append(Folded(f"All settings of {record.name}", shortened(text, LONGEST_CONFIG)))
    return section


def machine_section(records: Sequence[Record]) -> Section:
    section = Section("machine", "Machine and time")
    table = machine_table(records)
    section.parts.append(table if table.rows else Paragraph("No finished run tells its machine.", is_note=True))
    for record in records:
        lines = history_lines(record)
        if lines:
            section.parts += [Heading(f"History of {shortened(record.name, LONGEST_NAME)}"), Points(lines)]
    return section
