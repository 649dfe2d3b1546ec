"""The plan of the house: arrows point down only."""

import ast
from pathlib import Path

from tests.helpers.programs import ROOT

ISLANDS = ("data", "models", "engine")
ENTRY_POINTS = ("train", "eval", "predict", "analyze", "restore", "feed")


def imported(path: Path) -> set[str]:
    """Every module that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


def test_islands_import_neither_each_other_nor_an_entry_point() -> None:
    for island in ISLANDS:
        for path in (ROOT / island).rglob("*.py"):
            roots = {name.split(".")[0] for name in imported(path)}
            assert not roots & ({*ISLANDS, *ENTRY_POINTS} - {island}), path


def test_islands_know_of_the_config_only_its_schema_and_errors() -> None:
    for island in ISLANDS:
        for path in (ROOT / island).rglob("*.py"):
            assert {name for name in imported(path) if name.startswith("configs")} <= {
                "configs.schema",
                "configs.errors",
            }, path


def test_configs_import_nothing_of_ours_and_no_torch() -> None:
    for path in (ROOT / "configs").rglob("*.py"):
        roots = {name.split(".")[0] for name in imported(path)}
        assert not roots & {*ISLANDS, *ENTRY_POINTS, "torch"}, path


def test_only_the_transforms_know_albumentations() -> None:
    users = [path for island in ISLANDS for path in (ROOT / island).rglob("*.py") if "albumentations" in imported(path)]
    assert users == [ROOT / "data" / "transforms.py"]
