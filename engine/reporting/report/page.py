"""From a page's parts to one file of HTML that needs nothing else: no network, no server, no script."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from engine.reporting.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from engine.reporting.report.parts import Page

TEMPLATES = Path(__file__).resolve().parent / "templates"


def html(page: Page) -> str:
    """Everything that is put into the template is escaped; the style sheet alone is ours and stands as it is."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    chart = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM}
    text = environment.get_template("report.html").render(page=page, plane=chart)
    return text.encode(errors="backslashreplace").decode()  # JSON may hold half a character
