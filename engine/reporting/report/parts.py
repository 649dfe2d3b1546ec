"""What a page consists of, as plain values that the template lays out; `kind` names the macro for each.

Text in them may be a stranger's; the template escapes all of it.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

Tone = Literal[
    "", "gain-1", "gain-2", "gain-3", "loss-1", "loss-2", "loss-3", "heat-1", "heat-2", "heat-3", "heat-4", "heat-5"
]  # fmt: skip


@dataclass(frozen=True)
class Heading:
    """Below a section's own."""

    kind: ClassVar = "heading"
    text: str


@dataclass(frozen=True)
class Paragraph:
    """`is_note`: it says that something is missing, or not as expected."""

    kind: ClassVar = "paragraph"
    text: str
    is_note: bool = False


@dataclass(frozen=True)
class Points:
    kind: ClassVar = "points"
    lines: list[str]


@dataclass(frozen=True)
class Folded:
    """A long text that unfolds."""

    kind: ClassVar = "folded"
    title: str
    text: str


@dataclass(frozen=True)
class Cell:
    """`delta` is a difference, with its sign; the tone colours it, or in a matrix the whole cell."""

    text: str
    delta: str = ""
    tone: Tone = ""
    is_text: bool = False


@dataclass(frozen=True)
class TableRow:
    heading: str
    cells: list[Cell]
    is_total: bool = False


@dataclass(frozen=True)
class Table:
    """`corner` is the heading of the column of headings. `is_text`: words rather than numbers."""

    kind: ClassVar = "table"
    caption: str
    corner: str
    columns: list[str]
    rows: list[TableRow]
    is_text: bool = False
    is_matrix: bool = False


@dataclass(frozen=True)
class Picture:
    """`uri` is a data URI; empty where the page has no room for it. `is_figure`: dark ink on white paper."""

    uri: str
    alt: str
    caption: str = ""
    is_figure: bool = False


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side, as many as fit."""

    kind: ClassVar = "gallery"
    pictures: list[Picture]
    caption: str = ""


@dataclass(frozen=True)
class Swatch:
    name: str
    color: str  # #rrggbb


@dataclass(frozen=True)
class Legend:
    """Of label maps."""

    kind: ClassVar = "legend"
    swatches: list[Swatch]


@dataclass(frozen=True)
class Line:
    """`number` is the run's place, which decides colour and dashes; `points` are those of an SVG polyline."""

    number: int
    points: str
    dots: list[tuple[float, float]]


@dataclass(frozen=True)
class Tick:
    place: float  # in the chart's units
    label: str


@dataclass(frozen=True)
class Chart:
    title: str
    unit: str
    description: str  # in words and numbers
    lines: list[Line]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    stage_starts: list[Tick]


@dataclass(frozen=True)
class Charts:
    """`names` are the runs', in the order of their numbers."""

    kind: ClassVar = "charts"
    names: list[str]
    charts: list[Chart]


Part = Heading | Paragraph | Points | Folded | Table | Gallery | Legend | Charts


@dataclass
class Section:
    anchor: str
    title: str
    parts: list[Part] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """`subtitle` says what the page is of, `headline` the result in one sentence, `problems` what could not be read."""

    title: str
    subtitle: str
    headline: str
    problems: list[str]
    sections: list[Section]
    footer: str
