"""Training the context module on maps from disk is training it through the frozen front end."""

from pathlib import Path

import pytest
import torch

from configs.compose import compose
from engine import checkpoint
from tests.small_runs import small_run
from train import train

TINY = [
    *small_run(["frontend", "context"], limit=5, steps=7, crop_px="[192,192]", validate_steps=7),
    "data.augment.color=0",
    "stage.frontend.steps=40",  # enough for maps that differ from place to place
    "stage.context.mirror=cells",
]


def run(folder: Path, name: str, *words: str) -> dict[str, torch.Tensor]:
    """The whole network after the context stage."""
    assert train(compose([*TINY, f"run.dir={folder / name}", f"cache.root={folder / 'cache'}", *words])) == 0
    weights: dict[str, torch.Tensor] = checkpoint.load(folder / name / "context.pt")["model"]
    return weights


@pytest.mark.parametrize("padding", ["zero", "reflect"])
def test_cached_and_computed_maps_train_the_same_context_module(tmp_path: Path, padding: str) -> None:
    words = [f"model.padding={padding}"]
    computed = run(tmp_path, "computed", *words)
    cached = run(tmp_path, "cached", *words, "stage.context.maps=cached")
    assert computed.keys() == cached.keys()
    for name, weight in computed.items():
        torch.testing.assert_close(cached[name], weight, rtol=1e-4, atol=1e-6)
    unmirrored = run(tmp_path, "unmirrored", *words, "stage.context.mirror=pixels", "data.augment.mirror=false")
    assert max((unmirrored[name] - weight).abs().max() for name, weight in computed.items()) > 1e-3


def test_a_second_run_reads_what_the_first_computed_and_gives_its_bits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run(tmp_path, "first", "stage.context.maps=cached")
    assert "front-end maps: computed" in capsys.readouterr().out
    again = run(tmp_path, "again", "stage.context.maps=cached")
    assert "front-end maps: read from" in capsys.readouterr().out
    assert all(torch.equal(again[name], first[name]) for name in first)
    run(tmp_path, "seeded", "stage.context.maps=cached", "seed=1")
    assert "front-end maps: computed" in capsys.readouterr().out
    assert len(list((tmp_path / "cache").glob("maps-*/index.json"))) == 2


def test_images_that_the_crop_would_cut_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"image of 192x192 is larger than stage.context.crop_px=\[128, 192\]"):
        run(tmp_path, "cut", "stage.context.maps=cached", "stage.context.crop_px=[128,192]")


def test_only_the_context_stage_keeps_maps() -> None:
    with pytest.raises(ValueError, match=r"stage.frontend.maps=cached: the front end learns"):
        compose(["stage.frontend.maps=cached"])
