"""Installing the project brings its dependencies and no module: the checkout is the product."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def copy_project(folder: Path) -> None:
    """What a build tool could take for a module, and what it needs."""
    for path in ROOT.iterdir():
        if path.suffix in (".py", ".toml", ".md") or path.name == "LICENSE":
            shutil.copy(path, folder)
        elif (path / "__init__.py").exists() or path.name in PYPROJECT["build-system"]["backend-path"]:
            shutil.copytree(path, folder / path.name)


def test_the_metadata_declare_no_module() -> None:
    assert PYPROJECT["tool"]["setuptools"] == {"packages": [], "py-modules": []}


@pytest.mark.parametrize("hook", ["build_wheel", "build_editable"])
def test_a_wheel_holds_metadata_alone_whether_editable_or_not(hook: str, tmp_path: Path) -> None:
    """An editable wheel's import hook or .pth file would be a module, too."""
    project, output = tmp_path / "project", tmp_path / "output"
    project.mkdir()
    output.mkdir()
    copy_project(project)
    system = PYPROJECT["build-system"]
    build = f"import sys; sys.path[:0] = {system['backend-path']}; import {system['build-backend']} as backend"
    done = subprocess.run(
        [sys.executable, "-c", f"{build}; backend.{hook}({str(output)!r})"], cwd=project, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = output.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        folders = {name.split("/")[0] for name in archive.namelist()}
        assert folders == {f"dilated_context-{PYPROJECT['project']['version']}.dist-info"}
        assert archive.read(f"{folders.pop()}/top_level.txt").strip() == b""
