"""The playground in a real browser: its numbers are those of analyze.py, and whoever uses it gets a plain answer."""

import html
import json
import math
import random
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from matplotlib.colors import to_hex
from PIL import Image

from configs.errors import ConfigError
from configs.schema import AnalyzeConfig, ContextConfig, FrontendConfig, ModelConfig
from configs.validation import validated
from engine.reporting.coverage_figure import COLOURS, FAINTEST, OUTSIDE
from models.analysis import analysis_of
from models.coverage import path_counts
from tests.helpers.browser import dump_dom, screenshot
from tests.helpers.programs import ROOT

PAGE = ROOT / "docs" / "playground.html"
SCRIPT = Path(__file__).with_name("playground.js")  # what the page is asked, and put through
FRONTENDS = ("small", "light", "vgg16")
WRONG_DILATIONS = {  # what is typed: the answer
    "": "dilations: at least one value is required; for example 1,1,2,4,8,16,1",
    "0": "dilations are positive integers; got 0 at position 0",
    "1,-2": "dilations are positive integers; got -2 at position 1",
    "1,2,600": "dilations are at most 512; got 600 at position 2",
    "1,two": "dilations: a whole number is required at position 1; got two",
    "1,2.5": "dilations: a whole number is required at position 1; got 2.5",
    ",".join(["1"] * 40): "40 layers; at most 32 are drawn here, analyze.py takes any number",
    "1," * 400: "dilations: 800 characters; at most 400 are read here",
}
WRONG_OTHERS = {  # field, what is typed: the answer
    ("classes", "300"): "classes=300: it must be at most 255",
    ("classes", ""): "classes: a whole number is required; got nothing",
    ("height", "100"): "crop height=100: it must be divisible by 8; write 96",
    ("width", "4"): "crop width=4: it must be at least 8",
    ("widths", "1,2"): "widths: none, or one for each of the 7 dilations is required; got 2",
    ("widths", "65,1,1,1,1,1,1"): "widths are at most 64; got 65 at position 0",
}


def frontend(name: str) -> FrontendConfig:
    return FrontendConfig(**yaml.safe_load((ROOT / "configs" / "frontend" / f"{name}.yaml").read_text()))


def random_settings(count: int) -> list[dict[str, Any]]:
    draw = random.Random(0)
    settings = []
    for _ in range(count):
        dilations = [draw.randint(1, 64) for _ in range(draw.randint(1, 10))]
        settings.append({
            "dilations": dilations,
            "widths": draw.choice([[], [draw.randint(1, 64) for _ in dilations]]),
            "padding": draw.choice(["each", "once"]),
            "frontend": draw.choice(FRONTENDS),
            "borders": draw.choice(["reflect", "zero"]),
            "num_classes": draw.randint(1, 255),
            "crop_px": [8 * draw.randint(1, 150), 8 * draw.randint(1, 150)],
        })  # fmt: skip
    # And what chance does not bring: a share of 12.5 per cent (halves round to even), counts beyond 2^53 in the plane.
    base = {
        "widths": [],
        "padding": "each",
        "frontend": "small",
        "borders": "reflect",
        "num_classes": 21,
        "crop_px": [512, 512],
    }
    return settings + [base | {"dilations": dilations} for dilations in ([1] * 32, [1, 2, 4, 8, 1], [512], [1], [3, 3])]


