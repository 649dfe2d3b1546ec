"""Training the context module on maps from disk is training it through the frozen front end."""

from pathlib import Path
from typing import Any

import pytest
import torch

from configs.compose import compose
from data.build import open_images
from data.loaders import validation_batches
from engine import checkpoint
from engine.evaluate import certify_identity, evaluate
from engine.runtime import choose_runtime
from feed import Feed
from models.build import build_context, build_initial
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
    assert len(list((tmp_path / "cache").glob("maps-*/index.json"))) == 4  # for learning and for scoring


def test_images_that_the_crop_would_cut_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"image of 192x192 is larger than stage.context.crop_px=\[128, 192\]"):
        run(tmp_path, "cut", "stage.context.maps=cached", "stage.context.crop_px=[128,192]")


def test_only_the_context_stage_keeps_maps() -> None:
    with pytest.raises(ValueError, match=r"stage.frontend.maps=cached: the front end learns"):
        compose(["stage.frontend.maps=cached"])


@pytest.mark.parametrize(
    "asked",
    [
        ["validation.batch=2", "validation.flip=true"],
        ["validation.protocol=tiles", "validation.tile_px=[96,128]", "validation.scales=[0.5,1.25]"],
        ["validation.protocol=authors", "validation.tile_px=[128,128]"],
    ],
    ids=["whole", "tiles", "authors"],
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_scoring_on_kept_maps_is_scoring_the_network(tmp_path: Path, asked: list[str], precision: str) -> None:
    words = [*TINY, *asked, f"runtime.precision={precision}", "stage.context.maps=cached", f"cache.root={tmp_path}"]
    config = compose(words)
    images, runtime = open_images(config.data, "val"), choose_runtime(config.runtime)
    model, _ = build_initial(config.model, images.classes.num_classes, config.data.mean_rgb, 0, None)
    said: list[str] = []
    feed = Feed(config, images, images, model, runtime, said.append, lambda: None)
    kept = feed.kept_maps(config.stage.context)
    assert kept is not None and feed.kept_maps(config.stage.joint) is None
    model.insert_context(build_context(config.model, images.classes.num_classes, 0))
    for parameter in model.context.parameters():  # type: ignore[union-attr]
        torch.nn.init.normal_(parameter, std=0.2)

    def batches() -> Any:
        return validation_batches(images, batch=config.validation.batch, workers=0)

    asked_of = (model, batches, config.validation, runtime)
    assert certify_identity(*asked_of, kept=kept) == certify_identity(*asked_of)
    from_kept, computed = evaluate(*asked_of, kept=kept), evaluate(*asked_of)
    assert torch.equal(from_kept.confusions_NKK, computed.confusions_NKK)
    assert feed.kept_maps(config.stage.context) is not None
    assert "computed" in said[0] and "read from" in said[1]
