"""One size for training, scoring and labelling, and scores at the labels' own size."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import eval as eval_command
import predict
from assembly.header import run_header
from assembly.introduction import introduction
from assembly.protocol import deviations
from assembly.trained import restore
from configs.compose import compose, composed
from configs.errors import ConfigError, UserError
from configs.schema import VOID, EvalConfig, PredictConfig, ResizeConfig, RuntimeConfig, ValidationConfig
from data.build import open_images
from data.loaders import validation_batches
from engine.evaluation.evaluate import evaluate
from engine.runs import checkpoint
from engine.runs.shared_frontend import SharedFrontend
from engine.runtime import choose_runtime
from tests.helpers.data_sets import folder_config
from tests.helpers.pictures import Pixels, write_pixels
from tests.helpers.small_runs import small_run
from train import train

SIZES = {"train": [(96, 128), (128, 96)], "val": [(90, 140), (96, 128), (61, 83), (96, 128)]}  # height, width


class KnowsColors:
    """A network without a mistake: the class of a cell is that of the colour of its pixel, 0 dark and 1 light."""

    stride, margin_px, reach_px, node_offset_px, num_classes, context = 8, 0, 0, 0.0, 2, None
    head = "interpolated"

    def frontend_maps(self, images_B3HW: Tensor) -> Tensor:
        is_light_Bhw = images_B3HW[:, 0, ::8, ::8] > 127
        return 20.0 * torch.stack([~is_light_Bhw, is_light_Bhw], dim=1).float()

    def eval(self) -> None:
        pass


def scene(height: int, width: int, border_px: int, seed: int = 0) -> tuple[Pixels, Pixels]:
    """A light disc on dark ground, or the other way round; labels within `border_px` of its edge are void."""
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(rows - 0.45 * height, columns - 0.55 * width) - 0.3 * min(height, width)
    is_light = (distance < 0) != bool(seed % 2)
    noise = np.random.default_rng(seed).integers(0, 60, (height, width, 3))
    label = np.where(np.abs(distance) < border_px, VOID, is_light).astype(np.uint8)
    return (noise + 180 * is_light[..., None]).astype(np.uint8), label


def write_scenes(root: Path, border_px: int = 0) -> None:
    for split, sizes in SIZES.items():
        for seed, size_px in enumerate(sizes):
            image, label = scene(*size_px, border_px, seed)
            write_pixels(root / split / "images" / f"{seed}.png", image)
            write_pixels(root / split / "labels" / f"{seed}.png", label)


@pytest.mark.parametrize(
    ("resize", "border_px"),
    [
        # A cell is 8 px of the resized image; a disc's edge is told to within one of them.
        (ResizeConfig(), 8),
        (ResizeConfig(factor=3.0), 3),
        (ResizeConfig(long_px=300), 4),
        (ResizeConfig(short_px=100), 8),
        (ResizeConfig(factor=0.5), 16),
    ],
    ids=str,
)
@pytest.mark.parametrize("flip", [False, True])
def test_a_network_without_a_mistake_scores_1_at_the_labels_own_size(
    tmp_path: Path, resize: ResizeConfig, border_px: int, flip: bool
) -> None:
    write_scenes(tmp_path, border_px)
    images = open_images(folder_config(tmp_path), "val")
    evaluation = evaluate(
        KnowsColors(),  # type: ignore[arg-type]
        lambda: validation_batches(images, batch=2, workers=0, resize=resize),
        ValidationConfig(flip=flip, scales=[1.0, 1.25] if flip else [1.0]),
        choose_runtime(RuntimeConfig(device="cpu", precision="float32", threads=1)),
        num_pictures=4,
    )
    assert evaluation.scores.mean_iou == 1
    counted = [int((images.read(index)[1] != VOID).sum()) for index in range(len(images))]
    assert evaluation.confusions_NKK.sum((1, 2)).tolist() == counted
    for picture in evaluation.pictures:  # drawn side by side
        assert picture.image_HW3.shape[:2] == picture.truth_HW.shape == picture.predicted_HW.shape
        assert {0, 1} <= {*np.unique(picture.truth_HW)}


def test_a_score_at_the_labels_own_size_sees_what_the_resized_label_hides(tmp_path: Path) -> None:
    """Stripes of one pixel are one gray at a quarter of the size: half of them must count as wrong."""
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 1
    for kind, pixels in (("images", np.repeat(240 * stripes[..., None], 3, 2)), ("labels", stripes)):
        write_pixels(tmp_path / "val" / kind / "a.png", pixels)
    images = open_images(folder_config(tmp_path), "val")
    evaluation = evaluate(
        KnowsColors(),  # type: ignore[arg-type]
        lambda: validation_batches(images, batch=1, workers=0, resize=ResizeConfig(factor=0.25)),
        ValidationConfig(),
        choose_runtime(RuntimeConfig(device="cpu", precision="float32", threads=1)),
    )
    assert evaluation.scores.pixel_accuracy == 0.5


RUN = [
    "experiment=folder",
    "frontend=small",
    *small_run(["frontend", "context"], limit=4, steps=2, crop_px="[64,64]", validate_steps=2),
    *("model.pretrained=null", "stage.frontend.steps=12", "stage.context.maps=cached", "stage.context.mirror=pixels"),
    *("data.augment.color=0", "validation.batch=2", "runtime.workers=0", "runtime.precision=float32"),
    "data.folder.class_names=[dark,light]",
]
RESIZE = "data.resize.long_px=64"


def words(folder: Path, *more: str) -> list[str]:
    return [*RUN, f"data.root={folder / 'set'}", f"cache.root={folder / 'cache'}", *more]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of images of several sizes, `set`, and a run on them at a long side of 64 px, `run`."""
    folder = tmp_path_factory.mktemp("resized")
    write_scenes(folder / "set")
    assert train(compose(words(folder, RESIZE, f"run.dir={folder / 'run'}"))) == 0
    return folder


