"""The files about the project agree: version, Pythons, commands and tools are the same in each of them."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
JOBS: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_the_citation_and_the_newest_section_of_the_changelog_are_of_the_project_s_version() -> None:
    sections = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[:2] == ["Unreleased", PROJECT["version"]]
    assert CITATION["version"] == PROJECT["version"] and CITATION["license"] == PROJECT["license"]


def test_the_citation_names_the_paper_of_the_readme() -> None:
    (paper,) = CITATION["references"]
    assert f"*{paper['title']}*" in README.replace("\n", " ") and paper["url"] in README


def test_continuous_integration_runs_the_readme_s_two_commands_and_all_checks() -> None:
    section = README.partition("## Two commands")[2].partition("\n## ")[0]
    two = re.findall(r"^    (make \w+) +#", section, re.MULTILINE)
    assert len(two) == 2 and set(two) <= set(commands(JOBS["readme"]))
    assert "make check" in commands(JOBS["check"])
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {line.removeprefix("make ") for job in JOBS.values() for line in commands(job)} <= targets


def test_continuous_integration_begins_with_the_oldest_python() -> None:
    oldest = JOBS["readme"]["strategy"]["matrix"]["python"][0]
    assert PROJECT["requires-python"] == f">={oldest}" and PYPROJECT["tool"]["mypy"]["python_version"] == oldest


@pytest.mark.parametrize("hook", [hook for repo in HOOKS for hook in repo["hooks"]], ids=lambda hook: hook["id"])
def test_a_hook_before_a_commit_runs_the_project_s_own_tool(hook: dict[str, Any]) -> None:
    """And one of those that `make check` runs."""
    command = hook["entry"].removesuffix(" --force-exclude")
    tools = [re.split(r"[^\w-]", requirement)[0] for requirement in PROJECT["optional-dependencies"]["test"]]
    assert Path(command.split()[0]).relative_to(".venv/bin").name in tools
    assert command.replace(".venv/bin", "$(BIN)") in (ROOT / "Makefile").read_text()
