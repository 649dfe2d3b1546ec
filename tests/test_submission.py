"""Files for the evaluation servers as people ask for them, judged by the servers' own counting."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import eval as eval_command
from configs.schema import DataConfig
from data.labels import VOC
from tests.helpers.caffe_files import write_caffemodel
from tests.helpers.data_sets import write_label, write_list, write_voc_test
from tests.helpers.pictures import write_pixels
from tests.helpers.programs import ROOT
from tests.helpers.released_networks import RELEASED, random_blobs
from tests.helpers.trained_networks import random_network, tiny_model, write_checkpoint

WIDTH = 1 / 32
VAL = [f"2007_00000{number}" for number in range(3)]
OFFICIAL = ROOT / ".venv-cityscapes" / "bin" / "csEvalPixelLevelSemanticLabeling"
MAPS = Path("results", "VOC2012", "Segmentation")
ABSENT = (17, 27, 31)  # labelIds of pole, truck and train, which no label of the streets holds
STREETS = [f"lindau_00000{number}_000019" for number in range(3)]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Narrow networks, VOC with three labelled images and a test set of two, and Cityscapes in small."""
    folder = tmp_path_factory.mktemp("work")
    for name in ("voc", "camvid", "cityscapes"):
        blobs = random_blobs(RELEASED[name].rows(WIDTH), seed=0)
        write_caffemodel(folder / f"{name}.caffemodel", blobs, "layers", legacy=True)
    write_voc_test(folder / "voc")
    base = folder / "voc" / "VOCdevkit" / "VOC2012"
    write_list(base / "ImageSets" / "Segmentation" / "val.txt", *VAL)
    generator = np.random.default_rng(0)
    for number, name in enumerate(VAL):
        height, width = 40 + number, 56 - number
        write_pixels(base / "JPEGImages" / f"{name}.jpg", blurred(generator, height, width))
        write_label(base / "SegmentationClass" / f"{name}.png", blocks(generator, [*range(21), 255], height, width))
    for name in STREETS:
        city = folder / "cityscapes" / "gtFine" / "val" / "lindau"
        write_pixels(
            folder / "cityscapes" / "leftImg8bit" / "val" / "lindau" / f"{name}_leftImg8bit.png",
            blurred(generator, 128, 256),
        )
        ids_HW = blocks(generator, [raw_id for raw_id in range(34) if raw_id not in ABSENT], 128, 256)
        write_label(city / f"{name}_gtFine_labelIds.png", ids_HW)
        has_instances_HW = np.isin(ids_HW, [24, 25, 26, 27, 28, 29, 30, 31, 32, 33])
        instances_HW = np.where(
            has_instances_HW, 1000 * ids_HW.astype(np.uint16), ids_HW
        )  # the official tool reads them
        write_pixels(city / f"{name}_gtFine_instanceIds.png", instances_HW)  # type: ignore[arg-type]
    return folder


