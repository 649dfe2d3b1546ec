"""The report of finished, unfinished and damaged runs, as people ask for it."""

import html
import itertools
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import report
from assembly.command import Command
from configs.schema import ReportConfig
from engine.reporting.report.pictures import MOST_BYTES
from tests.helpers.browser import dump_dom, screenshot
from tests.helpers.html_pages import Element, parsed, table_values
from tests.helpers.programs import run as run_program
from tests.helpers.run_folders import leave_run, mean
from tests.helpers.small_runs import small_run

FRONT, CONTEXT = [0.5, 0.3], [0.6, 0.2]
MATRICES = np.array([[[90, 10], [5, 95]], [[60, 40], [20, 80]]])
PHONE = """<!doctype html><body><iframe id="phone" style="border:0;width:360px;height:800px" srcdoc="{page}"></iframe>
<script>document.getElementById("phone").onload = event => {{
  const page = event.target.contentDocument, images = [...page.images];
  document.body.dataset.overflow = page.scrollingElement.scrollWidth - page.scrollingElement.clientWidth;
  document.body.dataset.shown = images.filter(image => image.naturalWidth > 0).length + " of " + images.length;
}}</script>"""


def written(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> tuple[int, Element]:
    """The exit code of the command in `folder`, and the page that it left in page.html."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["report.py", *words, "output=page.html"])
    code = report.COMMAND.start(report.main)
    return code, parsed((folder / "page.html").read_text())


def section(page: Element, anchor: str) -> Element:
    return next(each for each in page.all("section") if each.attributes["id"] == anchor)


def notes(page: Element) -> str:
    return " ".join(each.text for each in page.all("p", "div") if "note" in each.attributes.get("class", ""))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a sweep of two schedules, trained for a few steps, in `runs/two`."""
    folder = tmp_path_factory.mktemp("work")
    words = small_run(["frontend", "context"], limit=3, steps=4, crop_px="[64,64]", validate_steps=4)
    done = run_program(folder, "train.py", "-m", *words, "model.context.dilations=[1],[1,2]", "run.root=runs/two")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def jobs(sweep: Path) -> list[Path]:
    """The folders of the runs with dilations 1, and 1,2."""
    folders = (path.parent for path in (sweep / "runs" / "two").rglob("summary.json"))
    return sorted(folders, key=lambda folder: len(folder.name))


def test_a_page_holds_the_scores_of_the_summary_and_needs_nothing_else(
    monkeypatch: pytest.MonkeyPatch, sweep: Path, jobs: list[Path]
) -> None:
    code, page = written(monkeypatch, sweep, f"runs={jobs[0]}", "num_pictures=2", "threads=1")
    assert code == 0
    summary = json.loads((jobs[0] / "summary.json").read_text())
    values = table_values(section(page, "scores").all("table")[0])
    for stage, result in summary["stages"].items():
        for name, iou in zip(summary["classes"], result["class_iou"], strict=True):
            assert values[name][stage].split()[0] == ("n/a" if iou is None else f"{100 * iou:.1f}")
        assert values["mean IoU"][stage].split()[0] == f"{100 * result['mean_iou']:.1f}"
    assert len(section(page, "images").all("img")) == 2 * 4  # image, truth, answer, errors
    assert notes(page) == ""
    needs_nothing_else(sweep / "page.html")
    is_built_for_everybody(page)


def needs_nothing_else(file: Path) -> None:
    text = file.read_text()
    assert file.stat().st_size < MOST_BYTES and "<script" not in text and "<link" not in text
    assert re.findall(r"(?:https?:)?//\w", re.sub(r"base64,[\w+/=]*", "", text)) == []
    assert all(address.startswith(("data:", "#")) for address in re.findall(r'(?:src|href)="([^"]*)"', text))


def is_built_for_everybody(page: Element) -> None:
    """What a screen reader goes by."""
    assert page.all("html")[0].attributes["lang"] == "en"
    assert [len(page.all(tag)) for tag in ("h1", "main", "nav", "header", "footer")] == [1] * 5
    levels = [int(heading.tag[1]) for heading in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1 and all(after <= before + 1 for before, after in itertools.pairwise(levels))
    anchors = {each.attributes["id"] for each in page.all("section", "main")}
    assert {link.attributes["href"].removeprefix("#") for link in page.all("a")} == anchors
    for table in page.all("table"):
        assert table.all("caption")[0].text
        assert {heading.attributes["scope"] for heading in table.all("thead")[0].all("th")} == {"col"}
        assert {heading.attributes["scope"] for heading in table.all("tbody")[0].all("th")} == {"row"}
    assert all(len(image.attributes["alt"]) > 10 for image in page.all("img"))
    assert all(len(chart.attributes["aria-label"]) > 30 for chart in page.all("svg") if "role" in chart.attributes)


def test_two_runs_are_compared_with_the_first_class_by_class(
    monkeypatch: pytest.MonkeyPatch, sweep: Path, jobs: list[Path]
) -> None:
    _, page = written(monkeypatch, sweep, f"runs=[{jobs[0]},{jobs[1]}]", "threads=1", "num_pictures=1")
    first, second = (json.loads((job / "summary.json").read_text())["stages"]["context"] for job in jobs)
    table = next(each for each in section(page, "scores").all("table") if each.text.startswith("context"))
    cells = list(table_values(table)["mean IoU"].values())
    gap = 100 * (second["mean_iou"] - first["mean_iou"])
    assert cells[1].split()[1].lstrip("+\u2212") == f"{abs(gap):.1f}"
    settings = table_values(section(page, "settings").all("table")[0])
    assert list(settings["model.context.dilations"].values()) == ["1", "1,2"]
    pictures = section(page, "images").all("img")
    assert len(pictures) in (0, 5)  # image, truth, two answers, the difference; none where they agree on every image
    is_built_for_everybody(page)


def test_a_sweep_shows_its_leaderboard_and_two_runs_in_detail(
    monkeypatch: pytest.MonkeyPatch, sweep: Path, jobs: list[Path]
) -> None:
    code, page = written(monkeypatch, sweep, "runs=runs/two", "num_pictures=1", "threads=1", "against=[1,2]")
    values = table_values(section(page, "leaderboard").all("table")[0])
    means = {"1,2": json.loads((jobs[1] / "summary.json").read_text())["stages"]["context"]["mean_iou"]}
    assert code == 0 and set(values) == {"1", "1,2"}
    assert values["1,2"]["mean IoU, %"] == f"{100 * means['1,2']:.2f}"
    assert "one seed: nothing can be said of other seeds" in section(page, "leaderboard").text
    assert {each.attributes["id"] for each in page.all("section")} >= {"scores", "curves", "confusions", "schedules"}
    is_built_for_everybody(page)
    needs_nothing_else(sweep / "page.html")


def test_what_is_not_there_any_more_is_said_in_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, jobs: list[Path]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(jobs[0], folder)
    for file in [*folder.glob("*.pt"), *folder.glob("events*")]:
        file.unlink()
    code, page = written(monkeypatch, tmp_path, "runs=run")
    assert code == 0 and "is not there any more, so it cannot answer" in section(page, "images").text
    assert "no curves" in notes(page) and not section(page, "images").all("img")
    assert section(page, "scores").all("table") and section(page, "confusions").all("table")
    for file in folder.glob("confusions-*"):
        file.unlink()
    _, page = written(monkeypatch, tmp_path, "runs=run")
    assert "left no confusion matrices" in section(page, "confusions").text


def test_answers_that_are_not_those_of_the_scores_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, jobs: list[Path]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(jobs[0], folder)
    for file in folder.glob("confusions-*"):
        counts_NKK = np.load(file)
        np.save(file, counts_NKK[:, :, ::-1])
    _, page = written(monkeypatch, tmp_path, "runs=run", "num_pictures=1", "threads=1")
    assert "answers 1 of these images otherwise than when it was scored" in notes(page)


def test_an_unfinished_run_shows_what_there_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    leave_run(tmp_path / "run", {"frontend": FRONT, "context": CONTEXT}, is_finished=False)
    code, page = written(monkeypatch, tmp_path, "runs=run")
    values = table_values(section(page, "scores").all("table")[0])
    assert code == 0 and "the run is not finished" in notes(page) and "Not finished" in page.all("header")[0].text
    assert values["car"] == {"frontend": "30.0", "context": "20.0 \u221210.0"}
    assert values["mean IoU"]["context"].startswith(f"{100 * mean(CONTEXT):.1f}")
    assert section(page, "curves").all("polyline")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1, 2]",
        "{",
        "[" * 100_000,
        '{"stages": {}}',
        '{"stages": {"joint": {"mean_iou": 7}}}',
        '{"classes": 1e999}',
        "\0",
    ],
    ids=["empty", "list", "cut", "deep", "no stage", "impossible", "infinite", "binary"],
)
def test_a_damaged_summary_is_named_and_the_rest_is_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    run = leave_run(tmp_path / "run", {"context": CONTEXT}, counts_NKK=MATRICES)
    (run / "summary.json").write_text(content)
    code, page = written(monkeypatch, tmp_path, "runs=run", "num_pictures=0")
    assert code == 0 and "summary.json" in notes(page)
    assert section(page, "curves").all("polyline") and section(page, "confusions").all("table")


