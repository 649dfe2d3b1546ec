"""The README's commands are understood as printed."""

import re
import shlex
from pathlib import Path

import pytest

from assembly.command import Command
from configs.schema import AnalyzeConfig, AuditConfig, Config, EvalConfig, ExportConfig, PredictConfig, ReportConfig

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(
    r"^    \.venv/bin/python (train|eval|predict|analyze|audit|export|report)\.py ?(.*)$", README, re.MULTILINE
)

KINDS = {
    "train": Config,
    "eval": EvalConfig,
    "predict": PredictConfig,
    "analyze": AnalyzeConfig,
    "audit": AuditConfig,
    "export": ExportConfig,
    "report": ReportConfig,
}


@pytest.mark.parametrize(("program", "line"), COMMANDS, ids=[f"{program} {line}" for program, line in COMMANDS])
def test_a_command_composes(program: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first_phase = tmp_path / "runs" / "voc_coco" / "best.pt"  # what voc_coco_tune goes on from
    first_phase.parent.mkdir(parents=True)
    first_phase.touch()
    for name in ("file.pth", "file.caffemodel", "image.png", "video.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\ndefaults: [shapes, _self_]\n")
    words = [str(tmp_path) if word == "DIR" else word for word in shlex.split(line, comments=True)]
    for place, path in (
        ("DIR", tmp_path),
        ("FILE.caffemodel", tmp_path / "file.caffemodel"),
        ("IMAGE", tmp_path / "image.png"),
        ("VIDEO", tmp_path / "video.mp4"),
        ("FILE", tmp_path / "file.pth"),
        ("runs/NAME/best.pt", tmp_path / "file.pth"),
        ("runs/NAME", tmp_path),
    ):
        words = [word.replace(f"={place}", f"={path}") for word in words]
    Command(KINDS[program], run=lambda config: 0).prepare(words)


def test_there_are_commands_of_every_kind() -> None:
    assert {program for program, _ in COMMANDS} == set(KINDS)


def test_every_make_target_that_is_mentioned_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md"):
        assert set(re.findall(r"(?:^    |`)make ([a-z-]+)", (ROOT / name).read_text(), re.MULTILINE)) <= targets


def test_every_file_that_is_mentioned_exists() -> None:
    for link in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / link).exists(), link