def blurred(generator: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Colours that change slowly, so that a random network answers with several classes."""
    small = Image.fromarray(generator.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3), dtype=np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def blocks(generator: np.random.Generator, ids: Sequence[int], height: int, width: int) -> NDArray[np.uint8]:
    """Ids in squares of 8 px."""
    small = generator.choice(np.array(ids, dtype=np.uint8), (height // 8 + 1, width // 8 + 1))
    return small.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]


def network(name: str, model: str) -> list[str]:
    return [
        f"checkpoint={name}.caffemodel",
        f"model={model}",
        f"model.frontend.width={WIDTH}",
        "threads=1",
        "workers=0",
    ]


VOC_NETWORK = network("voc", "dilation8_voc")


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> int:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["eval.py", *words])
    return eval_command.COMMAND.start(eval_command.main)


def test_a_test_set_is_labelled_packed_and_read_again_and_no_label_is_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], work: Path
) -> None:
    words = ["submission=voc", "split=test", "data.root=voc"]
    assert run(monkeypatch, work, *VOC_NETWORK, *words, "output=test") == 0
    folder = work / "test" / MAPS / "comp6_test_cls"
    assert sorted(path.name for path in folder.iterdir()) == ["2008_000001.png", "2008_000002.png"]
    assert Image.open(folder / "2008_000002.png").size == (24, 17)
    assert not (work / "test" / "scores.json").exists()
    printed = capsys.readouterr().out
    assert "upload test/voc_comp6_test.tgz at http://host.robots.ox.ac.uk:8080" in printed
    assert run(monkeypatch, work, *words, "verify=test") == 0
    assert run(monkeypatch, work, *words, "verify=test/voc_comp6_test.tgz") == 0
    (folder / "2008_000001.png").unlink()
    capsys.readouterr()
    assert run(monkeypatch, work, *words, "verify=test") == 1
    printed = capsys.readouterr().out
    assert f"wrong: {MAPS / 'comp6_test_cls' / '2008_000001.png'} is missing" in printed and "upload" not in printed


def test_a_limit_of_the_training_does_not_shorten_a_submission(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], work: Path
) -> None:
    network = random_network(tiny_model(), classes=VOC)
    write_checkpoint(work / "limited.pt", network, tiny_model(), DataConfig(name="voc", root="voc", limit=1), VOC)
    words = ["checkpoint=limited.pt", "submission=voc", "split=test", "output=limited", "workers=0"]
    assert run(monkeypatch, work, *words) == 0
    assert "read again and found right: 2 label maps" in capsys.readouterr().out


def test_written_label_maps_score_by_voc_s_own_counting_what_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], work: Path
) -> None:
    """VOCevalseg.m: a histogram of the pixels whose truth is not 255; diagonal over row plus column less diagonal."""
    assert run(monkeypatch, work, *VOC_NETWORK, "submission=voc", "split=val", "data.root=voc", "output=val") == 0
    before, table, after = capsys.readouterr().out.partition("mean IoU")
    assert table and all("the server scores split=test only" in part for part in (before, after))
    counts = np.zeros((21, 21), dtype=np.int64)
    for name in VAL:
        truth = np.array(Image.open(work / "voc" / "VOCdevkit" / "VOC2012" / "SegmentationClass" / f"{name}.png"))
        answer = np.array(Image.open(work / "val" / MAPS / "comp6_val_cls" / f"{name}.png"))
        for row, column in np.argwhere(truth < 255):
            counts[truth[row, column], answer[row, column]] += 1
    scores = json.loads((work / "val" / "scores.json").read_text())
    assert counts.tolist() == scores["confusion"]
    answered = np.flatnonzero(counts.sum(0))
    assert len(answered) > 1
    accuracies = [counts[j, j] / (counts[j].sum() + counts[:, j].sum() - counts[j, j]) for j in range(21)]
    assert list(scores["class_iou"].values()) == accuracies
    assert scores["mean_iou"] == pytest.approx(np.mean(accuracies), rel=1e-14)


@pytest.mark.skipif(
    not OFFICIAL.exists(), reason="the official evaluation is not there; `make cityscapes-scripts` brings it"
)
def test_the_official_evaluation_of_cityscapes_gives_our_score_to_the_last_digit(
    monkeypatch: pytest.MonkeyPatch, work: Path
) -> None:
    words = [*network("cityscapes", "dilation10_cityscapes"), "submission=cityscapes", "data.root=cityscapes"]
    assert run(monkeypatch, work, *words, "output=streets") == 0
    environment = {
        "CITYSCAPES_DATASET": str(work / "cityscapes"),
        "CITYSCAPES_RESULTS": str(work / "streets" / "results"),
        "CITYSCAPES_EXPORT_DIR": str(work / "streets"),
    }
    done = subprocess.run([OFFICIAL], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    official = json.loads((work / "streets" / "resultPixelLevelSemanticLabeling.json").read_text())
    ours = json.loads((work / "streets" / "scores.json").read_text())
    assert len([iou for iou in ours["class_iou"].values() if iou]) > 1
    unscored = {name for name, iou in ours["class_iou"].items() if iou is None}
    assert unscored and unscored <= {"pole", "truck", "train"}  # no pixel is one, or is called one
    for name, iou in ours["class_iou"].items():
        score = math.nan if iou is None else iou
        assert np.array_equal(score, official["classScores"][name], equal_nan=True), name
        assert f"{name:<14}: {score:>5.3f} " in done.stdout
    assert ours["mean_iou"] == pytest.approx(official["averageScoreClasses"], rel=1e-14)
    assert f"Score Average : {ours['mean_iou']:5.3f} " in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            [*network("camvid", "dilation8_camvid"), "data.name=voc", "data.root=voc", "submission=voc"],
            r"submission=voc: the server scores 21 classes (background, aeroplane",
        ),
        ([*network("voc", "dilation8_voc"), "submission=cityscapes"], "class 0 is background there and road here"),
        (
            [*VOC_NETWORK, "data.name=camvid", "data.root=voc", "submission=voc"],
            "data.name=camvid: the server (VOC 2012, comp6) takes label maps of its own images; set data.name=voc",
        ),
        ([*VOC_NETWORK, "data.root=voc", "submission=voc_comp5"], "set submission=voc, which is comp6"),
        ([*VOC_NETWORK, "data.root=voc"], "eval.py submission=voc split=test writes what the server takes"),
        (["submission=voc", "verify=nowhere"], "verify=nowhere: there is no such file or folder"),
        (["verify=voc"], "add submission=NAME; options: voc, voc_comp5, cityscapes"),
        ([*VOC_NETWORK, "submission=voc", "verify=voc"], "it checks files and needs no network; leave out checkpoint"),
        (["submission=voc", "verify=voc"], "data.root is not set"),
        (["submission=pascal", "verify=voc"], "one of voc, voc_comp5, cityscapes is required"),
    ],
)
def test_what_no_server_would_take_is_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], work: Path, words: list[str], message: str
) -> None:
    assert run(monkeypatch, work, *words, "split=test", "output=refused") == 2
    assert message in capsys.readouterr().err
    assert not (work / "refused").exists()


def test_another_network_s_files_are_replaced_and_those_of_others_are_not_touched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], work: Path
) -> None:
    words = [*VOC_NETWORK, "submission=voc", "data.root=voc", "output=again"]
    (work / "again" / "results").mkdir(parents=True)
    (work / "again" / "results" / "mine.png").touch()
    assert run(monkeypatch, work, *words, "split=test") == 2
    assert "again/results is there, and no submission of ours has left it" in capsys.readouterr().err
    assert (work / "again" / "results" / "mine.png").exists()
    shutil.rmtree(work / "again")
    assert run(monkeypatch, work, *words, "split=val") == 0
    first = (work / "again" / "voc_comp6_val.tgz").read_bytes()
    assert run(monkeypatch, work, *words, "split=val", "data.limit=1") == 0
    assert run(monkeypatch, work, *words, "split=test") == 0
    assert not (work / "again" / "voc_comp6_val.tgz").exists()
    assert run(monkeypatch, work, *words, "split=val") == 0
    assert (work / "again" / "voc_comp6_val.tgz").read_bytes() == first


def test_an_interrupted_submission_leaves_no_archive_and_no_half_file_and_begins_anew(work: Path) -> None:
    names = [f"2009_{number:06d}" for number in range(400)]
    write_voc_test(work / "many", names)
    words = [*VOC_NETWORK, "submission=voc", "split=test", "data.root=many", "output=stopped"]
    command = [sys.executable, str(ROOT / "eval.py"), *words]
    process = subprocess.Popen(
        command,
        cwd=work,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    folder = work / "stopped" / MAPS / "comp6_test_cls"
    deadline = time.monotonic() + 120
    while not (folder / f"{names[2]}.png").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert (process.returncode, printed) == (130, "eval.py: interrupted\n")
    assert not (work / "stopped" / "voc_comp6_test.tgz").exists()
    maps = sorted(folder.iterdir())
    assert 3 <= len(maps) < len(names) and all(path.suffix == ".png" for path in maps)
    for path in maps:
        Image.open(path).load()
    done = subprocess.run([*command, "data.limit=2"], cwd=work, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "the first 2 of 400 images: the server wants all; leave out data.limit" in done.stdout
    assert [path.stem for path in sorted(folder.iterdir())] == names[:2]