@pytest.mark.parametrize("name", ["config.json", "confusions-context.npy", "events"])
def test_other_damaged_files_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    run = leave_run(tmp_path / "run", {"context": CONTEXT}, counts_NKK=MATRICES)
    for file in run.glob(f"{name}*"):
        file.write_bytes(b"\x80" * 1000)
    code, page = written(monkeypatch, tmp_path, "runs=run", "num_pictures=0")
    assert code == 0 and ("no curves" if name == "events" else name) in notes(page)
    assert section(page, "scores").all("table")


@pytest.mark.parametrize(
    "changes", [{"stages": ["<script>"]}, {"model": {"frontend": {"channels": [10**400, 2, 3, 4, 5]}}}]
)
def test_settings_that_cannot_be_cost_the_verdict_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changes: dict[str, Any]
) -> None:
    run = leave_run(tmp_path / "run", {"context": CONTEXT}, counts_NKK=MATRICES)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, **changes}))
    code, page = written(monkeypatch, tmp_path, "runs=run", "num_pictures=0")
    assert code == 0 and "no verdict, for config.json" in section(page, "schedules").text
    assert section(page, "schedules").all("table")


def test_a_matrix_file_that_claims_more_than_it_holds_takes_no_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = leave_run(tmp_path / "run", {"context": CONTEXT}, counts_NKK=MATRICES)
    file = run / "confusions-context.npy"
    content = file.read_bytes()
    assert b"(2, 2, 2)" in content
    file.write_bytes(content.replace(b"(2, 2, 2), }" + b" " * 9, b"(9999999999, 2, 2), }"))
    code, page = written(monkeypatch, tmp_path, "runs=run", "num_pictures=0")
    assert code == 0 and "confusions-context.npy cannot be read" in notes(page)


