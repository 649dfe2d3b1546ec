"""The version stands in pyproject.toml alone; a run says it, and none is refused for it."""

import importlib.metadata
import json
import tomllib
from pathlib import Path

import pytest

from configs.compose import compose
from engine.runs import checkpoint, header
from engine.runs.shared_frontend import SharedFrontend
from tests.helpers.headers import run_header
from tests.helpers.small_runs import small_run
from train import train

ROOT = Path(__file__).resolve().parent.parent
NAME = "dilated-context"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def small(*stages: str) -> list[str]:
    return small_run(stages, limit=2, steps=2, crop_px="[64,64]", validate_steps=2)


def test_a_checkout_knows_its_version_though_nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == NAME:
            raise importlib.metadata.PackageNotFoundError(name)
        return importlib.metadata.version(name)

    monkeypatch.setattr(header, "version", version)
    assert header.versions()[NAME] == VERSION


@pytest.mark.parametrize("before", [None, "0.0.9"])
def test_a_run_of_another_version_goes_on_and_its_history_says_so(
    before: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """None is that of a checkpoint from before the project's version was kept."""
    folder = tmp_path / "run"
    assert train(compose([*small("frontend"), f"run.dir={folder}"])) == 0
    content = checkpoint.load(folder / "last.pt")
    assert content["versions"].pop(NAME) == VERSION
    if before is not None:
        content["versions"][NAME] = before
    checkpoint.save(folder / "last.pt", content)
    capsys.readouterr()

    assert train(compose([*small("frontend", "context"), f"run.dir={folder}", "resume=auto"])) == 0
    assert NAME not in capsys.readouterr().out, "bits do not depend on a version's number"
    written = json.loads((folder / "summary.json").read_text())
    assert written["versions"][NAME] == VERSION
    (sitting,) = written["history"]
    assert sitting["changes"][f"versions.{NAME}"] == [before, VERSION]


def test_front_ends_are_shared_across_versions_of_the_same_code(tmp_path: Path) -> None:
    headers = [run_header(versions=versions) for versions in ({}, {NAME: "0.0.9"}, {NAME: VERSION})]
    keys = {SharedFrontend.of(tmp_path, header, [], {"code": "a"}, print, lambda: None).key for header in headers}
    assert len(keys) == 1
