"""The plan of the house: arrows point down only."""

import ast
from pathlib import Path

from tests.helpers.programs import ROOT

ISLANDS = ("data", "models", "engine")
ENTRY_POINTS = ("train", "eval", "predict", "analyze", "assembly")
ROOMS = {  # of engine/, and the rooms that each may know
    "process": set(),
    "evaluation": set(),
    "runs": {"evaluation"},
    "training": {"evaluation", "process", "runs"},
    "reporting": {"evaluation", "process", "runs"},  # not training: the loop tells a Listener
    "sweeps": {"process", "runs"},
}


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
            reads_words = path.parent == ROOT / "engine" / "sweeps"  # of the command line, for each combination
            known = {
                "configs.schema",
                "configs.errors",
                *(["configs.command_line", "configs.validation"] * reads_words),
            }
            assert {name for name in imported(path) if name.startswith("configs")} <= known, path


def test_rooms_of_the_engine_look_one_way() -> None:
    assert {path.name for path in (ROOT / "engine").iterdir() if (path / "__init__.py").is_file()} == ROOMS.keys()
    for room, known in ROOMS.items():
        for path in (ROOT / "engine" / room).glob("*.py"):
            parts = [name.split(".") for name in imported(path)]
            others = {part[1] for part in parts if part[0] == "engine" and len(part) > 2} - {room}
            assert others <= known, path


def test_configs_import_nothing_of_ours_and_no_torch() -> None:
    for path in (ROOT / "configs").rglob("*.py"):
        roots = {name.split(".")[0] for name in imported(path)}
        assert not roots & {*ISLANDS, *ENTRY_POINTS, "torch"}, path


def test_only_the_transforms_know_albumentations() -> None:
    users = [path for island in ISLANDS for path in (ROOT / island).rglob("*.py") if "albumentations" in imported(path)]
    assert users == [ROOT / "data" / "transforms.py"]