def test_hostile_names_stay_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = "<script>alert(1)<'\"> & 🐛 run"
    classes = ["<script>alert(2)</script>", 'road\u202e & "car"' + "x" * 500]
    history = [{"resumed_at": "<b>\ud800", "stage": "joint", "step": 3, "changes": {"<i>": ["<u>", "</pre>"]}}]
    run = leave_run(tmp_path / "a", {"context": CONTEXT}, classes=classes, counts_NKK=MATRICES, history=history)
    run.rename(tmp_path / name)
    leave_run(tmp_path / "b", {"context": FRONT}, classes=classes, counts_NKK=MATRICES, dilations=[3])
    monkeypatch.chdir(tmp_path)
    for runs in (name, ".", f'["{name.replace(chr(34), chr(92) + chr(34))}",b]'):
        code, page = written(monkeypatch, tmp_path, f"runs={runs}", "num_pictures=0")
        assert code == 0 and not page.all("script", "b", "i", "u")
        assert "<script>alert(2)</script>" in section(page, "confusions").text
        assert all(len(cell.text) < 200 for cell in page.all("th", "td"))


def test_a_sweep_names_the_runs_that_its_leaderboard_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for seed in (0, 1):
        for dilations in ([1, 2], [4]):
            name = f"{len(dilations)}-{seed}"
            leave_run(tmp_path / "s" / name, {"frontend": FRONT, "context": CONTEXT}, dilations=dilations, seed=seed,
                      counts_NKK=MATRICES)  # fmt: skip
    (tmp_path / "s" / "1-1" / "summary.json").write_text("{")
    leave_run(tmp_path / "s" / "other", {"frontend": [0.1] * 3, "context": [0.2] * 3}, classes="abc", seed=2)
    leave_run(tmp_path / "s" / "late", {"context": CONTEXT}, is_finished=False)
    code, page = written(monkeypatch, tmp_path, "runs=s", "num_pictures=0")
    table = section(page, "leaderboard").all("table")[0]
    place = [heading.text for heading in table.all("th")].index("seeds") - 1
    rows = [(row.all("th")[0].text, row.all("td")[place].text) for row in table.all("tbody")[0].all("tr")]
    assert code == 0 and sorted(rows) == [("1,2", "1"), ("1,2", "2"), ("4", "1")]
    left_out = section(page, "leaderboard").all("ul")[-1].text
    assert "1-1: summary.json cannot be read" in left_out and "late: the run is not finished" in left_out