def test_eval_gives_the_score_of_the_run_which_was_taken_from_kept_maps(folder: Path) -> None:
    summary = json.loads((folder / "run" / "summary.json").read_text())
    for stage in ("frontend", "context"):
        scores = scores_of(folder, f"checkpoint={folder / 'run' / f'{stage}.pt'}")
        assert scores["mean_iou"] == summary["stages"][stage]["mean_iou"]
        assert np.sum(scores["confusion"]) == sum(height * width for height, width in SIZES["val"])
        assert scores["protocol"]["resize"] == {"long_px": 64, "short_px": None, "factor": None}


def scores_of(folder: Path, *more: str) -> dict[str, object]:
    request = composed(EvalConfig, [*more, "workers=0", "threads=1", f"output={folder / 'scores'}"])
    assert eval_command.score(request) == 0
    scores: dict[str, object] = json.loads((folder / "scores" / "scores.json").read_text())
    return scores


@pytest.mark.parametrize(
    ("of_predict", "of_eval"),
    [
        ([], []),
        (["resize.short_px=48"], ["data.resize.short_px=48"]),
        (["resize.factor=1"], ["data.resize.factor=1.0"]),
        (["flip=true", "scales=[1,1.5]"], ["flip=true", "scales=[1,1.5]"]),
    ],
)
def test_predict_answers_what_eval_scores(folder: Path, of_predict: list[str], of_eval: list[str]) -> None:
    network, output = f"checkpoint={folder / 'run' / 'best.pt'}", folder / "predictions"
    images = f"input={folder / 'set' / 'val' / 'images'}"
    request = composed(PredictConfig, [network, images, f"output={output}", "overwrite=true", "threads=1", *of_predict])
    assert predict.label(request) == 0
    confusion_KK = np.zeros((2, 2), np.int64)
    for seed, size_px in enumerate(SIZES["val"]):
        answered = ids(output / "ids" / f"{seed}.png")
        assert answered.shape == size_px
        np.add.at(confusion_KK, (ids(folder / "set" / "val" / "labels" / f"{seed}.png"), answered), 1)
    assert confusion_KK.tolist() == scores_of(folder, network, *of_eval)["confusion"]
    assert (confusion_KK.sum(axis=0) > 0).all()  # both classes are answered