def with_script(script: str, folder: Path) -> Path:
    """A copy of the page with a script at its end."""
    page, end = PAGE.read_text(), "</body>"
    assert page.count(end) == 1
    copy = folder / "playground.html"
    copy.write_text(page.replace(end, f"<script>{script}</script>\n{end}"))
    return copy


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script found out, in one start of the browser."""
    wrong = [("dilations", text) for text in WRONG_DILATIONS] + list(WRONG_OTHERS)
    requests = json.dumps({"analyses": random_settings(200), "wrong": wrong})
    page = with_script(SCRIPT.read_text().replace("REQUESTS", requests), tmp_path_factory.mktemp("playground"))
    result = re.search(r'<pre id="found">(.*?)</pre>', dump_dom(page), re.DOTALL)
    assert result is not None
    content: dict[str, Any] = json.loads(html.unescape(result[1]))
    return content


def test_its_numbers_and_verdicts_are_those_of_analyze_for_200_random_settings(found: dict[str, Any]) -> None:
    assert len(found["analyses"]) >= 200
    for settings, analysis in zip(random_settings(200), found["analyses"], strict=True):
        keys = ("dilations", "widths", "padding")
        context = ContextConfig(**{key: settings[key] for key in keys})
        model = ModelConfig(frontend=frontend(settings["frontend"]), context=context, padding=settings["borders"])
        config = AnalyzeConfig(model=model, num_classes=settings["num_classes"], crop_px=settings["crop_px"])
        assert analysis == json.loads(json.dumps(asdict(analysis_of(config)))), settings


def test_it_begins_as_analyze_begins_and_knows_every_context_by_name(found: dict[str, Any]) -> None:
    usual, config = found["usual"], AnalyzeConfig()
    assert usual["dilations"] == ",".join(map(str, config.model.context.dilations))
    assert [int(usual[key]) for key in ("height", "width", "classes")] == [*config.crop_px, config.num_classes]
    analyze = yaml.safe_load((ROOT / "configs" / "analyze.yaml").read_text())
    assert {"frontend": usual["frontend"]} in analyze["defaults"] and {"context": "dilation8"} in analyze["defaults"]
    named = [{"widths": [], "padding": "each"} | context for context in found["contexts"].values()]
    for path in (ROOT / "configs" / "context").glob("*.yaml"):
        content = yaml.safe_load(path.read_text())
        if "dilations" not in content:
            continue  # another one with changes
        plain = {key: content[key] for key in ("dilations", "widths", "padding")}
        assert plain in named and plain == {"widths": [], "padding": "each"} | found["contexts"][path.stem], path


def test_wrong_input_is_answered_in_the_words_of_the_command_line_and_mended_by_the_next(found: dict[str, Any]) -> None:
    answers = [*WRONG_DILATIONS.values(), *WRONG_OTHERS.values()]
    assert found["wrong"] == [[answer, "true", "stale", "", ""] for answer in answers]
    for dilations in ([0], [1, -2], [1, 2, 600]):
        with pytest.raises(ConfigError) as error:
            validated(ContextConfig, {"dilations": dilations}, "model.context")
        _, _, message = str(error.value).partition("]: ")
        assert WRONG_DILATIONS[",".join(map(str, dilations))] == message


def test_layers_are_changed_by_keys_buttons_and_drags(found: dict[str, Any]) -> None:
    """From 1,1,2,4,8,16,1; the drag upward is by 28 px, which doubles."""
    assert found["schedules"] == {
        "up": "1,1,3,4,8,16,1",
        "down": "1,1,1,4,8,16,1",
        "least": "1,1,2,4,8,16,1",
        "double": "1,1,2,4,8,32,1",
        "half": "1,1,2,4,8,8,1",
        "most": "512,1,2,4,8,16,1",
        "left": "1,2,1,4,8,16,1",
        "past": "1,1,2,4,8,16,1",
        "removed": "1,1,2,4,8,1",
        "added": "1,1,2,4,8,16,1,1",
        "minus": "1,1,2,3,8,16,1",
        "moved": "1,1,4,2,8,16,1",
        "named": "1,1,1,1,1,1,1",
        "dragged_up": "1,1,4,4,8,16,1",
        "dragged_right": "1,2,4,1,8,16,1",
        "after_nonsense": "2,1,2,4,8,16,1",
    }


def test_a_layer_keeps_its_width_when_it_moves(found: dict[str, Any]) -> None:
    assert found["widths"] == ["2,1,4", "2,1,3"] and found["widened"] == "2,1,3,1"


def test_the_picture_has_the_colours_of_the_coverage_figure(found: dict[str, Any]) -> None:
    """The centre row of 1,2,4 after the first layer and after the last, on one scale."""
    first, last = [0] * 6 + path_counts([1]) + [0] * 6, path_counts([1, 2, 4])
    assert last == [1, 1, 2, 1, 3, 2, 3, 1, 3, 2, 3, 1, 2, 1, 1]

    def colour(count: int) -> str:
        brightness = FAINTEST + (1 - FAINTEST) * (math.log(count) + math.log(1)) / 2 / math.log(3)
        return to_hex(COLOURS(brightness))

    expected = [[colour(count) if count else OUTSIDE for count in counts] for counts in (first, last)]
    assert found["colours"] == expected
    assert "most: 9 paths (log scale)" in found["legend"]


def test_the_largest_schedule_is_drawn_in_a_moment(found: dict[str, Any]) -> None:
    problems, figures, milliseconds = found["widest"]
    assert problems == "" and "32769 x 32769 cells" in figures and "about 10^31" in figures
    assert milliseconds < 10_000
    assert found["dots"] == "Each dot is the brightest of 95 \u00d7 95 cells."  # 32769 cells in at most 348 dots


def test_screen_readers_hear_the_verdict_and_every_control_has_a_name(found: dict[str, Any]) -> None:
    assert found["announcement"].startswith("Field 13 cells, 476 px. warning: 6 of 13 cells along each axis never")
    assert found["unlabelled"] == []
    assert found["slider"] == ["layer 2, dilation", "1", "512"]


def test_the_address_and_the_commands_hold_the_settings(found: dict[str, Any]) -> None:
    assert found["address"] == "#dilations=2,2,2&frontend=vgg16"
    words = "'model.context.dilations=[2,2,2]' frontend=vgg16"
    assert found["commands"] == [f".venv/bin/python analyze.py {words}", f".venv/bin/python train.py {words}"]


def test_a_link_opens_its_schedule_and_its_text_is_never_markup() -> None:
    document = dump_dom(PAGE, fragment="dilations=2,2,2&frontend=vgg16&classes=19&nothing=1")
    assert "HDC's M_2 = 2 is at most 3 and would pass it; the exact support decides" in document
    assert "476 px" in document and "one image: 19 classes" in document
    hostile = dump_dom(PAGE, fragment="dilations=<img/src=x>&frontend=<b>&padding=once")
    assert "frontend=&lt;b&gt;: one of small, light, vgg16 is required" in hostile
    assert "got &lt;img/src=x&gt;" in hostile and "<img" not in hostile
    assert '<ul id="verdict" class="stale"><li class="clean">dilations [1, 1, 2, 4, 8, 16, 1]' in hostile


def test_nothing_is_loaded_and_nothing_can_be() -> None:
    text = PAGE.read_text()
    assert "default-src 'none'" in text
    assert not re.search(r"https?://|\bsrc=|@import|url\(|fetch\(|XMLHttpRequest|<link", text)
    assert re.findall(r'href="(.*?)"', text) == ["dilation.md"] and (PAGE.parent / "dilation.md").is_file()


def test_a_phone_of_360_px_scrolls_down_only(tmp_path: Path) -> None:
    sizes = "[innerWidth, document.documentElement.clientWidth, document.documentElement.scrollWidth]"
    report = f"if (window !== top) setTimeout(() => top.postMessage({sizes}, '*'), 500);"
    address = f"{with_script(report, tmp_path).name}#dilations=1,1,2,4,8,16,32,64,1&frontend=vgg16"
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(
        f'<iframe src="{address}" style="width:360px;height:600px;border:0"></iframe><p id="sizes"></p>'
        "<script>addEventListener('message', (event) => { sizes.textContent = event.data; });</script>"
    )
    result = re.search(r'<p id="sizes">360,(\d+),(\d+)</p>', dump_dom(wrapper))
    assert result is not None and result[1] == result[2]


def test_in_the_dark_the_page_is_dark(tmp_path: Path) -> None:
    for dark in (False, True):
        screenshot(PAGE, tmp_path / "page.png", width=500, height=300, dark=dark)
        corner = np.asarray(Image.open(tmp_path / "page.png"))[2, 2, :3]
        assert corner.max() < 60 if dark else corner.min() > 200