def test_a_resumed_run_tells_its_history(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sitting = {"resumed_at": "2026-11-01T10:00:00", "stage": "context", "step": 20,
               "changes": {"runtime.threads": [2, 4]}}  # fmt: skip
    leave_run(tmp_path / "run", {"context": CONTEXT}, history=[sitting])
    _, page = written(monkeypatch, tmp_path, "runs=run", "num_pictures=0")
    line = "resumed 2026-11-01T10:00:00 at context step 20: runtime.threads: 2 then, 4 from here on"
    assert line in section(page, "machine").text
    assert table_values(section(page, "machine").all("table")[0])["peak memory"] == {"run": "512 MiB"}


def test_the_page_lies_with_its_runs_or_where_output_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("a", "b"):
        leave_run(tmp_path / name, {"context": CONTEXT})
    monkeypatch.chdir(tmp_path)
    places = {
        ("runs=a",): ["a/report.html"],
        ("runs=[a,b]",): ["runs/report.html"],
        ("runs=.",): ["report.html"],
        ("runs=a", "output=c/d"): ["c/d/report.html"],
        ("-m", "runs=a,b", "num_pictures=0"): ["a/report.html", "b/report.html"],
    }
    for words, files in places.items():
        monkeypatch.setattr(sys, "argv", ["report.py", *words])
        monkeypatch.setattr(report, "COMMAND", Command(ReportConfig, report.run, results=report.results))
        assert report.COMMAND.start(report.main) == 0
        for file in files:
            (tmp_path / file).unlink()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "runs=: the folder of a run or of a sweep is required"),
        (["runs=nowhere"], "runs=nowhere: there is no such folder"),
        (["runs=[empty,nowhere]"], "runs=nowhere: there is no such folder"),
        (["runs=empty"], "no run lies in it or below it"),
        (["runs=[run,empty]"], "runs=empty: no run lies in this folder"),
        (["runs=run", "output=run/config.json"], "output=run/config.json cannot be written"),
        (["runs=run", "outptu=x.html"], "output"),
        (["runs=run", "num_pictures=-1"], "num_pictures=-1: it must be at least 0"),
        (["runs=run", "data.root=nowhere"], "data.root=nowhere: there is no such folder"),
        (["runs=[1,2]"], "a folder, or a list of folders, is required"),
        (["runs=[run,run2]", "against=[1]"], "leave it out"),
        (["runs=run", "against=[1]"], "against=[1]: runs=run is one run"),
        (["runs=run", "output="], "output=: the place of the results is required"),
        (["runs=.", "against=[7]"], "no finished run has these dilations"),
    ],
)
def test_what_cannot_be_reported_is_refused_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("run", "run2"):
        leave_run(tmp_path / name, {"context": CONTEXT})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report.py", *words])
    assert report.COMMAND.start(report.main) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("runs", ["runs/two", "pair"])
def test_a_phone_shows_the_page_without_scrolling_sideways(
    monkeypatch: pytest.MonkeyPatch, sweep: Path, jobs: list[Path], runs: str
) -> None:
    words = [f"runs=[{jobs[0]},{jobs[1]}]" if runs == "pair" else f"runs={runs}", "num_pictures=1", "threads=1"]
    _, page = written(monkeypatch, sweep, *words)
    phone = sweep / "phone.html"
    phone.write_text(PHONE.format(page=html.escape((sweep / "page.html").read_text())))
    (body,) = parsed_body(dump_dom(phone))
    num_images = len(page.all("img"))
    assert num_images > 0 and body == {"overflow": "0", "shown": f"{num_images} of {num_images}"}


def parsed_body(dom: str) -> Iterator[dict[str, str]]:
    yield dict(re.findall(r'data-(\w+)="([^"]*)"', re.findall(r"<body[^>]*>", dom)[0]))


def test_the_dark_scheme_is_dark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from PIL import Image

    leave_run(tmp_path / "run", {"context": CONTEXT}, counts_NKK=MATRICES)
    written(monkeypatch, tmp_path, "runs=run", "num_pictures=0")
    grounds: dict[bool, Any] = {}
    for dark in (False, True):
        screenshot(tmp_path / "page.html", tmp_path / "shot.png", width=360, height=400, dark=dark)
        with Image.open(tmp_path / "shot.png") as picture:
            grounds[dark] = np.median(np.asarray(picture.convert("L")))
    assert grounds[False] > 240 and grounds[True] < 40
