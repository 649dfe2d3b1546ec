"""Sizes are judged as the network sees them: after `data.resize`."""

from pathlib import Path

import numpy as np
import pytest

from assembly.audit_sizes import size_findings
from configs.compose import composed
from configs.schema import AuditConfig
from data.audit.findings import Finding
from data.audit.reading import read_all
from data.audit.split import Split
from data.build import open_images
from tests.helpers.pictures import noise, write_pixels

SETTINGS = ["data=folder", "data.folder.class_names=[a,b]", "model.frontend.width=0.25"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two images of 64x96 to train on, one to score."""
    for split, names in {"train": "ab", "val": "c"}.items():
        for seed, name in enumerate(names):
            write_pixels(tmp_path / split / "images" / f"{name}.png", noise(64, 96, seed))
            write_pixels(tmp_path / split / "labels" / f"{name}.png", np.zeros((64, 96), np.uint8))
    return tmp_path


def findings(root: Path, *overrides: str) -> dict[str, Finding]:
    config = composed(AuditConfig, [*SETTINGS, f"data.root={root}", *overrides])
    splits = []
    for name in ("train", "val"):
        images = open_images(config.data, name)
        splits.append(Split(name, images, read_all(images, 1)))
    return {finding.kind: finding for finding in size_findings(config, *splits)}


def crops(height: int, width: int) -> list[str]:
    return [f"stage.{stage}.crop_px=[{height},{width}]" for stage in ("frontend", "context", "joint")]


def test_photographs_of_many_crops_are_pointed_out_and_the_advised_size_suits(root: Path) -> None:
    settings = [*crops(16, 8), "stage.context.maps=computed"]
    (override,) = (found := findings(root, *settings)["large_image_for_crop"]).overrides
    assert override == "data.resize.short_px=32" and found.severity == "note" and len(found.places) == 2
    assert "large_image_for_crop" not in findings(root, *settings, override)
    assert "large_image_for_crop" not in findings(root, *crops(16, 24), "stage.context.maps=computed")


@pytest.mark.parametrize("resize", ["long_px=120", "factor=1.25", "short_px=72"])
def test_the_advised_size_takes_the_place_of_the_one_that_was_set(root: Path, resize: str) -> None:
    """An image has one size, so that two of them are refused."""
    settings = [*crops(16, 8), "stage.context.maps=computed", f"data.resize.{resize}"]
    advised = findings(root, *settings)["large_image_for_crop"].overrides
    assert "large_image_for_crop" not in findings(root, *settings, *advised)


def test_an_image_is_larger_or_smaller_than_a_crop_as_it_is_seen(root: Path) -> None:
    settings = [*crops(32, 48), "stage.context.maps=cached"]
    assert findings(root, *settings).keys() == {"larger_than_crop"}
    assert not findings(root, *settings, "data.resize.long_px=48")
    assert findings(root, *settings, "data.resize.factor=0.25").keys() == {"small_image"}