def ids(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.array(image)


def test_any_key_of_a_request_replaces_the_checkpoints(folder: Path) -> None:
    network = f"checkpoint={folder / 'run' / 'best.pt'}"
    for key, value, expected in (
        ("factor", "1", ResizeConfig(factor=1.0)),
        ("short_px", "48", ResizeConfig(short_px=48)),
        ("long_px", "80", ResizeConfig(long_px=80)),
    ):
        by_predict = composed(PredictConfig, [network, f"input={folder}", f"resize.{key}={value}"])
        by_eval = composed(EvalConfig, [network, f"data.resize.{key}={float(value) if key == 'factor' else value}"])
        assert restore(by_predict).config.data.resize == restore(by_eval).config.data.resize == expected
    unchanged = composed(EvalConfig, [network, f"data.root={folder / 'set'}"])
    assert restore(unchanged).config.data.resize == ResizeConfig(long_px=64)
    assert restore(composed(EvalConfig, [network, "data.resize.long_px=null"])).config.data.resize == ResizeConfig()


@pytest.mark.parametrize("resize", ["data.resize.factor=1.0", "data.resize.short_px=64"])
def test_a_resize_that_changes_no_size_changes_no_bit(tmp_path: Path, resize: str) -> None:
    for split in ("train", "val"):
        for seed in range(2):
            image, label = scene(64, 72, 0, seed)
            write_pixels(tmp_path / "set" / split / "images" / f"{seed}.png", image)
            write_pixels(tmp_path / "set" / split / "labels" / f"{seed}.png", label)
    overrides = words(tmp_path, "stages=[frontend]", "stage.frontend.steps=2")
    for name, more in (("plain", []), ("resized", [resize])):
        assert train(compose([*overrides, *more, f"run.dir={tmp_path / name}"])) == 0
    plain, resized = (checkpoint.load(tmp_path / name / "frontend.pt")["model"] for name in ("plain", "resized"))
    assert plain.keys() == resized.keys() and all(torch.equal(plain[name], resized[name]) for name in plain)
    scores = [json.loads((tmp_path / name / "summary.json").read_text())["stages"] for name in ("plain", "resized")]
    assert scores[0]["frontend"]["class_iou"] == scores[1]["frontend"]["class_iou"]


def test_maps_of_one_size_are_not_taken_for_those_of_another(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = ["stages=[context]", f"init.checkpoint={folder / 'run' / 'frontend.pt'}"]
    printed = {}
    for name, resize in (("same", RESIZE), ("other", "data.resize.long_px=48")):
        assert train(compose(words(folder, *taken, resize, f"run.dir={tmp_path / name}"))) == 0
        printed[name] = capsys.readouterr().out
    for line in ("front-end maps: ", "front-end maps for scoring: "):
        assert f"{line}read from" in printed["same"] and f"{line}computed" in printed["other"]


def test_images_that_the_crop_would_cut_are_measured_at_the_size_that_is_seen(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"image of 60x80 is larger than stage.context.crop_px=\[64, 64\]"):
        train(compose(words(folder, "data.limit=1", "data.resize.long_px=80", f"run.dir={tmp_path / 'cut'}")))


def test_a_run_goes_on_at_the_size_that_it_began_with(folder: Path) -> None:
    for resize, then_now in (
        ("data.resize.long_px=48", "data.resize.long_px: 64 then, 48 now"),
        ("data.resize.long_px=null", "data.resize.long_px: 64 then, None now"),
    ):
        with pytest.raises(UserError, match=then_now):
            train(compose(words(folder, resize, f"run.dir={folder / 'run'}", "resume=auto")))


def test_a_run_says_the_size_and_shares_no_front_end_of_another(folder: Path) -> None:
    keys = set()
    for long_px in (64, 48):
        config = compose(words(folder, f"data.resize.long_px={long_px}"))
        sets = [open_images(config.data, split) for split in ("train", "val")]
        assert f"images are resized to a long side of {long_px} px" in list(introduction(config, *sets))
        header = run_header(config, *sets, choose_runtime(config.runtime))
        keys.add(SharedFrontend.of(folder, header, [], {}, print, lambda: None).key)
    assert len(keys) == 2


def test_a_paper_recipe_at_another_size_says_that_it_deviates(tmp_path: Path) -> None:
    recipe = ["experiment=camvid", f"data.root={tmp_path}"]
    resized = deviations(compose([*recipe, "data.resize.long_px=480"]))
    assert any("camvid, resize.long_px 480" in line for line in resized)
    assert not any("resize" in line for line in deviations(compose(recipe)))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.resize.long_px=512", "data.resize.factor=0.5"],
         "data.resize.long_px=512 and data.resize.factor=0.5: an image has one size"),
        (["data.resize.long_px=4"], "data.resize.long_px=4: it must be at least 8"),
        (["data.resize.factor=5.0"], "data.resize.factor=5.0: it must be at most 4"),
        (["data.resize.long=512"], "did you mean data.resize.long_px"),
        (["data.resize=512"], "data.resize is a section with keys of its own"),
        (["data.resize.long_px=512", "validation.protocol=authors", "model.padding=reflect"],
         "protocol=authors: the image at its own size, not data.resize={long_px:512}"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        compose(overrides)
    assert message in str(refusal.value)
