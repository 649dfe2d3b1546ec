"""Label maps and scores from a trained network's file, Caffe's or ours, as people request them."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.ImageOps import exif_transpose

import eval as eval_command
import predict
from assembly.trained import restore
from configs.compose import composed
from configs.schema import PredictConfig
from data.dataset import read_image
from engine.evaluation.answers import probabilities
from tests.helpers.caffe_files import write_caffemodel
from tests.helpers.released_networks import RELEASED, random_blobs

pytestmark = pytest.mark.precision

WIDTH = 1 / 32
NARROW = f"model.frontend.width={WIDTH}"
TILE = "tile_px=[64,48]"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a narrow network of each kind, and pictures: two in folders, one of them no multiple of 8."""
    folder = tmp_path_factory.mktemp("work")
    for name, network in RELEASED.items():
        write_caffemodel(
            folder / f"{name}.caffemodel", random_blobs(network.rows(WIDTH), seed=0), "layers", legacy=True
        )
    generator = np.random.default_rng(0)
    for place, size in (("pictures/a.png", (61, 83)), ("pictures/deep/b.jpg", (24, 40))):
        path = folder / place
        path.parent.mkdir(exist_ok=True)
        pixels = generator.integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BICUBIC).save(path)
    return folder


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> int:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["predict.py", *words])
    return predict.COMMAND.start(predict.main)


@pytest.mark.parametrize("name", RELEASED)
def test_the_answer_is_a_palette_png_of_ids_in_the_images_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], work: Path, name: str
) -> None:
    words = [f"checkpoint={name}.caffemodel", f"model={RELEASED[name].model}", NARROW, TILE, "protocol=authors"]
    assert run(monkeypatch, work, *words, "input=pictures/a.png", f"output={name}") == 0
    with Image.open(work / name / "ids" / "a.png") as image:
        assert (image.mode, image.size) == ("P", (83, 61))
        ids_HW, colors_HW3 = np.array(image), np.array(image.convert("RGB"))
    trained = restore(composed(PredictConfig, [*words, "input=pictures"]))
    pixels = torch.from_numpy(read_image(work / "pictures" / "a.png")).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = probabilities(trained.model.eval(), trained.config.validation, pixels).argmax(1)[0]
    assert np.array_equal(ids_HW, expected.numpy())
    assert np.array_equal(colors_HW3, np.array(trained.classes.palette)[ids_HW])
    assert len(np.unique(ids_HW)) > 1 and ids_HW.max() < RELEASED[name].num_classes
    printed = capsys.readouterr().out
    assert "loaded: frontend.conv1_1 ... context.ctx_final" in printed and "reshaped: " in printed
    assert "float32" in printed and f"0 {trained.classes.names[0]}, 1 {trained.classes.names[1]}" in printed


def test_every_image_below_a_folder_keeps_its_place_and_a_damaged_one_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], work: Path
) -> None:
    shutil.copytree(work / "pictures", work / "mixed")
    (work / "mixed" / "a0.png").write_bytes((work / "pictures" / "a.png").read_bytes()[:200])
    words = ["checkpoint=camvid.caffemodel", "model=dilation8_camvid", NARROW, TILE, "protocol=tiles"]
    assert run(monkeypatch, work, *words, "input=mixed", "output=out") == 3
    captured = capsys.readouterr()
    assert "left out: mixed/a0.png: cannot be decoded" in captured.err
    assert "inputs: 3; labelled: 2, " in captured.out and "; left out: 1, mixed/a0.png\n" in captured.out
    assert sorted(path.relative_to(work / "out").as_posix() for path in (work / "out").rglob("*.*")) == [
        "ids/a.png",
        "ids/deep/b.png",
        "inputs.jsonl",
        "overlays/a.jpg",
        "overlays/deep/b.jpg",
        "predictions.json",
    ]


