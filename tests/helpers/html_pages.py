"""A page of HTML as a test reads it: every element with its attributes and its text."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID_ELEMENTS = ("meta", "img", "br", "link", "hr", "input")


@dataclass
class Element:
    """`text` is all text in it, blanks folded."""

    tag: str
    attributes: dict[str, str]
    pieces: list[str] = field(default_factory=list)
    children: list["Element"] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(self.pieces).split())

    def all(self, *tags: str) -> list["Element"]:
        """Elements below this one, in the order of the page."""
        found = []
        for child in self.children:
            found += [child] * (child.tag in tags) + child.all(*tags)
        return found


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("page", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID_ELEMENTS:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.pieces.append(data)


def parsed(text: str) -> Element:
    """The page; every element is closed where it belongs."""
    parser = _Parser()
    parser.feed(text)
    parser.close()
    (page,) = parser.open
    return page


def table_values(table: Element) -> dict[str, dict[str, str]]:
    """The text of every cell by the headings of its row and column."""
    columns = [heading.text for heading in table.all("thead")[0].all("th")][1:]
    return {
        row.all("th")[0].text: dict(zip(columns, [cell.text for cell in row.all("td")], strict=True))
        for row in table.all("tbody")[0].all("tr")
    }
