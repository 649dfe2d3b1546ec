"""What torch.hub hands to a program of another kind, from another folder."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from assembly.labeller import Labeller
from data.shapes import SCENES
from tests.helpers.programs import ROOT
from tests.helpers.trained_networks import random_network, smooth_images, tiny_model, write_checkpoint

LOADING = f"""
import os, sys
import torch
def load(name, **settings):
    return torch.hub.load({str(ROOT)!r}, name, source="local", **settings)
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of another program: modules under names of ours, images, and a network's file."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "models").mkdir()
    (folder / "models" / "__init__.py").write_text("resnet = 50\n")
    (folder / "configs.py").write_text("depth = 18\n")
    write_checkpoint(folder / "run.pt", random_network(tiny_model()), tiny_model())
    torch.save(smooth_images(2, 61, 83), folder / "images.pt")
    return folder


def python(folder: Path, code: str, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *flags, "-c", LOADING + code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_a_segmenter_answers_after_the_hub_has_left_and_as_often_as_it_is_loaded(elsewhere: Path) -> None:
    done = python(elsewhere, """
path = list(sys.path)
first, second = load("segmenter", checkpoint="run.pt"), load("segmenter", checkpoint="run.pt", probabilities=True)
assert sys.path == path
images = torch.load("images.pt")
os.chdir("/")
ids, (again, shares) = first(images), second(images)
assert torch.equal(ids, again) and torch.equal(shares.argmax(1), ids.long()) and not first.training
print(first.class_names[5], first.palette[5], ids.float().mean().item())
""")  # fmt: skip
    expected = Labeller(random_network(tiny_model()), SCENES)(smooth_images(2, 61, 83)).float().mean().item()
    assert (done.returncode, done.stdout) == (0, f"butterfly (244, 140, 202) {expected}\n"), done.stderr


@pytest.mark.parametrize(("module", "place"), [("models", "models/__init__.py"), ("configs", "configs.py")])
def test_a_package_of_another_program_under_a_name_of_ours_is_named(elsewhere: Path, module: str, place: str) -> None:
    done = python(elsewhere, f"""
import {module}
for entry, settings in (("segmenter", {{"checkpoint": "run.pt"}}), ("context_module", {{"num_classes": 3}}),
                        ("dilated_vgg16", {{"num_classes": 3}})):
    try:
        load(entry, **settings)
    except ImportError as error:
        print(error)
""")  # fmt: skip
    lines = done.stdout.splitlines()
    assert len(lines) == 3 and done.returncode == 0, done.stderr
    for line in lines:
        assert f"a package called {module} is already imported in this process, from {elsewhere / place}" in line
        assert "a process of its own" in line and "model.pt2" in line


def test_a_fresh_context_module_hands_on_what_is_positive_behind_any_network() -> None:
    maps = torch.randn(2, 5, 9, 7)
    for settings in ({}, {"dilations": (1, 2), "padding": "once"}, {"dilations": [3, 1], "widths": [2, 4]}):
        context = torch.hub.load(str(ROOT), "context_module", num_classes=5, source="local", **settings)
        assert torch.equal(context(maps), maps.relu()), settings
        assert all(parameter.requires_grad for parameter in context.parameters())
    noisy = [
        torch.hub.load(str(ROOT), "context_module", num_classes=5, noise_std=0.1, seed=seed, source="local")(maps)
        for seed in (0, 0, 1)
    ]
    assert torch.equal(noisy[0], noisy[1]) and not torch.equal(noisy[0], noisy[2])


@pytest.mark.parametrize("size", [(64, 96), (61, 83), (1, 1)])
def test_the_front_end_maps_images_of_any_size_to_cells(size: tuple[int, int]) -> None:
    height, width = size
    cells = (1, 4, -(-height // 8), -(-width // 8))
    zero = torch.hub.load(str(ROOT), "dilated_vgg16", num_classes=4, width=1 / 64, source="local")
    assert (zero.stride, zero.margin_px) == (8, 0)
    assert zero(smooth_images(1, height, width)).shape == cells
    reflect = torch.hub.load(str(ROOT), "dilated_vgg16", num_classes=4, width=1 / 64, padding="reflect", source="local")
    assert reflect.margin_px == 186
    assert reflect(smooth_images(1, height + 372, width + 372)).shape == cells


def test_the_front_end_starts_from_a_file_of_weights(tmp_path: Path) -> None:
    settings = {"num_classes": 4, "width": 1 / 64, "source": "local"}
    first = torch.hub.load(str(ROOT), "dilated_vgg16", seed=1, **settings)
    path = tmp_path / "weights.pth"
    torch.save(dict(first.frontend.state_dict()), path)
    second = torch.hub.load(str(ROOT), "dilated_vgg16", seed=2, pretrained=str(path), **settings)
    assert torch.equal(first.frontend.conv5_3.weight, second.frontend.conv5_3.weight)
    assert second.mean_rgb.flatten().tolist() == pytest.approx([122.679, 116.669, 104.007])


@pytest.mark.parametrize(
    ("entry", "settings", "message"),
    [
        ("context_module", {"dilations": [1, -2]}, "dilations are positive integers; got -2 at position 1"),
        ("context_module", {"widths": [1, 2]}, "one for each of the 7 dilations"),
        ("context_module", {"padding": "eech"}, "did you mean each"),
        ("context_module", {"num_classes": 0}, "num_classes=0"),
        ("dilated_vgg16", {"pretrained": "nowhere.pth"}, "there is no such file"),
        ("dilated_vgg16", {"width": 0}, "model.frontend.width=0: it must be greater than 0"),
        ("segmenter", {"checkpoint": "nowhere.pt"}, "checkpoint=nowhere.pt: no such file"),
        ("segmenter", {"checkpoint": "voc.caffemodel"}, "give the model.safetensors that python export.py"),
    ],
)
def test_what_does_not_fit_is_a_value_error_in_our_words(entry: str, settings: dict[str, object], message: str) -> None:
    needed = {} if entry == "segmenter" else {"num_classes": 4}
    with pytest.raises(ValueError) as refusal:
        torch.hub.load(str(ROOT), entry, source="local", **{**needed, **settings})
    assert message in str(refusal.value)


def test_the_hub_lists_three_networks_and_names_every_package_that_our_files_import(elsewhere: Path) -> None:
    done = python(elsewhere, f"""
load("segmenter", checkpoint="run.pt")
load("dilated_vgg16", num_classes=3, width=0.02)
files = {{getattr(module, "__file__", None) or "" for module in sys.modules.values()}}
print([file for file in files if file.startswith({str(ROOT)!r}) and "site-packages" not in file])
""")  # fmt: skip
    assert done.returncode == 0, done.stderr
    hub = torch.hub._import_module("hubconf", ROOT / "hubconf.py")  # type: ignore[attr-defined]  # as hub.list does
    public = [name for name in dir(hub) if callable(getattr(hub, name)) and not name.startswith("_")]
    assert public == ["context_module", "dilated_vgg16", "segmenter"]
    files = ast.literal_eval(done.stdout)
    roots = {name.partition(".")[0] for file in files for name in imported_at_once(Path(file))}
    ours = {"assembly", "configs", "data", "engine", "models"}
    assert {str(ROOT / "assembly" / "labeller.py"), str(ROOT / "models" / "build.py")} <= set(files)
    assert roots - ours - sys.stdlib_module_names == {name.partition(".")[0] for name in hub.dependencies}


def imported_at_once(path: Path) -> set[str]:
    """The modules that a file imports when it is imported itself."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names