def test_a_photograph_that_lies_on_its_side_is_labelled_upright_on_its_own_pixels(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], work: Path
) -> None:
    (work / "camera").mkdir()
    with Image.open(work / "pictures" / "deep" / "b.jpg") as image:
        side = tagged(image, 6)
        side.save(work / "camera" / "side.png", exif=side.getexif())
        exif_transpose(side).save(work / "camera" / "upright.png")
    words = ["checkpoint=kitti.caffemodel", "model=dilation7_kitti", NARROW, TILE, "protocol=tiles"]
    words.append("outputs=[ids,overlays,confidence,entropy]")
    assert run(monkeypatch, work, *words, "input=camera", "output=camera_maps") == 0, capsys.readouterr().err
    for kind in ("ids", "confidence", "entropy"):
        side, upright = (Image.open(work / "camera_maps" / kind / f"{name}.png") for name in ("side", "upright"))
        assert (side.size, upright.size) == ((40, 24), (24, 40))
        assert np.array_equal(np.array(exif_transpose(tagged(side, 6))), np.array(upright))
        assert len(np.unique(upright)) > 1
    side, upright = (Image.open(work / "camera_maps" / "overlays" / f"{name}.jpg") for name in ("side", "upright"))
    assert np.array_equal(np.array(side), np.array(upright))


def tagged(image: Image.Image, orientation: int) -> Image.Image:
    copy = image.copy()
    copy.getexif()[0x0112] = orientation
    return copy


def test_results_among_the_images_are_no_images_of_the_next_run_and_one_strange_image_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], work: Path
) -> None:
    shutil.copytree(work / "pictures" / "deep", work / "album")
    shutil.copy(work / "album" / "b.jpg", work / "album" / "b.jpeg")
    Image.fromarray(np.zeros((8, 8), dtype=np.float32)).save(work / "album" / "depth.tif")
    words = ["checkpoint=kitti.caffemodel", "model=dilation7_kitti", NARROW, TILE, "protocol=tiles"]
    for output, summary in (
        ("album", "labelled: 2,"),
        ("album", "there already: 2"),
        ("album/new", "labelled: 2,"),
    ):
        assert run(monkeypatch, work, *words, "input=album", f"output={output}") == 2
        captured = capsys.readouterr()
        assert "left out: album/depth.tif: samples of kind F" in captured.err
        assert f"inputs: 3; {summary}" in captured.out
    maps = [path.relative_to(work / "album").as_posix() for path in (work / "album").rglob("*.png")]
    assert sorted(maps) == ["ids/b.jpeg.png", "ids/b.jpg.png", "new/ids/b.jpeg.png", "new/ids/b.jpg.png"]


def test_a_front_end_alone_answers_without_context_module(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], work: Path
) -> None:
    blobs = random_blobs(RELEASED["kitti"].rows(WIDTH), seed=0)
    front = {name: tensors for name, tensors in blobs.items() if not name.startswith("ctx_")}
    write_caffemodel(work / "front.caffemodel", front)
    words = ["checkpoint=front.caffemodel", "model=dilation7_kitti", NARROW, "protocol=tiles", TILE]
    assert run(monkeypatch, work, *words, "input=pictures/a.png", "output=front") == 0
    assert "so they answer as the whole image does" in capsys.readouterr().out


def test_a_network_that_lacks_a_layer_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], work: Path
) -> None:
    blobs = random_blobs(RELEASED["camvid"].rows(WIDTH), seed=0)
    write_caffemodel(work / "gap.caffemodel", {name: tensors for name, tensors in blobs.items() if name != "conv4_2"})
    words = ["checkpoint=gap.caffemodel", "model=dilation8_camvid", NARROW, "input=pictures"]
    assert run(monkeypatch, work, *words) == 2
    assert "it lacks frontend.conv4_2.weight, frontend.conv4_2.bias" in capsys.readouterr().err


