"""A trained network handed to other programs, as people ask for it."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

import eval as eval_command
import export
import predict
from assembly.exporting import EXPORTED, DifferentAnswersError, Exporter, compared, comparison_images
from assembly.labeller import Labeller
from assembly.trained import restore
from data.shapes import SCENES
from engine.runs.network_file import read_network, write_safetensors
from models.build import build_context, build_segmenter
from tests.helpers.caffe_files import write_caffemodel
from tests.helpers.programs import ROOT
from tests.helpers.programs import run as run_program
from tests.helpers.released_networks import RELEASED, random_blobs
from tests.helpers.trained_networks import random_network, smooth_image, tiny_model, write_checkpoint

WIDTH = 1 / 32
NARROW = f"model.frontend.width={WIDTH}"

# The README's lines, and what tells that nothing else was needed.
WITH_ONNXRUNTIME = """
import sys
import numpy as np, onnxruntime
from PIL import Image

image = np.array(Image.open("photo.png").convert("RGB"))
session = onnxruntime.InferenceSession("out/model.onnx")
ids = session.run(["ids"], {"images": image.transpose(2, 0, 1)[None]})[0][0]

Image.fromarray(ids).save("onnx.png")
print(sorted({"torch", "models", "engine", "configs", "assembly", "data"} & {*sys.modules}))
"""
WITH_TORCH = """
import sys
import numpy as np, torch
from PIL import Image

image = torch.from_numpy(np.array(Image.open("photo.png").convert("RGB")))
labeller = torch.export.load("out/model.pt2").module()
ids = labeller(image.permute(2, 0, 1)[None])[0][0]

Image.fromarray(ids.numpy()).save("pt2.png")
print(sorted({"models", "engine", "configs", "assembly", "data"} & {*sys.modules}))
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run's checkpoint, `run.pt`, and a photograph; `out` holds what a shell exports of it."""
    folder = tmp_path_factory.mktemp("work")
    write_checkpoint(folder / "run.pt", random_network(tiny_model()), tiny_model())
    Image.fromarray(smooth_image(61, 83)).save(folder / "photo.png")
    words = ["checkpoint=run.pt", "output=out", "probabilities=true", "image=photo.png", "threads=1"]
    done = run_program(folder, "export.py", *words)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    (folder / "printed.txt").write_text(done.stdout)
    return folder


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> int:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["export.py", *words])
    return export.COMMAND.start(export.main)


