"""The plan of the house: arrows point down only."""

import ast
import subprocess
import sys
from pathlib import Path

from tests.helpers.programs import ROOT, run_code

ISLANDS = ("data", "models", "engine")
ENTRY_POINTS = ("train", "eval", "predict", "analyze", "audit", "export", "report", "hubconf", "assembly")
ROOMS = {  # of engine/, and the rooms that each may know
    "process": set(),
    "evaluation": set(),
    "runs": {"evaluation"},
    "training": {"evaluation", "process", "runs"},
    "reporting": {"evaluation", "process", "runs"},  # not training: the loop tells a Listener
    "sweeps": {"process", "runs"},
}


PACKAGES = ("configs", *ISLANDS, "assembly")

# Imports the modules that it is given, and prints what the project's code did meanwhile that is not an import.
IMPORTING = """
import copy, importlib, sys
import hydra.conf, hydra.version
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra

root, *modules = sys.argv[1:]
reading = set()

def watch(event, arguments):
    if event not in ("open", "os.listdir", "os.scandir"):
        return
    frame = sys._getframe(1)
    while frame is not None and "importlib" not in frame.f_code.co_filename:
        if frame.f_code.co_filename.startswith(root) and "site-packages" not in frame.f_code.co_filename:
            reading.add(f"{frame.f_code.co_filename}: {event} {arguments[0]}")
            return
        frame = frame.f_back

def state():
    version = hydra.version.VersionBase.instance().version_base
    return copy.deepcopy(ConfigStore.instance().repo), GlobalHydra.instance().hydra, version

before = state()
sys.addaudithook(watch)
for module in modules:
    importlib.import_module(module)
print(*sorted(reading), *["Hydra's globals have changed"] * (state() != before), sep="\\n", end="")
"""


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
        for path in (ROOT / "engine" / room).rglob("*.py"):
            parts = [name.split(".") for name in imported(path)]
            others = {part[1] for part in parts if part[0] == "engine" and len(part) > 2} - {room}
            assert others <= known, path


def test_configs_import_nothing_of_ours_and_no_torch() -> None:
    for path in (ROOT / "configs").rglob("*.py"):
        roots = {name.split(".")[0] for name in imported(path)}
        assert not roots & {*ISLANDS, *ENTRY_POINTS, "torch"}, path


def test_importing_a_module_reads_no_file_and_changes_no_global_of_hydra() -> None:
    paths = [path.relative_to(ROOT) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    modules = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths]
    assert len(modules) > 100
    result = run_code(IMPORTING, ROOT, *modules)
    assert (result.returncode, result.stdout) == (0, ""), result.stdout + result.stderr


def private_names(tree: ast.AST) -> set[str]:
    """Functions, classes, variables and attributes whose name begins with one underscore."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                names.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return {name for name in names if name.startswith("_") and not name.startswith("__") and name != "_"}


def used_names(tree: ast.AST) -> set[str]:
    """What a file imports, takes from an object other than `self`, or names in a text, as monkeypatch does."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(names=aliases):
                names |= {alias.name for alias in aliases}
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(attr=name):
                names.add(name)
            case ast.Constant(value=str(text)):
                names.add(text.rpartition(".")[2])
    return names


def test_tests_call_public_names_only() -> None:
    sources = [*ROOT.glob("*.py"), *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]
    private = set().union(*(private_names(ast.parse(path.read_text())) for path in sources))
    assert len(private) > 100
    for path in (ROOT / "tests").rglob("*.py"):
        assert not used_names(ast.parse(path.read_text())) & private, path


def test_only_the_transforms_know_albumentations() -> None:
    users = [path for island in ISLANDS for path in (ROOT / island).rglob("*.py") if "albumentations" in imported(path)]
    assert users == [ROOT / "data" / "transforms.py"]


def test_a_training_waits_for_no_library_of_statistics() -> None:
    """Each would add half a second or more to every start."""
    modules = "assembly.plan, assembly.introduction, engine.reporting.reporter, engine.training.stages"
    code = f"import sys, {modules}; print([name for name in ('scipy.stats', 'torchmetrics') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_an_audit_begins_to_read_without_torch() -> None:
    """Its processes are forked before torch is there, and a fault of a file is answered without it."""
    done = run_code("import sys, audit, assembly.audit, engine.process.exits; print('torch' in sys.modules)")
    assert done.stdout.split() == ["False"], done.stderr