def test_another_way_to_enlarge_is_another_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], work: Path
) -> None:
    blobs = random_blobs(RELEASED["cityscapes"].rows(WIDTH), seed=0)
    blobs["ctx_upsample"] = [torch.full_like(blobs["ctx_upsample"][0], 0.25)]
    write_caffemodel(work / "nearest.caffemodel", blobs)
    words = ["checkpoint=nearest.caffemodel", "model=dilation10_cityscapes", NARROW, "input=pictures"]
    assert run(monkeypatch, work, *words) == 2
    assert "ctx_upsample (19, 1, 16, 16) is not the bilinear kernel" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["checkpoint=voc.caffemodel"], "add model=NAME; names: dilation10_cityscapes"),
        (["checkpoint=voc.caffemodel", "model=dilation8_camvid", NARROW], "another network than model"),
        (["checkpoint=voc.caffemodel", "model=dilation8_vox"], "did you mean dilation8_voc"),
        (["checkpoint=kitti.caffemodel", "model=dilation7_kitti", "input=nowhere"], "input=nowhere: there is no such"),
        (["checkpoint=kitti.caffemodel", "model=dilation7_kitti", NARROW, "input=kitti.caffemodel"],
         "an image, a video, a folder or a list (.txt) is req"),
        (["checkpoint=kitti.caffemodel", "model=dilation7_kitti", NARROW, "outputs=[idz]"], "did you mean ids?"),
        (["checkpoint=kitti.caffemodel", "model=dilation7_kitti", NARROW, "outputs=[]"], "at least one value is req"),
        (["checkpoint=kitti.caffemodel", "model=dilation7_kitti", NARROW, "resize.factor=2", "resize.long_px=9"],
         "resize.long_px=9 and resize.factor=2.0: an image has one size"),
        (["checkpoint=kitti.caffemodel", "model=dilation7_kitti", NARROW, "protocol=authors", "resize.factor=0.5"],
         "protocol=authors: the image at its own size, not data.resize={factor:0.5}"),
        (["checkpoint=kitti.caffemodel", "model=dilation7_kitti", NARROW, "protocol=authors", "flip=true"],
         "one view of the image, not flip=true"),
        (["checkpoint=kitti.caffemodel", "model=dilation7_kitti", NARROW, "protocol=authors", "precision=bfloat16"],
         "protocol=authors is always float32"),
        (["checkpoint=kitti.caffemodel", "model=dilation7_kitti", NARROW, "model.padding=zero", "protocol=authors"],
         "with model.padding=zero there is none"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_before_anything_is_answered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], work: Path, words: list[str], message: str
) -> None:
    extra = [] if any(word.startswith("input=") for word in words) else ["input=pictures"]
    assert run(monkeypatch, work, *words, *extra) == 2
    stderr = capsys.readouterr().err
    assert message in stderr and "Traceback" not in stderr


def test_a_released_network_is_scored_on_its_data_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], work: Path
) -> None:
    """On its own answers, so the score is known."""
    root = work / "kitti_set"
    for folder in ("images", "labels"):
        (root / "val" / folder).mkdir(parents=True)
    words = ["checkpoint=kitti.caffemodel", "model=dilation7_kitti", NARROW, TILE, "protocol=authors"]
    assert run(monkeypatch, work, *words, "input=pictures/a.png", "output=answers") == 0
    shutil.copy(work / "pictures" / "a.png", root / "val" / "images")
    shutil.copy(work / "answers" / "ids" / "a.png", root / "val" / "labels")
    monkeypatch.setattr(sys, "argv", ["eval.py", *words, f"data.root={root}", "output=scores", "workers=0"])
    code = eval_command.COMMAND.start(eval_command.main)
    captured = capsys.readouterr()
    assert code == 0, captured.err
    scores = json.loads((work / "scores" / "scores.json").read_text())
    assert scores["mean_iou"] == 1 and scores["num_images"] == 1
    assert scores["protocol"]["protocol"] == "authors" and scores["protocol"]["precision"] == "float32"
    assert scores["protocol"]["tile_px"] == [64, 48]
