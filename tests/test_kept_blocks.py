"""Training on kept maps of frozen blocks is training through them, with no block computed twice."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from assembly.feed import Feed
from assembly.kept_maps import kept_feed
from configs.compose import compose
from configs.schema import VOID
from data.build import open_images
from data.loaders import validation_batches
from data.transforms import TrainTransform
from engine.evaluation.evaluate import evaluate
from engine.runs import checkpoint
from engine.runtime import choose_runtime
from models.build import build_context, build_initial
from tests.helpers.pictures import noise, write_pixels
from tests.helpers.small_runs import small_run
from train import train

pytestmark = pytest.mark.precision

WHOLE = "[192,192]"  # px; every scene is as large


def words(stages: list[str], **settings: object) -> list[str]:
    given = {"crop_px": WHOLE, "steps": 6, "validate_steps": 6, "frozen_blocks": 4, **settings}
    augment = [
        "data.augment.color=0",
        "data.augment.mirror=false",
        "data.augment.scale_min=1",
        "data.augment.scale_max=1",
    ]
    return [*small_run(stages, limit=5, **given), *augment, "model.frontend.dropout=0"]


def run(folder: Path, name: str, given: list[str], file: str = "last.pt") -> dict[str, torch.Tensor]:
    assert train(compose([*given, f"run.dir={folder / name}", f"cache.root={folder / 'cache'}"])) == 0
    weights: dict[str, torch.Tensor] = checkpoint.load(folder / name / file)["model"]
    return weights


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("padding", ["zero", "reflect"])
@pytest.mark.parametrize("stage", ["frontend", "warmup"])
def test_kept_and_computed_blocks_train_the_same_network(
    tmp_path: Path, stage: str, padding: str, precision: str
) -> None:
    """Up to the rounding of blocks that were asked for one image and not for two."""
    given = [*words([stage]), f"model.padding={padding}", f"runtime.precision={precision}"]
    computed = run(tmp_path, "computed", given)
    kept = run(tmp_path, "kept", [*given, f"stage.{stage}.maps=cached"])
    other = run(tmp_path, "other", [*given, f"stage.{stage}.lr=4e-3"])
    tolerance = 2e-2 if precision == "bfloat16" else 1e-3
    for name, weight in computed.items():
        moved = float((other[name] - weight).norm())
        assert float((kept[name] - weight).norm()) <= tolerance * moved, name
    assert any(not torch.equal(kept[name], other[name]) for name in kept)


def feed(folder: Path, given: list[str], said: list[str]) -> Feed:
    config = compose([*given, f"cache.root={folder / 'cache'}"])
    images, runtime = open_images(config.data, "train"), choose_runtime(config.runtime)
    scored = open_images(config.data, "val")
    model, _ = build_initial(config.model, images.classes.num_classes, config.data.mean_rgb, 0, None)
    return Feed(config, images, scored, model, runtime, said.append, lambda: None)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("padding", ["zero", "reflect"])
def test_a_crop_of_kept_maps_answers_as_the_crop_of_the_image(tmp_path: Path, padding: str, mirror: bool) -> None:
    """Exactly where nothing pads; where every layer does, a crop sees its neighbours here, and its labels are right.

    Images of three sizes, none a whole number of cells. Labels are drawn so that each tells its place.
    """
    sizes = [(150, 201), (130, 97), (90, 155)]
    for split in ("train", "val"):
        for number, (height, width) in enumerate(sizes):
            write_pixels(tmp_path / split / "images" / f"{number}.png", noise(height, width, seed=number))
            ids = np.random.default_rng(number).integers(0, 3, (height, width), np.uint8)
            write_pixels(tmp_path / split / "labels" / f"{number}.png", ids)
    given = [
        *words(["warmup"], crop_px="[64,88]", maps="cached", batch=1),
        *("data=folder", f"data.root={tmp_path}", "data.folder.class_names=[a,b,c]", f"data.augment.mirror={mirror}"),
        *(f"model.padding={padding}", "runtime.precision=float32", "model.frontend.width=0.125", "data.limit=null"),
    ]
    feeding = feed(tmp_path, given, [])
    model, margin = feeding.model.eval(), feeding.model.margin_px
    stage = feeding.config.stage.warmup
    seen = 0
    with torch.inference_mode():
        for batch in feeding.batches("warmup", stage, 0)(0, 12):
            maps = batch.frontend_maps(model.frontend_maps, torch.device("cpu"))
            label_HW = batch.targets(lambda labels: labels, torch.device("cpu"))[0]
            image, label = feeding.train_set.read(int(batch.names[0]))  # type: ignore[attr-defined]
            (top, left), is_mirrored = place_of(label_HW.numpy(), label)
            if is_mirrored:  # what completes the last cells stands on the left then
                image, left = image[:, ::-1], left - -image.shape[1] % 8
            if padding == "zero" or left < 0 or top + 64 > image.shape[0] or left + 88 > image.shape[1]:
                continue
            padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
            crop = padded[top : top + 64 + 2 * margin, left : left + 88 + 2 * margin].transpose(2, 0, 1)
            expected = model.frontend_maps(torch.from_numpy(np.ascontiguousarray(crop))[None])
            torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-5)
            seen += 1
    assert seen >= 4 or padding == "zero"


def place_of(crop_HW: Any, label_HW: Any) -> tuple[tuple[int, int], bool]:
    """Where the crop lies in the label that is completed to whole cells, or in its mirror image."""
    rows, columns = (-side % 8 for side in label_HW.shape)
    completed = np.pad(label_HW, ((0, rows), (0, columns)), constant_values=VOID)
    for whole, is_mirrored in ((completed, False), (completed[:, ::-1], True)):
        if place := found(crop_HW, whole):
            return place, is_mirrored
    raise AssertionError("the label is no part of its image's")


def found(crop_HW: np.ndarray[Any, Any], whole_HW: np.ndarray[Any, Any]) -> tuple[int, int] | None:
    """Where the crop, completed by void, lies in the whole, at a multiple of 8 px."""
    rows, columns = crop_HW.shape
    padded = np.pad(whole_HW, ((0, rows), (0, columns)), constant_values=VOID)
    for top in range(0, whole_HW.shape[0], 8):
        for left in range(0, whole_HW.shape[1], 8):
            if np.array_equal(padded[top : top + rows, left : left + columns], crop_HW):
                return top, left
    return None


@pytest.mark.parametrize("padding", ["zero", "reflect"])
def test_blocks_are_computed_once_for_all_that_is_trained_on_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], padding: str
) -> None:
    """Other heads share them where every layer pads; else they see images with another margin."""
    given = [*words(["warmup"], maps="cached", steps=1, validate_steps=1), f"model.padding={padding}"]
    run(tmp_path, "first", given)
    assert capsys.readouterr().out.count("computed, ") == 2  # to learn from, and to score
    run(tmp_path, "again", [*given, "model.context.dilations=[1]", "stage.warmup.lr=0.1"])
    printed = capsys.readouterr().out
    assert "maps of the first 4 blocks: read from" in printed and "computed, " not in printed
    run(tmp_path, "head", [*given, "model.frontend.fc6_dilation=2", "model.frontend.fc6_kernel=3"])
    assert capsys.readouterr().out.count("computed, ") == (0 if padding == "zero" else 2)
    run(tmp_path, "seeded", [*given, "seed=1"])  # other weights of the blocks, which nothing has trained
    assert capsys.readouterr().out.count("computed, ") == 2


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "overrides",
    [
        ["validation.batch=2", "validation.flip=true"],
        ["validation.protocol=tiles", "validation.tile_px=[96,128]", "validation.scales=[0.5,1.25]"],
        ["validation.protocol=authors", "validation.tile_px=[128,128]"],
    ],
    ids=["whole", "tiles", "authors"],
)
def test_scoring_on_kept_blocks_is_scoring_the_network(tmp_path: Path, overrides: list[str], precision: str) -> None:
    said: list[str] = []
    given = [*words(["warmup"], maps="cached"), *overrides, f"runtime.precision={precision}"]
    feeding = feed(tmp_path, given, said)
    kept = feeding.kept_maps("warmup", feeding.config.stage.warmup)
    assert kept is not None and kept.after_blocks == 4
    model, num_classes = feeding.model, feeding.val_set.classes.num_classes
    model.insert_context(build_context(feeding.config.model, num_classes, 0))
    for parameter in (*model.context.parameters(), *model.frontend.final.parameters()):  # type: ignore[union-attr]
        torch.nn.init.normal_(parameter, std=0.2)

    def batches() -> Any:
        return validation_batches(feeding.val_set, batch=feeding.config.validation.batch, workers=0)

    asked_of = (model, batches, feeding.config.validation, feeding.runtime)
    assert torch.equal(evaluate(*asked_of, kept=kept).confusions_NKK, evaluate(*asked_of).confusions_NKK)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("padding", ["zero", "reflect"])
@pytest.mark.parametrize("versions", [0, 2])
def test_a_context_stage_computes_its_maps_from_kept_blocks_where_there_are_any(
    tmp_path: Path, padding: str, precision: str, versions: int
) -> None:
    """Up to the rounding of blocks that were asked for one image and not for two; and only then."""
    given = [f"model.padding={padding}", f"runtime.precision={precision}", "data.augment.mirror=true"]
    given = words(["frontend", "context"], maps="cached", kept_versions=versions) + given
    taken: dict[str, Any] = {}
    for name in ("from blocks", "from images"):
        given += ["stage.frontend.maps=computed"] * (name == "from images")
        said: list[str] = []
        feeding = feed(tmp_path / name, given, said)
        settings = feeding.config.stage.context
        kept = feeding.kept_maps("context", settings)
        taken[name] = list(feeding.batches("context", settings, 0)(0, 5))
        assert kept is not None and kept.after_blocks == (4 if name == "from blocks" else None)
        assert sum("first 4 blocks" in line for line in said) == (2 if name == "from blocks" else 0)
    tolerance = {"rtol": 1e-4, "atol": 1e-6} if precision == "float32" else {"rtol": 2e-2, "atol": 1e-4}
    for ours, theirs in zip(taken["from blocks"], taken["from images"], strict=True):
        torch.testing.assert_close(ours.maps_BKhw, theirs.maps_BKhw, **tolerance)
        assert torch.equal(ours.targets_BHW, theirs.targets_BHW)


def test_versions_are_kept_as_augmentation_draws_whole_images(tmp_path: Path) -> None:
    given = [*words(["warmup"], maps="cached", kept_versions=3), "model.padding=zero", "runtime.precision=float32"]
    given += [
        f"data.augment.{key}" for key in ("mirror=true", "scale_min=0.7", "scale_max=1.6", "gamma=1", "color=0.3")
    ]
    feeding, stage, cpu = feed(tmp_path, given, []), "warmup", torch.device("cpu")
    transform, seen = TrainTransform(feeding.config.data.augment, (192, 192), 0), set[tuple[str, int]]()
    with torch.inference_mode():
        for batch in feeding.batches(stage, feeding.config.stage.warmup, 5)(0, 20):
            for place, name in enumerate(batch.names):
                maps = batch.frontend_maps(lambda maps, after_blocks: maps, cpu)[place]
                label = batch.targets(lambda labels: labels, cpu)[place]
                index = [feeding.train_set.name(number) for number in range(5)].index(name)
                for version in range(3):
                    image_HW3, label_HW = transform(*feeding.train_set.read(index), (0, version, index))
                    if np.array_equal(label_HW, label):
                        image = torch.from_numpy(image_HW3.transpose(2, 0, 1).copy())[None]
                        expected = feeding.model.eval().first_blocks(4).frontend_maps(image)[0]
                        torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-5)
                        seen.add((name, version))
                        break
                else:
                    raise AssertionError("the label is of no version")
    assert len(seen) >= 13  # of 15; 40 samples were drawn


def test_the_bytes_that_are_announced_are_those_that_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [
        *words(["warmup"], maps="cached"),
        "data.augment.mirror=true",
        "validation.scales=[0.5,1]",
        "validation.batch=1",
    ]
    feeding, claimed = feed(tmp_path, given, []), list[int]()
    monkeypatch.setattr("assembly.feed.refuse_too_many", lambda _, needed: claimed.append(sum(needed.values())))
    settings = feeding.config.stage.warmup
    feeding.check_cache()
    feeding.kept_maps("warmup", settings)
    feeding.batches("warmup", settings, 0)
    written = sum(
        path.stat().st_size for pattern in ("*.bin", "*.npy") for path in tmp_path.glob(f"cache/maps-*/{pattern}")
    )
    assert written == claimed[0] + 128 * 2 * 5  # headers of .npy: two windows of five images
    feeding.check_cache()
    assert claimed[1] == 0  # they are there


def test_a_warm_up_trains_head_and_context_and_joint_the_whole_network_from_there(tmp_path: Path) -> None:
    given = words(["warmup", "joint"], steps=2, validate_steps=2)
    weights = run(tmp_path, "run", [*given, "stage.warmup.maps=cached", "stage.joint.frozen_blocks=0"])
    start = run(
        tmp_path, "run", [*given, "stage.warmup.maps=cached", "stage.joint.frozen_blocks=0", "resume=auto"], "warmup.pt"
    )
    assert any(name.startswith("context.") for name in start)
    assert not torch.equal(weights["frontend.conv1_1.weight"], start["frontend.conv1_1.weight"])


@pytest.mark.parametrize(("precision", "change"), [("float16", "0.05%"), ("bfloat16", "0.39%")])
def test_a_loss_of_precision_is_said_and_is_no_larger(tmp_path: Path, precision: str, change: str) -> None:
    maps: dict[str, torch.Tensor] = {}
    for kept in ("auto", precision):
        said: list[str] = []
        given = [*words(["warmup"], maps="cached"), f"cache.precision={kept}", "runtime.precision=float32"]
        feeding = feed(tmp_path, given, said)
        (batch,) = feeding.batches("warmup", feeding.config.stage.warmup, 0)(0, 1)
        maps[kept] = batch.frontend_maps(lambda maps_BChw, after_blocks: maps_BChw, torch.device("cpu"))
        assert any(f"change by up to {change}" in line for line in said) == (kept == precision)
    exact, rounded = maps["auto"], maps[precision]
    assert rounded.dtype == torch.float32 and not torch.equal(exact, rounded)
    torch.testing.assert_close(rounded, exact, rtol=float(change[:-1]) / 100, atol=1e-6)


@pytest.mark.parametrize(
    ("precision", "scored"), [("auto", torch.float32), ("bfloat16", torch.float32), ("float16", torch.float16)]
)
def test_what_the_authors_protocol_scores_is_kept_as_it_is_computed(
    tmp_path: Path, precision: str, scored: torch.dtype
) -> None:
    """In float32, though the run computes in bfloat16; unless another type is asked for, which is said."""
    given = [*words(["warmup"], maps="cached"), f"cache.precision={precision}", "runtime.precision=bfloat16"]
    feeding = feed(tmp_path, [*given, "validation.protocol=authors"], [])
    assert kept_feed(feeding, "warmup", feeding.config.stage.warmup).frozen.window_dtype == scored
