"""The page of a report: what anyone can read, from folders that nobody vouches for."""

import itertools
import re
from collections.abc import Iterator

import pytest

from engine.reporting.report.charts import line_chart
from engine.reporting.report.events import Point
from engine.reporting.report.page import TEMPLATES, html
from engine.reporting.report.parts import (
    Cell,
    Charts,
    Folded,
    Gallery,
    Heading,
    Legend,
    Page,
    Paragraph,
    Part,
    Picture,
    Points,
    Section,
    Swatch,
    Table,
    TableRow,
)
from tests.helpers.html_pages import Element, parsed, table_values

CSS = (TEMPLATES / "report.css").read_text()
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> {{ 7*7 }} 🐛"
BODY_TEXT, LARGE_OR_LINE = 4.5, 3.0  # contrast that WCAG 2.1 asks for


def page_of(*parts: Part, text: str = "x") -> str:
    return html(Page(text, text, text, [text], [Section("a", text, list(parts))], text))


def hostile_parts() -> list[Part]:
    chart = line_chart(HOSTILE, HOSTILE, {HOSTILE: [Point(1, 2.0)], "b": [Point(1, 2.0)]}, {HOSTILE: 1}, from_zero=True)
    assert chart is not None
    row = TableRow(HOSTILE, [Cell(HOSTILE, HOSTILE)])
    return [
        Heading(HOSTILE),
        Paragraph(HOSTILE),
        Points([HOSTILE]),
        Folded(HOSTILE, HOSTILE),
        Table(HOSTILE, HOSTILE, [HOSTILE], [row]),
        Table(HOSTILE, HOSTILE, [HOSTILE], [row], is_matrix=True),
        Gallery([Picture("data:,", HOSTILE, HOSTILE), Picture("data:,", HOSTILE, is_figure=True)], HOSTILE),
        Legend([Swatch(HOSTILE, "#000000")]),
        Charts([HOSTILE, "b"], [chart]),
    ]


def test_whatever_a_folder_calls_itself_stays_text() -> None:
    text = page_of(*hostile_parts(), text=HOSTILE)
    page = parsed(text)
    assert not page.all("script") and all(image.attributes["src"] == "data:," for image in page.all("img"))
    assert not any(name.startswith("on") for element in every(page) for name in element.attributes)
    shown = " ".join(HOSTILE.split())
    assert page.all("h1")[0].text == page.all("title")[0].text == page.all("h3")[0].text == shown
    assert {image.attributes["alt"] for image in page.all("img")} == {HOSTILE}
    assert HOSTILE in page.all("svg")[-1].attributes["aria-label"]


def every(element: Element) -> Iterator[Element]:
    for child in element.children:
        yield child
        yield from every(child)


def test_every_kind_of_part_has_its_macro() -> None:
    assert {part.kind for part in hostile_parts()} == set(
        re.findall(r"macro (\w+)\(part", (TEMPLATES / "parts.html").read_text())
    )


def test_a_cell_s_difference_is_read_with_it() -> None:
    rows = [TableRow("road", [Cell("50.0"), Cell("60.0", "+10.0", "gain-3")])]
    (table,) = parsed(page_of(Table("caption", "class", ["a", "b"], rows))).all("table")
    assert table_values(table) == {"road": {"a": "50.0", "b": "60.0 +10.0"}}
    assert table.all("caption")[0].text == "caption"


def variables(scheme: str) -> dict[str, str]:
    """The colours of the light scheme, or those that the dark one puts in their place."""
    light, dark = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)[:2]
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light))
    return {**found, **dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", dark))} if scheme == "dark" else found


def luminance(color: str) -> float:
    """Relative luminance, https://www.w3.org/TR/WCAG21/#dfn-relative-luminance."""
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_by_day_and_by_night(scheme: str) -> None:
    color = variables(scheme)
    grounds = [
        "paper",
        "raised",
        "note",
        "heat-1",
        "heat-2",
        *(f"{kind}-{n}" for kind in ("gain", "loss") for n in "123"),
    ]
    pairs = [*itertools.product(["ink"], grounds), ("quiet", "paper"), ("accent", "paper"), ("on-pale", "heat-3"),
             ("on-deep", "heat-4"), ("on-deep", "heat-5")]  # fmt: skip
    contrasts = {pair: contrast(*(color[name] for name in pair)) for pair in pairs}
    assert {pair: ratio for pair, ratio in contrasts.items() if ratio < BODY_TEXT} == {}
    lines = [name for name in color if name.startswith("run-")]
    assert len(lines) == 8 and min(contrast(color[line], color["paper"]) for line in lines) >= LARGE_OR_LINE


def test_lines_differ_in_dashes_as_well_as_in_colour() -> None:
    rules = re.findall(r"\.run-(\d) \{ (.*?) \}", CSS)
    assert len(rules) == 8
    dashes = [re.search(r"stroke-dasharray: ([\d ]+)", rule) for _, rule in rules]
    patterns = [match[1] if match else "solid" for match in dashes]
    assert len(set(patterns)) == 8


def test_every_colour_of_the_style_sheet_is_named_once() -> None:
    """So that none escapes the test of contrasts, or the dark."""
    body = re.sub(r":root \{.*?\}", "", CSS, flags=re.DOTALL)
    assert re.findall(r"#[0-9a-f]{3,8}\b|: ?(?:white|black)\b", body) == []
    assert variables("light").keys() == variables("dark").keys()
