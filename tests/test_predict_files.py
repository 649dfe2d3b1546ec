"""What predict.py leaves in its output: whole files, none made twice, none of another network's."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

import predict
from assembly.trained import restore
from configs.compose import composed
from configs.schema import PredictConfig
from data.videos import Video, replacing_video
from engine.evaluation.answers import probabilities
from tests.helpers.caffe_files import write_caffemodel
from tests.helpers.pictures import noise, write_pixels
from tests.helpers.programs import ROOT
from tests.helpers.released_networks import RELEASED, random_blobs

WIDTH = 1 / 32
NETWORK = ["model=dilation7_kitti", f"model.frontend.width={WIDTH}", "protocol=tiles", "precision=float32", "threads=1"]
SHARES = [0.6, 0.2, 0.2]  # of the first three classes, by the network `certain`

Predict = Callable[..., int]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three networks of KITTI's 11 classes; `certain` answers every pixel with `SHARES`."""
    folder = tmp_path_factory.mktemp("networks")
    for seed, name in enumerate(("first", "second")):
        write_caffemodel(folder / f"{name}.caffemodel", random_blobs(RELEASED["kitti"].rows(WIDTH), seed))
    blobs = random_blobs(RELEASED["kitti"].rows(WIDTH), seed=0)
    weight, bias = blobs["ctx_final"]
    bias = torch.full_like(bias, -100)
    bias[: len(SHARES)] = torch.tensor(SHARES).log()
    write_caffemodel(folder / "certain.caffemodel", {**blobs, "ctx_final": [torch.zeros_like(weight), bias]})
    return folder


