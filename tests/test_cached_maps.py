"""Training the context module on maps from disk is training it through the frozen front end."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from assembly import code_identity, kept_maps
from assembly.feed import Feed
from configs.compose import compose
from configs.schema import Config
from data.build import open_images
from data.loaders import validation_batches
from engine.evaluation.evaluate import certify_identity, evaluate
from engine.runs import checkpoint
from engine.runtime import choose_runtime
from models.build import build_context, build_initial
from tests.helpers.pictures import write_pixels
from tests.helpers.small_runs import small_run
from train import train

pytestmark = pytest.mark.precision

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


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("padding", ["zero", "reflect"])
def test_cached_and_computed_maps_train_the_same_context_module(tmp_path: Path, padding: str, precision: str) -> None:
    """To the last bit in bfloat16; in float32, where the layouts of the maps differ, up to rounding."""
    tolerance = {"rtol": 1e-4, "atol": 1e-6} if precision == "float32" else {"rtol": 0, "atol": 0}
    words = [f"model.padding={padding}", f"runtime.precision={precision}"]
    computed = run(tmp_path, "computed", *words)
    cached = run(tmp_path, "cached", *words, "stage.context.maps=cached")
    assert computed.keys() == cached.keys()
    for name, weight in computed.items():
        torch.testing.assert_close(cached[name], weight, **tolerance)
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


@pytest.fixture
def own_images(tmp_path: Path) -> list[str]:
    """The words of a data set of two images, its ids 0, 1, 2 given in full, and a front end that has seen them."""
    generator = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind, high, shape in (("images", 256, (64, 64, 3)), ("labels", 3, (64, 64))):
            for name in "ab":
                write_pixels(tmp_path / split / kind / f"{name}.png", generator.integers(0, high, shape, np.uint8))
    words = [*TINY, "experiment=folder", "model.pretrained=null", f"data.root={tmp_path}", "stage.frontend.steps=1"]
    words += ["data.folder.class_names=[a,b,c]", "stage.context.crop_px=[64,64]", "stage.context.maps=cached"]
    words += ["stage.frontend.loss.grid=cells", "stage.context.loss.grid=cells"]
    run(tmp_path, "first", *words, "frontend=small", "data.folder.label_ids=[0,1,2]")
    return [*words, "frontend=small", "stages=[context]", f"init.checkpoint={tmp_path / 'first' / 'frontend.pt'}"]


def test_labels_that_come_to_mean_something_else_are_decoded_anew(
    tmp_path: Path, own_images: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "same", *own_images, "data.folder.label_ids=[0,1,2]")
    same = capsys.readouterr().out
    run(tmp_path, "corrected", *own_images, "data.folder.label_ids=[2,1,0]")
    corrected = capsys.readouterr().out
    for line in ("front-end maps: ", "front-end maps for scoring: "):
        assert f"{line}read from" in same and f"{line}computed" in corrected
    stores = [np.load(path) for path in (tmp_path / "cache").glob("maps-*/targets.npy")]
    assert len(stores) == 2 and np.array_equal(stores[0], 2 - stores[1])


def test_what_is_kept_is_known_by_code_and_libraries_but_not_by_comments(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "code.py").write_text("def f(x):\n    return x + 1\n")
    monkeypatch.setattr(code_identity, "FOLDER", tmp_path / "configs")
    made_by = code_identity.made_by.__wrapped__  # a process asks once
    first = made_by(("code.py",))
    (tmp_path / "code.py").write_text("def f(x):  # one more\n\n    return x + 1\n")
    assert made_by(("code.py",)) == first
    (tmp_path / "code.py").write_text("def f(x):\n    return x + 2\n")
    assert made_by(("code.py",)) != first
    assert {"torch", "pillow", "opencv-python-headless"} < first.keys()


def test_the_bytes_that_are_announced_are_those_that_are_written(tmp_path: Path) -> None:
    """Whole images and tiles, two scales, mirrored maps beside the others."""
    words = ["stage.context.maps=cached", "stage.context.mirror=pixels", "data.augment.mirror=true"]
    words += [
        "validation.protocol=tiles",
        "validation.tile_px=[96,128]",
        "validation.scales=[0.5,1]",
        "validation.batch=1",
    ]
    config = compose([*TINY, *words, f"cache.root={tmp_path}"])
    feeding, claimed = feed(config), list[int]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("assembly.feed.refuse_too_many", lambda _, needed: claimed.append(sum(needed.values())))
        feeding.check_cache()
    feeding.kept_maps("context", config.stage.context)
    next(feeding.batches("context", config.stage.context, 0)(0, 1))
    written = [path for path in tmp_path.glob("maps-*/*.npy")]
    headers = 128 * (2 + 5 * (1 + 4))  # of .npy: two stores; one tile at half, four at full size, of five images
    assert sum(path.stat().st_size for path in written) == claimed[0] + headers


@pytest.mark.parametrize("blocks", [0, 2, 6])
def test_maps_are_kept_of_frozen_blocks_from_the_last_pooling_on(blocks: int) -> None:
    words = ["stage.frontend.maps=cached", f"stage.frontend.frozen_blocks={blocks}"]
    with pytest.raises(
        ValueError, match=rf"frozen_blocks={blocks}; set it to 3 \.\.\. 4, or stage\.frontend\.maps=comp"
    ):
        compose(words)
    compose(["stage.frontend.maps=cached", "stage.frontend.frozen_blocks=4"])


@pytest.mark.parametrize(
    "overrides",
    [
        ["validation.batch=2", "validation.flip=true"],
        ["validation.protocol=tiles", "validation.tile_px=[96,128]", "validation.scales=[0.5,1.25]"],
        ["validation.protocol=authors", "validation.tile_px=[128,128]"],
    ],
    ids=["whole", "tiles", "authors"],
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_scoring_on_kept_maps_is_scoring_the_network(tmp_path: Path, overrides: list[str], precision: str) -> None:
    words = [*TINY, *overrides, f"runtime.precision={precision}", "stage.context.maps=cached", f"cache.root={tmp_path}"]
    config = compose(words)
    images, runtime = open_images(config.data, "val"), choose_runtime(config.runtime)
    model, _ = build_initial(config.model, images.classes.num_classes, config.data.mean_rgb, 0, None)
    said: list[str] = []
    feeding = Feed(config, images, images, model, runtime, said.append, lambda: None)
    kept = feeding.kept_maps("context", config.stage.context)
    assert kept is not None and feeding.kept_maps("joint", config.stage.joint) is None
    model.insert_context(build_context(config.model, images.classes.num_classes, 0))
    for parameter in model.context.parameters():  # type: ignore[union-attr]
        torch.nn.init.normal_(parameter, std=0.2)

    def batches() -> Any:
        return validation_batches(images, batch=config.validation.batch, workers=0)

    asked_of = (model, batches, config.validation, runtime)
    assert certify_identity(*asked_of, kept=kept) == certify_identity(*asked_of)
    from_kept, computed = evaluate(*asked_of, kept=kept), evaluate(*asked_of)
    assert torch.equal(from_kept.confusions_NKK, computed.confusions_NKK)
    assert feeding.kept_maps("context", config.stage.context) is not None
    assert "computed" in said[0] and "read from" in said[1]


def test_a_complete_stage_computes_no_maps_when_the_run_goes_on_with_the_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["stage.frontend.steps=1", "stage.context.maps=cached"]
    before = run(tmp_path, "run", *words)
    shutil.rmtree(tmp_path / "cache")
    capsys.readouterr()
    joint = small_run(["joint"], limit=5, steps=1, crop_px="[192,192]", validate_steps=1)[:-1]
    after = run(tmp_path, "run", *words, *joint, "stages=[frontend,context,joint]", "resume=auto")
    printed = capsys.readouterr().out
    assert "== joint" in printed and "front-end maps" not in printed and not (tmp_path / "cache").exists()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_all_that_a_run_will_keep_is_counted_together_and_once(tmp_path: Path) -> None:
    """Before it trains: the second stage's maps may be what is too much, and the third reads those of the first."""
    three = ["stages=[frontend,context,warmup]", "validation.scales=[0.5]", f"cache.root={tmp_path}"]
    blocks = [f"stage.{stage}.{key}" for stage in ("frontend", "warmup") for key in ("maps=cached", "frozen_blocks=4")]
    words = [*TINY, *three, *blocks, "stage.context.maps=cached"]
    needed = dict[str, int]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("assembly.feed.refuse_too_many", lambda _, of_run: needed.update(of_run))
        feed(compose(words)).check_cache()
    assert len(needed) == 4 and needed["maps-of-context-to-score"] == 0  # it scores on blocks
    largest, total_gb = max(needed.values()), sum(needed.values()) / 1e9
    assert largest / 1e9 < 0.99 * total_gb
    feed(compose([*words, f"cache.max_gb={total_gb}"])).check_cache()
    with pytest.raises(ValueError, match=r"the maps need .* set cache\.max_gb=\S+, remove folders there, or set maps"):
        feed(compose([*words, f"cache.max_gb={0.99 * total_gb}"])).check_cache()