def predicted(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> bytes:
    """The ids that predict.py gives the photograph, protocol=whole in float32."""
    monkeypatch.chdir(folder)
    standard = ["input=photo.png", "output=maps", "outputs=[ids]", "overwrite=true", "precision=float32", "device=cpu"]
    monkeypatch.setattr(sys, "argv", ["predict.py", *words, *standard, "protocol=whole"])
    assert predict.COMMAND.start(predict.main) == 0
    return ids(folder / "maps" / "ids" / "photo.png")


def ids(path: Path) -> bytes:
    with Image.open(path) as image:
        return np.array(image).tobytes()


@pytest.mark.parametrize("program", [WITH_ONNXRUNTIME, WITH_TORCH])
def test_the_readme_prints_the_lines_that_run_here(program: str) -> None:
    """But for the places of the files, and the pair that `probabilities=true` makes of a torch program's answer."""
    lines = program.split("\n\n")[1].replace("photo.png", "photo.jpg").replace("out/model", "model")
    assert f"```python\n{lines.replace('[None])[0][0]', '[None])[0]')}\n```" in (ROOT / "README.md").read_text()


def test_three_files_are_written_and_what_they_were_compared_on(work: Path) -> None:
    assert sorted(path.name for path in (work / "out").iterdir()) == [
        "export.json",
        "model.onnx",
        "model.pt2",
        "model.safetensors",
    ]
    report = json.loads((work / "out" / "export.json").read_text())
    assert report["stage"] == "joint" and report["class_names"] == list(SCENES.names) and report["opset"] == 18
    for file, largest in zip(report["files"], (0, 1e-4, 0), strict=True):
        assert (work / "out" / file["name"]).stat().st_size == file["num_bytes"]
        assert [(part["height"], part["width"]) for part in file["comparisons"]] == [(61, 83), (31, 55)]
        assert all(part["different_pixels"] == 0 for part in file["comparisons"])
        assert all(part["largest_difference"] <= largest for part in file["comparisons"])
    printed = (work / "printed.txt").read_text()
    assert "run.pt (joint stage)" in printed and "compared on photo.png" in printed
    assert printed.count("61x83 px: the same ids") == 3


def test_the_readmes_lines_run_in_onnxruntime_without_this_project_and_without_torch(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = subprocess.run([sys.executable, "-I", "-c", WITH_ONNXRUNTIME], cwd=work, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
    assert ids(work / "onnx.png") == predicted(monkeypatch, work, "checkpoint=run.pt")


def test_the_readmes_lines_run_in_torch_without_this_project(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run([sys.executable, "-I", "-c", WITH_TORCH], cwd=work, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
    answer = predicted(monkeypatch, work, "checkpoint=run.pt")
    assert ids(work / "pt2.png") == answer and len(set(answer)) > 1


def test_an_exported_file_takes_the_place_of_its_checkpoint(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    maps, scores = [], []
    for file in ("run.pt", "out/model.safetensors"):
        maps.append(predicted(monkeypatch, work, f"checkpoint={file}"))
        words = [f"checkpoint={file}", "output=scores", "workers=0", "precision=float32", "num_pictures=0"]
        monkeypatch.setattr(sys, "argv", ["eval.py", *words])
        assert eval_command.COMMAND.start(eval_command.main) == 0, capsys.readouterr().err
        scores.append({**json.loads((work / "scores" / "scores.json").read_text()), "checkpoint": None})
    assert maps[0] == maps[1] and scores[0] == scores[1] and scores[0]["num_images"] == 2


def test_a_training_goes_on_from_an_exported_file(work: Path) -> None:
    config = tiny_model()
    fresh, _ = build_segmenter(config, SCENES.num_classes, (), seed=3)  # its loss is that of guessing
    fresh.insert_context(build_context(config, SCENES.num_classes, seed=3))
    write_checkpoint(work / "fresh.pt", fresh, config)
    with (work / "fresh.safetensors").open("wb") as file:
        write_safetensors(file, read_network(work / "fresh.pt"))
    sections = config.model_dump(include={"frontend", "context"})
    keys = [f"model.{section}.{key}={value}" for section, values in sections.items() for key, value in values.items()]
    words = ["stages=[joint]", "init.checkpoint=fresh.safetensors", "run.dir=run", "data.shapes.size_px=192"]
    words += ["data.limit=2", "stage.joint.steps=1", "stage.joint.batch=2", "stage.joint.lr=1e-9", "run.num_pictures=0"]
    words += ["stage.joint.crop_px=[64,64]", "runtime.threads=1", "runtime.workers=0", "model.padding=reflect"]
    done = run_program(work, "train.py", *words, *(key.replace(" ", "") for key in keys))
    assert done.returncode == 0, done.stdout + done.stderr
    trained = read_network(work / "run" / "joint.pt").weights
    assert all(torch.allclose(tensor, trained[name], atol=1e-5) for name, tensor in fresh.state_dict().items())


@pytest.mark.parametrize("name", ["kitti", "cityscapes"])
def test_a_released_network_is_exported_and_then_needs_no_name(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    blobs = random_blobs(RELEASED[name].rows(WIDTH), seed=0)
    write_caffemodel(work / f"{name}.caffemodel", blobs)
    words = [f"checkpoint={name}.caffemodel", f"model={RELEASED[name].model}", NARROW]
    assert run(monkeypatch, work, *words, f"output={name}", "formats=[safetensors]", "threads=1") == 0
    assert "answers as protocol=whole in float32" in capsys.readouterr().out
    answers = [predicted(monkeypatch, work, *these) for these in (words, [f"checkpoint={name}/model.safetensors"])]
    assert answers[0] == answers[1]


def test_an_onnx_file_says_its_axes_and_its_classes(work: Path) -> None:
    session = onnxruntime.InferenceSession(work / "out" / "model.onnx")
    (images,), (answer, shares) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["batch", 3, "height", "width"])
    assert (answer.name, answer.type, answer.shape) == ("ids", "tensor(uint8)", ["batch", "height", "width"])
    assert (shares.name, shares.shape) == ("probabilities", ["batch", 9, "height", "width"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["class_names"]) == list(SCENES.names)


def test_an_exported_file_is_exported_with_another_opset_and_without_a_word_from_the_libraries(
    work: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["checkpoint=out/model.safetensors", "output=again", "formats=[onnx]", "opset=23", "threads=1"]
    assert run(monkeypatch, work, *words) == 0
    captured = capfd.readouterr()
    assert captured.err == "" and len(captured.out.splitlines()) == 4
    model = onnx.load(work / "again" / "model.onnx")
    assert {part.version for part in model.opset_import if part.domain == ""} == {23}
    assert [output.name for output in model.graph.output] == ["ids"]


def test_views_that_the_run_averaged_and_the_files_do_not_are_told(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = read_network(work / "run.pt")
    file.description.config["validation"].update(scales=[1.0, 1.5], flip=True)
    with (work / "averaged.safetensors").open("wb") as target:
        write_safetensors(target, file)
    words = ["checkpoint=averaged.safetensors", "output=averaged", "formats=[safetensors]", "threads=1"]
    assert run(monkeypatch, work, *words) == 0
    assert "its run averaged flip=true scales=[1.0,1.5]" in capsys.readouterr().out


def test_a_program_file_says_its_classes(work: Path) -> None:
    texts = {"class_names": "", "palette": "", "network": ""}
    torch.export.load(work / "out" / "model.pt2", extra_files=texts)
    assert json.loads(texts["class_names"]) == list(SCENES.names) and json.loads(texts["network"])["stage"] == "joint"


def test_a_file_that_answers_otherwise_than_the_network_takes_no_place(work: Path, tmp_path: Path) -> None:
    """One network is written, and compared with another one."""
    written = restore(EXPORTED.model_copy(update={"checkpoint": str(work / "run.pt")}))
    other = Labeller(random_network(tiny_model(), seed=1), SCENES)
    (tmp_path / "model.safetensors").write_text("what was there before")
    exporter = Exporter(written, other, comparison_images(smooth_image(40, 40)), tmp_path, opset=18)
    with pytest.raises(DifferentAnswersError, match=r"first in row \d+, column \d+: class \d instead of \d") as refusal:
        exporter.export("safetensors")
    assert refusal.value.exit_code == 1
    assert [path.read_text() for path in tmp_path.iterdir()] == ["what was there before"]


@pytest.mark.parametrize("format", ["safetensors", "pt2"])
def test_a_full_disk_is_told_and_leaves_what_was_there(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], format: str
) -> None:
    (work / format).mkdir()
    (work / format / f"model.{format}").write_text("what was there before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        code = run(monkeypatch, work, "checkpoint=run.pt", f"output={format}", f"formats=[{format}]", "threads=1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    stderr = capsys.readouterr().err
    assert code == 1 and f"model.{format} cannot be written (File too large)" in stderr and "Traceback" not in stderr
    assert [path.read_text() for path in (work / format).iterdir()] == ["what was there before"]


def test_one_pixel_of_ten_thousand_may_differ_in_onnxruntime_alone() -> None:
    expected = torch.zeros(1, 100, 100, dtype=torch.uint8)
    one, two = expected.clone(), expected.clone()
    one[0, 3, 5], two[0, 3, 5:7] = 7, 7
    assert compared(Path("m"), "onnx", (one,), (expected,)).different_pixels == 1
    with pytest.raises(DifferentAnswersError, match="first in row 3, column 5: class 7 instead of 0"):
        compared(Path("m"), "onnx", (two,), (expected,))
    with pytest.raises(DifferentAnswersError, match=r"1 of 10000 pixels differ .99\.9900% agree, 100\.00% is required"):
        compared(Path("m"), "pt2", (one,), (expected,))
    shares = torch.zeros(1, 2, 100, 100)
    with pytest.raises(DifferentAnswersError, match="its probabilities are not the network's"):
        compared(Path("m"), "safetensors", (expected, shares + 1e-7), (expected, shares))


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 40), (1500, 1100), (480, 640)])
def test_every_photograph_gives_two_images_the_second_of_odd_sides(size: tuple[int, int]) -> None:
    whole, part = comparison_images(smooth_image(*size))
    assert whole.shape == (1, 3, min(size[0], 1024), min(size[1], 1024))
    assert part.shape[2] % 2 == part.shape[3] % 2 == 1
    assert part.shape[2] <= whole.shape[2] and part.shape[3] <= whole.shape[3]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["checkpoint=run.pt", "protocol=authors"], "exported networks answer an image as a whole"),
        (["checkpoint=run.pt", "formats=[onx]"], "did you mean onnx"),
        (["checkpoint=run.pt", "formats=[]"], "at least one value is required"),
        (["checkpoint=run.pt", "opset=9"], "it must be at least 18"),
        (["checkpoint=run.pt", "image=nowhere.jpg"], "image=nowhere.jpg: there is no such file"),
        (["checkpoint=run.pt", "image=run.pt"], "run.pt: not an image"),
        (["checkpoint=nowhere.pt"], "checkpoint=nowhere.pt: there is no such file"),
        (["chekpoint=run.pt"], "did you mean checkpoint"),
        (["checkpoint=run.pt", "model=dilation8_voc"], "it knows its own network"),
        (["checkpoint=photo.png"], "photo.png: damaged or not a checkpoint"),
        ([], "the file of a network is required"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_anything_is_written(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert run(monkeypatch, work, *words, "output=none") in (2, 3)
    stderr = capsys.readouterr().err
    assert message in stderr and "Traceback" not in stderr and not (work / "none").exists()


def test_a_package_that_is_missing_is_named_with_the_extra_that_brings_it(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert run(monkeypatch, work, "checkpoint=run.pt", "output=none") == 2
    stderr = capsys.readouterr().err
    assert "onnx needs onnxscript" in stderr and 'pip install ".[export]"' in stderr
    assert "formats=[safetensors,pt2]" in stderr