@pytest.fixture
def run(networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Predict:
    """`predict.py` with a network's name and further words, in `tmp_path`; returns the exit code."""

    def call(name: str, *words: str) -> int:
        command = [f"checkpoint={networks / name}.caffemodel", *NETWORK, *words]
        monkeypatch.setattr(sys, "argv", ["predict.py", *command])
        return predict.COMMAND.start(predict.main)

    monkeypatch.chdir(tmp_path)
    return call


def values(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.array(image)


# What the files hold


def test_confidence_and_entropy_are_those_of_the_probabilities(run: Predict, tmp_path: Path) -> None:
    """0.6 of 255 is 153. The entropy of 0.6, 0.2, 0.2 is 0.950 of ln(11) = 2.398: 0.396, of 255 101."""
    entropy = -sum(share * math.log(share) for share in SHARES) / math.log(11)
    assert round(255 * entropy) == 101
    write_pixels(tmp_path / "a.png", noise(20, 30))
    assert run("certain", "input=a.png", "outputs=[entropy,confidence,ids]") == 0
    folder = tmp_path / "predictions"
    assert {path.name for path in folder.iterdir()} == {
        "ids",
        "confidence",
        "entropy",
        "predictions.json",
        "inputs.jsonl",
    }
    for kind, value in (("ids", 0), ("confidence", 153), ("entropy", 101)):
        assert values(folder / kind / "a.png").shape == (20, 30)
        assert set(np.unique(values(folder / kind / "a.png"))) == {value}, kind
    with Image.open(folder / "confidence" / "a.png") as image:
        assert image.mode == "L"


def test_raw_ids_are_the_data_sets_own(networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Cityscapes: labelIds, each where the train id of its class was."""
    rows = RELEASED["cityscapes"].rows(WIDTH)
    write_caffemodel(tmp_path / "city.caffemodel", random_blobs(rows, seed=0))
    write_pixels(tmp_path / "a.png", noise(40, 50))
    words = ["checkpoint=city.caffemodel", "model=dilation10_cityscapes", NETWORK[1], "input=a.png", "outputs=[ids]"]
    monkeypatch.chdir(tmp_path)
    for kind in ("train", "raw"):
        monkeypatch.setattr(sys, "argv", ["predict.py", *words, f"ids={kind}", f"output={kind}"])
        assert predict.COMMAND.start(predict.main) == 0
    train, raw = values(tmp_path / "train" / "ids" / "a.png"), values(tmp_path / "raw" / "ids" / "a.png")
    classes = json.loads((tmp_path / "raw" / "predictions.json").read_text())["classes"]
    assert (classes[0]["name"], classes[0]["id"]) == ("road", 7) and (classes[18]["name"], classes[18]["id"]) == (
        "bicycle",
        33,
    )
    assert len(np.unique(raw)) > 1
    assert np.array_equal(np.array([row["id"] for row in classes])[train], raw)


def test_an_output_that_takes_no_list_of_what_is_finished_is_refused(
    run: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pixels(tmp_path / "a.png", noise(20, 30))
    (tmp_path / "predictions" / "inputs.jsonl").mkdir(parents=True)
    assert run("first", "input=a.png") == 2
    assert "output=predictions cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("resize", "size_px"),
    [("long_px=40", (30, 40)), ("short_px=30", (30, 40)), ("factor=1.5", (90, 120)), ("long_px=65536", (240, 320))],
)
def test_resized_is_the_answer_to_the_picture_that_opencv_resizes_brought_to_the_images_size(
    run: Predict, networks: Path, tmp_path: Path, resize: str, size_px: tuple[int, int]
) -> None:
    """To the last pixel, but for those where rounding decides between two classes."""
    picture, words = noise(60, 80), [f"checkpoint={networks / 'first.caffemodel'}", *NETWORK, f"input={tmp_path}"]
    write_pixels(tmp_path / "a.png", picture)
    assert run("first", "input=a.png", f"resize.{resize}", "output=resized") == 0
    trained = restore(composed(PredictConfig, words))
    interpolation = cv2.INTER_AREA if size_px[0] < 60 else cv2.INTER_LINEAR
    seen_HW3 = torch.from_numpy(np.asarray(cv2.resize(picture, size_px[::-1], interpolation=interpolation)))
    with torch.inference_mode():
        seen = probabilities(trained.model.eval(), trained.config.validation, seen_HW3.permute(2, 0, 1)[None])
        shares = functional.interpolate(seen, (60, 80), mode="bilinear", align_corners=False)[0]
    first, second = shares.topk(2, dim=0).values
    is_clear = (first - second > 1e-5).numpy()
    assert is_clear.mean() > 0.99
    resized = values(tmp_path / "resized" / "ids" / "a.png")
    assert np.array_equal(resized[is_clear], shares.argmax(0).numpy()[is_clear]) and len(np.unique(resized)) > 1


def test_images_of_any_kind_and_size_are_labelled(run: Predict, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    sizes = {}
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"):
        for size in ((1, 1), (1, 37), (130, 3)):
            wide = Image.fromarray(noise(*size)[..., 0].astype(np.uint16) * 257)
            image = wide if mode == "I;16" else Image.fromarray(noise(*size)).convert(mode)
            assert image.mode == mode
            name = f"{mode} {size[0]}x{size[1]}"
            image.save(tmp_path / "in" / f"{name}.tif")
            sizes[name] = size
    assert run("first", "input=in") == 0
    for name, size in sizes.items():
        assert values(tmp_path / "predictions" / "ids" / f"{name}.png").shape == size
        with Image.open(tmp_path / "predictions" / "overlays" / f"{name}.jpg") as overlay:
            assert overlay.width >= size[1] and overlay.height > size[0]


def test_files_of_any_name_are_labelled_and_known_again(
    run: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes that are not UTF-8, line ends, signs of patterns."""
    names = [os.fsdecode(name) for name in (b"caf\xe9", b"a\nb", b"*?[", b" ")]
    for name in names:
        write_pixels(tmp_path / "in" / f"{name}.png", noise(20, 30))
    assert run("first", "input=in", "output=out") == 0
    assert {path.name for path in (tmp_path / "out" / "ids").iterdir()} == {f"{name}.png" for name in names}
    capsys.readouterr()
    assert run("first", "input=in", "output=out") == 0
    assert "inputs: 4; there already: 4" in capsys.readouterr().out


# What is done before


def test_what_is_finished_is_not_done_again_unless_it_is_to_be(
    run: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        write_pixels(tmp_path / "in" / f"{name}.png", noise(20, 30))
    ids, out = tmp_path / "out" / "ids" / "a.png", ["input=in", "output=out"]
    assert run("first", *out) == 0
    before = ids.stat().st_mtime_ns
    assert run("first", *out) == 0
    assert "inputs: 2; there already: 2\n" in capsys.readouterr().out and ids.stat().st_mtime_ns == before
    assert run("first", *out, "outputs=[ids,confidence]") == 0  # one of its two results is missing
    assert "labelled: 2," in capsys.readouterr().out and (tmp_path / "out" / "confidence" / "a.png").exists()
    (tmp_path / "out" / "overlays" / "b.jpg").unlink()
    assert run("first", *out) == 0
    assert "labelled: 1," in (printed := capsys.readouterr().out) and "there already: 1" in printed
    assert run("first", *out, "overwrite=true") == 0
    assert "labelled: 2," in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "word", "difference"),
    [
        ("second", "flip=false", r"checkpoint=.*first.caffemodel, now .*second.caffemodel, another file"),
        ("first", "flip=true", "flip=False, now True"),
        ("first", "ids=raw", "ids=train, now raw"),
        ("first", "resize.factor=0.5", "resize={}, now {'factor': 0.5}"),
        ("first", "tile_px=[64,64]", r"tile_px=\[.*\], now \[64, 64\]"),
        ("first", "protocol=whole", "protocol=tiles, now whole"),
    ],
)
def test_results_of_other_settings_are_not_taken_for_finished(
    run: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, word: str, difference: str
) -> None:
    write_pixels(tmp_path / "a.png", noise(40, 50))
    assert run("first", "input=a.png") == 0
    before = (tmp_path / "predictions" / "ids" / "a.png").read_bytes()
    capsys.readouterr()
    assert run(name, "input=a.png", word) == 2
    error = capsys.readouterr().err
    assert re.search(difference, error) and "output elsewhere to keep both, or overwrite=true" in error
    assert (tmp_path / "predictions" / "ids" / "a.png").read_bytes() == before
    assert run(name, "input=a.png", word, "overwrite=true") == 0
    assert "inputs: 1; labelled: 1," in capsys.readouterr().out


def test_where_a_network_is_kept_and_what_else_is_written_makes_no_difference(
    run: Predict, networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pixels(tmp_path / "a.png", noise(20, 30))
    assert run("first", "input=a.png") == 0
    (tmp_path / "moved.caffemodel").write_bytes((networks / "first.caffemodel").read_bytes())
    assert run(str(tmp_path / "moved"), "input=a.png", "outputs=[ids]") == 0
    assert "there already: 1" in capsys.readouterr().out


def test_overwriting_that_was_stopped_goes_on_and_takes_nothing_old_for_new(
    run: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second network labels one of two images; then all are requested of it, without `overwrite`."""
    for name in ("a", "b"):
        write_pixels(tmp_path / "in" / f"{name}.png", noise(40, 50))
    assert run("second", "input=in", "output=expected") == 0
    assert run("first", "input=in", "output=out") == 0
    assert run("second", "input=in/a.png", "output=out", "overwrite=true") == 0
    capsys.readouterr()
    assert run("second", "input=in", "output=out") == 0
    assert "inputs: 2; labelled: 1," in (printed := capsys.readouterr().out) and "there already: 1" in printed
    for name in ("a", "b"):
        expected = (tmp_path / "expected" / "ids" / f"{name}.png").read_bytes()
        assert (tmp_path / "out" / "ids" / f"{name}.png").read_bytes() == expected


def test_results_of_a_network_that_was_overwritten_are_never_taken_for_finished(run: Predict, tmp_path: Path) -> None:
    """The second network has made the ids anew, not the overlays."""
    write_pixels(tmp_path / "a.png", noise(40, 50))
    assert run("second", "input=a.png", "output=expected") == 0
    assert run("first", "input=a.png", "output=out") == 0
    assert run("second", "input=a.png", "output=out", "outputs=[ids]", "overwrite=true") == 0
    assert run("second", "input=a.png", "output=out") == 0
    overlays = [(tmp_path / name / "overlays" / "a.jpg").read_bytes() for name in ("expected", "out")]
    assert overlays[0] == overlays[1]


def test_an_image_that_has_changed_is_labelled_again_and_one_from_elsewhere_takes_no_place(
    run: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, folder in enumerate(("one", "two")):
        write_pixels(tmp_path / folder / "a.png", noise(20 + number, 30))
    ids = tmp_path / "predictions" / "ids" / "a.png"
    assert run("first", "input=one") == 0
    assert run("first", "input=two") == 2
    captured = capsys.readouterr()
    assert re.search(r"left out: .*two/a\.png: the results a were made of .*one/a\.png and are kept", captured.err)
    assert values(ids).shape == (20, 30)
    write_pixels(tmp_path / "one" / "a.png", noise(22, 400))
    assert run("first", "input=one", "outputs=[ids]") == 0
    assert values(ids).shape == (22, 400)
    assert run("first", "input=one") == 0
    assert values(tmp_path / "predictions" / "overlays" / "a.jpg").shape[1] == 400
    assert run("first", "input=two", "overwrite=true") == 0
    assert values(ids).shape == (21, 30)


def test_damaged_lines_about_what_is_finished_count_for_nothing(
    run: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        write_pixels(tmp_path / "in" / f"{name}.png", noise(20, 30))
    assert run("first", "input=in", "output=out") == 0
    lines = (tmp_path / "out" / "inputs.jsonl").read_text().splitlines()
    assert len(lines) == 2
    damaged = ["", "[]", "7", '{"name": "b"}', '{"name": "b", "source": 3, "kinds": []}', "[" * 100_000, lines[1][:30]]
    (tmp_path / "out" / "inputs.jsonl").write_text("\n".join([*damaged, lines[0]]) + "\n" + lines[1][:-1])
    capsys.readouterr()
    assert run("first", "input=in", "output=out") == 0
    assert "inputs: 2; labelled: 1," in capsys.readouterr().out
    assert run("first", "input=in", "output=out") == 0
    assert "inputs: 2; there already: 2" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"made_by": 3}', "[" * 100_000])
def test_a_damaged_record_is_refused(
    run: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    write_pixels(tmp_path / "a.png", noise(20, 30))
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "predictions.json").write_text(content)
    assert run("first", "input=a.png") == 2
    error = capsys.readouterr().err
    assert "predictions.json is damaged" in error and "Traceback" not in error


def test_an_output_that_cannot_be_made_is_an_error_before_anything_is_answered(
    run: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pixels(tmp_path / "a.png", noise(20, 30))
    assert run("first", "input=a.png", "output=a.png/deep") == 2
    assert "output=a.png/deep cannot be written" in capsys.readouterr().err


# Videos


def write_film(path: Path, num_frames: int) -> None:
    with replacing_video(path, 12.5) as append:
        for seed in range(num_frames):
            append(np.kron(noise(6, 8, seed), np.ones((8, 8, 1), dtype=np.uint8)))


def test_a_video_gets_a_label_map_for_each_frame_and_a_video_of_overlays(
    run: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    write_film(tmp_path / "in" / "film.mp4", num_frames=3)
    (tmp_path / "in" / "cut.mp4").write_bytes((tmp_path / "in" / "film.mp4").read_bytes()[:900])
    for position, decode in enumerate(Video(tmp_path / "in" / "film.mp4").frames()):
        write_pixels(tmp_path / "stills" / f"{position:06d}.png", decode())
    assert run("first", "input=in", "output=out", "outputs=[ids,overlays,entropy]") == 3
    assert "left out: in/cut.mp4: not a video that OpenCV can read" in capsys.readouterr().err
    assert run("first", "input=stills", "output=still_out", "outputs=[ids,entropy]") == 0
    files = sorted(
        path.relative_to(tmp_path / "still_out").as_posix() for path in (tmp_path / "still_out").rglob("*.png")
    )
    assert len(files) == 6
    for file in files:
        kind, name = file.split("/")
        assert np.array_equal(values(tmp_path / "out" / kind / "film" / name), values(tmp_path / "still_out" / file))
    overlays = Video(tmp_path / "out" / "overlays" / "film.mp4")
    assert (overlays.num_frames, overlays.frames_per_s) == (3, 12.5)
    sizes = {decode().shape for decode in overlays.frames()}
    assert len(sizes) == 1 and min(sizes)[0] > 48 and min(sizes)[1] >= 64


def test_frames_that_are_there_are_not_done_again(
    run: Predict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_film(tmp_path / "film.mp4", num_frames=3)
    assert run("first", "input=film.mp4") == 0
    (tmp_path / "predictions" / "ids" / "film" / "000001.png").unlink()
    capsys.readouterr()
    for summary in ("labelled: 1,", "there already: 1"):
        assert run("first", "input=film.mp4") == 0
        assert f"inputs: 1; {summary}" in capsys.readouterr().out
    (tmp_path / "predictions" / "overlays" / "film.mp4").unlink()
    assert run("first", "input=film.mp4") == 0
    assert "inputs: 1; labelled: 3," in capsys.readouterr().out


# Interrupted


def test_ctrl_c_leaves_whole_files_only_and_the_same_command_goes_on(networks: Path, tmp_path: Path) -> None:
    num_images = 30
    for number in range(num_images):
        write_pixels(tmp_path / "in" / f"{number:02d}.png", noise(200, 240, number))
    checkpoint, ids = f"checkpoint={networks / 'first'}.caffemodel", tmp_path / "out" / "ids"
    command = [sys.executable, str(ROOT / "predict.py"), checkpoint, *NETWORK, "input=in", "output=out"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and len(list(ids.glob("*.png"))) < 3:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "predict.py: interrupted\n")
    there = len({path.stem for path in ids.iterdir()} & {path.stem for path in ids.with_name("overlays").iterdir()})
    assert 2 <= there < num_images
    for path in (tmp_path / "out").rglob("*.*"):
        if path.is_file() and not path.suffix.startswith(".json"):
            values(path)  # raises for half a file, and for a temporary one
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"inputs: {num_images}; labelled: {num_images - there}," in done.stdout
    assert f"; there already: {there}" in done.stdout
    assert len(list(ids.iterdir())) == len(list(ids.with_name("overlays").iterdir())) == num_images