def test_maps_of_a_context_stage_that_comes_first_are_looked_for(tmp_path: Path) -> None:
    """And need no room once they are there."""
    words = [*TINY, "stage.context.maps=cached", f"cache.root={tmp_path}"]
    first = feed(context_alone(*words))
    first.check_cache()
    first.kept_maps("context", first.config.stage.context)
    next(first.batches("context", first.config.stage.context, 0)(0, 1))
    full = feed(context_alone(*words, "cache.max_gb=1e-6"))
    full.check_cache()
    assert full.scored_after("context", full.config.stage.context) is None


def test_maps_of_whole_images_are_computed_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of a batch decides last bits, and is no part of their identity."""
    batches, whole = list[int](), kept_maps.frontend_maps_in_blocks

    def watching(mapper: Any, window_B3HW: torch.Tensor) -> torch.Tensor:
        batches.append(len(window_B3HW))
        return whole(mapper, window_B3HW)

    monkeypatch.setattr(kept_maps, "frontend_maps_in_blocks", watching)
    feeding = feed(context_alone(*TINY, "validation.batch=3", f"cache.root={tmp_path}"))
    settings = feeding.config.stage.context.model_copy(update={"maps": "cached"})
    next(feeding.batches("context", settings, 0)(0, 1))
    assert set(batches) == {1}


def context_alone(*words: str) -> Config:
    """As if trained weights had been given."""
    return compose(words).model_copy(update={"stages": ["context"]})


def feed(config: Config) -> Feed:
    images, runtime = open_images(config.data, "val"), choose_runtime(config.runtime)
    model, _ = build_initial(config.model, images.classes.num_classes, config.data.mean_rgb, 0, None)
    return Feed(config, images, images, model, runtime, print, lambda: None)
