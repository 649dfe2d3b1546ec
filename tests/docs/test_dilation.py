"""docs/dilation.md shows what its commands print."""

import contextlib
import io
import itertools
import random
import re

import pytest

from configs.compose import compose, composed
from configs.schema import AnalyzeConfig, FrontendConfig, Padding
from models.analysis import analysis_of, analysis_page
from models.coverage import coverage, hdc_m2
from models.geometry import Layer, margin, receptive_field
from models.layers import frontend_layers
from tests.helpers.programs import ROOT

PAGE = (ROOT / "docs" / "dilation.md").read_text()
SHOWN = re.findall(r"```(sh|python)\n([^`]*)```\n\n```text\n([^`]*)```", PAGE)  # language, source, output
ELISION = "..."


def shown_in_order(output: str, printed: str) -> bool:
    """Whether the lines of `output` follow each other in what is printed, but for others where ... stands."""
    pattern = "".join(r"(.*\n)*?" if line == ELISION else re.escape(line) + r"[ ]*\n" for line in output.splitlines())
    return re.search(rf"^{pattern}", f"{printed}\n", re.MULTILINE) is not None


@pytest.mark.parametrize(("source", "output"), [shown[1:] for shown in SHOWN if shown[0] == "sh"])
def test_analyze_prints_what_the_page_shows(source: str, output: str) -> None:
    program, *words = source.replace("'", "").split()
    assert program == ".venv/bin/python" and words[0] == "analyze.py"
    assert shown_in_order(output, analysis_page(analysis_of(composed(AnalyzeConfig, words[1:]))))


def test_the_program_prints_what_the_page_shows() -> None:
    ((_, source, output),) = [shown for shown in SHOWN if shown[0] == "python"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(source, {})
    assert printed.getvalue() == output


def test_every_training_command_of_the_page_composes() -> None:
    """Sweeps value by value; the checkpoint, which only has to be there, is another file."""
    commands = re.findall(r"^\.venv/bin/python train\.py (.*)$", PAGE.replace("\\\n", ""), re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        words = command.replace("'", "").replace("runs/shapes_0/frontend.pt", str(ROOT / "README.md")).split()
        swept = [word for word in words if "," in word]
        plain = [word for word in words if word != "-m" and word not in swept]
        for value in (value for word in swept for value in word.partition("=")[2].split(",")):
            compose([*plain, f"{swept[0].partition('=')[0]}={value}"])
        compose(plain)


def test_the_recursion_and_the_closed_form_of_the_page_agree_with_the_code_for_random_stacks() -> None:
    """And so does the formula of a dilated stack, where no layer has a stride."""
    draw = random.Random(0)
    for _ in range(200):
        drawn = [(draw.randint(1, 7), draw.randint(1, 9), draw.randint(1, 3)) for _ in range(draw.randint(1, 9))]
        layers = [Layer("any", kernel, dilation, stride) for kernel, dilation, stride in drawn]
        recursion, closed, jump = 1, 1, 1
        for kernel, dilation, stride in reversed(drawn):
            recursion = stride * recursion + (dilation * (kernel - 1) + 1 - stride)
        for kernel, dilation, stride in drawn:
            closed, jump = closed + dilation * (kernel - 1) * jump, jump * stride
        assert receptive_field(layers) == recursion == closed
        dilations = [dilation for _, dilation, _ in drawn]
        assert receptive_field([Layer("3x3", 3, dilation) for dilation in dilations]) == 1 + 2 * sum(dilations)


def test_a_cell_looks_at_the_centre_that_the_page_says() -> None:
    """The first pixel from the paddings, layer by layer; reflection by the margin stands for all of them at once."""
    paddings: tuple[Padding, ...] = ("reflect", "zero")
    for padding in paddings:
        layers, first, jump = frontend_layers(FrontendConfig(), padding), 0, 1
        for layer in layers:
            first, jump = first - layer.padding * jump, jump * layer.stride
        assert first - margin(layers) + (receptive_field(layers) - 1) / 2 == 3.5


def test_what_the_page_says_of_single_schedules() -> None:
    spreads = {(1, 3, 9): "0.00", (1, 1, 2, 4, 8, 16, 1): "0.46", (6, 6, 6, 6): "2.70"}
    assert {dilations: f"{coverage(dilations).path_spread:.2f}" for dilations in spreads} == spreads
    assert coverage([1, 2, 9]).hole_offsets == [4, 5] and coverage([1, 2, 9]).gcd == 1
    assert f"{coverage([1, 1, 2, 4, 8, 16, 1]).sigma_cells:.2f}" == "15.12"
    for dilations in itertools.product((1, 2, 3, 5), repeat=3):
        assert hdc_m2(dilations) == hdc_m2([1, *dilations[1:]]), "M_2 never reads the first dilation"
        assert coverage(dilations).path_counts == coverage(sorted(dilations)).path_counts, "the order changes nothing"


def test_links_of_the_page_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!http)(.*?)\)", PAGE)
    assert len(links) > 8 and all((ROOT / "docs" / link).is_file() for link in links)
