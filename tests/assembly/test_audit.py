"""A folder with many faults is read once, and all of them are named; what is printed to paste mends what it says."""

import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from assembly.audit import NAME, audit
from configs.compose import compose, composed
from configs.schema import AuditConfig
from tests.helpers.pictures import Pixels, noise, orientation_tag, write_pixels
from tests.helpers.programs import run

HEIGHT, WIDTH = 16, 24
CLASSES = "data.folder.class_names=[ground,thing,sky]"


class Audited(NamedTuple):
    exit_code: int
    content: dict[str, Any]
    lines: list[str]

    def counts(self) -> dict[tuple[str, str, str], int]:
        """Severity, split and kind of every finding -> the number of its places."""
        return {(f["severity"], f["split"], f["kind"]): len(f["places"]) for f in self.content["findings"]}

    def finding(self, kind: str) -> dict[str, Any]:
        (found,) = (finding for finding in self.content["findings"] if finding["kind"] == kind)
        return dict(found)


def halves(left: int, right: int, height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    label_HW = np.full((height, width), left, np.uint8)
    label_HW[:, width // 2 :] = right
    return label_HW


def add(root: Path, split: str, name: str, seed: int, label: Pixels | None = None) -> tuple[Path, Path]:
    """A sample that nothing is wrong with: noise, the left half ground, the right half a thing."""
    image, label_file = root / split / "images" / f"{name}.png", root / split / "labels" / f"{name}.png"
    label = halves(0, 1) if label is None else label
    write_pixels(image, noise(*label.shape[:2], seed))
    write_pixels(label_file, label)
    return image, label_file


def good_folder(root: Path) -> None:
    for seed in range(3):
        add(root, "train", f"good{seed}", seed)
    add(root, "val", "good3", 3)


def faulty_folder(root: Path) -> None:
    """Every fault is planted by hand; FOUND counts them."""
    good_folder(root)
    images = root / "train" / "images"
    for seed, name in enumerate(("empty", "text", "truncated"), start=10):
        add(root, "train", name, seed)
    (images / "empty.png").write_bytes(b"")
    (images / "text.png").write_text("no image")
    whole = (images / "truncated.png").read_bytes()
    (images / "truncated.png").write_bytes(whole[: len(whole) // 2])
    _, label = add(root, "train", "broken_label", 20)
    label.write_bytes(label.read_bytes()[:40])
    add(root, "train", "size", 21)
    write_pixels(root / "train" / "labels" / "size.png", halves(0, 1, HEIGHT, WIDTH - 4))
    _, label = add(root, "train", "jpeg", 22)
    Image.fromarray(halves(0, 1)).save(label, format="JPEG")
    add(root, "train", "rgb", 23)
    write_pixels(root / "train" / "labels" / "rgb.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    for name, strange in (("ids_a", {94: 5}), ("ids_b", {94: 3, 7: 2})):
        label_HW = halves(0, 1)
        for column, (value, count) in enumerate(strange.items()):
            label_HW[:count, column] = value
        add(root, "train", name, 24 + len(strange), label_HW)
    image, _ = add(root, "train", "turned", 27)
    Image.fromarray(noise(HEIGHT, WIDTH, 27)).save(image, exif=orientation_tag(6))
    image, _ = add(root, "train", "float", 28)
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.float32)).save(image.with_suffix(".tif"))
    image.unlink()
    add(root, "train", "void", 29, halves(255, 255))
    add(root, "train", "mask", 30, halves(0, 255))
    image, _ = add(root, "train", "gray", 31)
    write_pixels(image, noise(HEIGHT, WIDTH, 31)[:, :, 0])
    add(root, "train", "large", 32, halves(0, 1, HEIGHT + 8, WIDTH))
    add(root, "train", "case", 33)
    add(root, "train", "CASE", 34)
    add(root, "train", os.fsdecode(b"caf\xe9"), 35)
    write_pixels(images / "alone_a.png", noise(HEIGHT, WIDTH, 36))
    for name in ("alone_b", "alone_c"):
        write_pixels(root / "train" / "labels" / f"{name}.png", halves(0, 1))
    add(root, "train", "copy", 37)
    shutil.copy(images / "good0.png", images / "copy.png")
    add(root, "train", "twin", 38)
    write_pixels(images / "twin.jpg", noise(HEIGHT, WIDTH, 39))
    add(root, "val", "other_name", 40)
    shutil.copy(images / "good1.png", root / "val" / "images" / "other_name.png")
    add(root, "val", "sky", 41, halves(2, 2))


SMALL = ("note", "train", "small_image")  # than the crops of the recipe
FOUND = {
    ("error", "train", "damaged_image"): 3,
    ("error", "train", "damaged_label"): 1,
    ("error", "train", "sizes"): 1,
    ("error", "train", "jpeg_label"): 1,
    ("error", "train", "label_samples"): 1,
    ("error", "train", "label_values"): 2,
    ("error", "train", "turned_image"): 1,
    ("error", "train", "image_samples"): 1,
    ("error", "train", "missing_partner"): 3,
    ("error", "train", "same_name"): 2,
    ("error", "train", "larger_than_crop"): 1,
    ("error", "", "cache_size"): 0,
    ("warning", "train", "all_void"): 1,
    ("warning", "train", "possible_mask"): 1,
    ("warning", "train", "repeated_image"): 1,
    ("warning", "", "in_two_splits"): 1,
    ("warning", "train", "names_in_case"): 2,
    ("warning", "", "class_in_val_alone"): 1,
    ("note", "train", "image_kind"): 1,
    ("note", "train", "not_utf8"): 1,
    ("note", "train", "label_kinds"): 0,
}


def audited(root: Path, output: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Audited:
    overrides = [f"data.root={root}", f"output={output}", "runtime.threads=2", CLASSES, *words]
    code = audit(composed(AuditConfig, ["experiment=folder", *overrides]))
    return Audited(code, json.loads((output / NAME).read_text()), capsys.readouterr().out.splitlines())


def test_all_faults_are_named_in_one_pass_with_their_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faulty_folder(tmp_path / "data")
    crops = [f"stage.{stage}.crop_px=[16,24]" for stage in ("frontend", "context", "joint")]
    words = [*crops, "stage.context.maps=cached", "cache.max_gb=1e-9", f"cache.root={tmp_path / 'cache'}"]
    found = audited(tmp_path / "data", tmp_path / "out", capsys, *words)
    assert found.counts() == FOUND
    assert found.exit_code == 2 and found.content["would_go_wrong"]
    assert found.lines[-1].startswith("training would go wrong: 12 errors above")
    assert max(len(line) for line in found.lines[:-1] if str(tmp_path) not in line) <= 100
    strange = found.finding("label_values")
    assert "94 (8 pixels in 2 files), 7 (2 pixels in 1 file)" in strange["what"]
    assert strange["overrides"] == ["data.folder.ignore_ids=[7,94,255]"]
    assert found.finding("not_utf8")["places"][0]["file"].endswith(r"caf\xe9.png")
    places = {Path(place["file"]).name: place["message"] for place in found.finding("damaged_image")["places"]}
    assert "0 bytes" in places["empty.png"] and "cannot be decoded" in places["truncated.png"]


def test_a_split_that_cannot_be_opened_is_one_fault_and_the_other_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good_folder(tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "val")
    found = audited(tmp_path / "data", tmp_path / "out", capsys)
    assert found.counts() == {("error", "val", "opening"): 0, ("warning", "", "class_nowhere"): 0, SMALL: 3}
    assert found.content["splits"]["train"]["num_readable"] == 3 and found.exit_code == 2


def test_figures_are_those_of_the_pixels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two images of different size: 16x24 px of (0, 10, 20), 16x8 px of (100, 10, 40); a quarter of one label void."""
    for name, width, color in (("a", 24, (0, 10, 20)), ("b", 8, (100, 10, 40))):
        for split in ("train", "val"):
            write_pixels(tmp_path / split / "images" / f"{name}.png", np.full((16, width, 3), color, np.uint8))
            label_HW = halves(0, 1, 16, width)
            label_HW[: 4 if name == "a" else 0] = 255
            write_pixels(tmp_path / split / "labels" / f"{name}.png", label_HW)
    train = audited(tmp_path, tmp_path / "out", capsys).content["splits"]["train"]
    assert train["mean_rgb"] == [25.0, 10.0, 25.0]
    assert train["deviation_rgb"] == [43.3, 0.0, 8.66]  # sqrt(0.75 * 25² + 0.25 * 75²), sqrt(0.75 * 5² + 0.25 * 15²)
    assert train["classes"]["ground"] == {"pixels": 144 + 64, "share": 0.5}
    assert (train["void_pixels"], train["void_share"]) == (96, 96 / 512)
    sizes = [(size["height"], size["width"], size["count"]) for size in train["sizes"]]
    assert sizes == [(16, 8, 1), (16, 24, 1)]


@pytest.mark.parametrize(
    ("kind", "label", "words"),
    [
        ("label_values", np.array([[0, 1], [1, 94]], np.uint8), []),
        ("label_mask", np.array([[0, 255], [255, 255]], np.uint8), ["data.folder.class_names=[ground,thing]"]),
        ("label_samples", np.array([[[9, 0, 0], [0, 9, 0]], [[0, 0, 9], [7, 7, 7]]], np.uint8), []),
        (
            "label_values",
            np.array([[[9, 0, 0], [0, 9, 0]], [[0, 0, 9], [7, 7, 7]]], np.uint8),
            ["data.folder.rgb_labels=true", "data.folder.palette=[[9,0,0],[0,9,0],[0,0,9]]"],
        ),
        (
            "label_values",
            np.array([[0, 1], [1, 2]], np.uint8),
            ["data.folder.rgb_labels=true", "data.folder.palette=[[9,0,0],[0,9,0],[0,0,9]]"],
        ),
    ],
)
def test_the_overrides_of_a_finding_mend_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, label: Pixels, words: list[str]
) -> None:
    for split, seed in (("train", 0), ("val", 1)):
        add(tmp_path, split, "a", seed, label)
    before = audited(tmp_path, tmp_path / "out", capsys, *words)
    assert before.exit_code == 2 and [f["kind"] for f in before.content["findings"] if f["severity"] == "error"] == [
        kind,
        kind,  # of both splits
    ]
    overrides = next(finding["overrides"] for finding in before.content["findings"] if finding["kind"] == kind)
    kept = [word for word in words if word.partition("=")[0] not in {word.partition("=")[0] for word in overrides}]
    after = audited(tmp_path, tmp_path / "out", capsys, *kept, *overrides)
    assert after.exit_code == 0 and kind not in {finding["kind"] for finding in after.content["findings"]}


@pytest.mark.parametrize(("max_skipped", "exit_code"), [(2, 0), (1, 2)])
def test_samples_that_training_would_skip_are_warnings_up_to_their_limit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], max_skipped: int, exit_code: int
) -> None:
    good_folder(tmp_path)
    for seed, name in enumerate("ab", start=5):
        image, _ = add(tmp_path, "train", name, seed)
        image.write_bytes(b"")
    words = ["data.on_error=skip", f"data.max_skipped={max_skipped}"]
    found = audited(tmp_path, tmp_path / "out", capsys, *words)
    severity = "error" if exit_code else "warning"
    assert found.counts()[severity, "train", "damaged_image"] == 2 and found.exit_code == exit_code


def test_labels_of_void_alone_are_an_error_where_the_only_other_sample_would_be_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(tmp_path, "val", "good", 0)
    image, _ = add(tmp_path, "train", "broken", 1)
    image.write_bytes(b"")
    add(tmp_path, "train", "void", 2, halves(255, 255))
    found = audited(tmp_path, tmp_path / "out", capsys, "data.on_error=skip", "data.max_skipped=1")
    assert found.counts()["error", "train", "all_void"] == 1 and found.exit_code == 2
    assert found.counts()["warning", "", "class_in_val_alone"] == 1


def test_an_image_that_would_be_skipped_is_not_too_large(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good_folder(tmp_path)
    _, label = add(tmp_path, "train", "large", 5, halves(0, 1, HEIGHT + 8, WIDTH))
    label.write_bytes(b"")
    crops = [f"stage.{stage}.crop_px=[16,24]" for stage in ("frontend", "context", "joint")]
    words = [*crops, "stage.context.maps=cached", f"cache.root={tmp_path / 'cache'}", "data.on_error=skip"]
    found = audited(tmp_path, tmp_path / "out", capsys, *words, "data.max_skipped=1")
    assert found.counts()["warning", "train", "damaged_label"] == 1 and found.exit_code == 0
    found = audited(tmp_path, tmp_path / "out", capsys, *words, "data.max_skipped=0")
    assert found.counts()["error", "train", "larger_than_crop"] == 1


def test_suggested_overrides_compose(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    label_HW = halves(0, 0)
    label_HW[0, :4] = 1  # 4 of 384 pixels
    for split, seed in (("train", 0), ("val", 1)):
        add(tmp_path, split, "a", seed, label_HW)
    found = audited(tmp_path, tmp_path / "out", capsys)
    assert [line.partition("=")[0] for line in found.content["suggestions"]] == [
        "stage.frontend.loss.class_weights",
        "stage.context.loss.class_weights",
        "stage.joint.loss.class_weights",
        "data.mean_rgb",
    ]
    again = audited(tmp_path, tmp_path / "out", capsys, *found.content["suggestions"])
    assert again.content["suggestions"] == []


def test_built_in_scenes_have_nothing_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data.shapes.num_train=2", "data.shapes.num_val=2", f"output={tmp_path}", "runtime.threads=1"]
    assert audit(composed(AuditConfig, words)) == 0
    assert not [line for line in capsys.readouterr().out.splitlines() if line.startswith("errors")]


def test_the_settings_are_those_of_the_run_to_come() -> None:
    words = ["experiment=shapes", "debug=one_step", "stage.joint.lr=0.5", "run.dir=a"]
    config = composed(AuditConfig, [*words, "output=b"])
    assert config.model_dump(exclude={"pictures", "output"}) == compose(words).model_dump()


@pytest.mark.parametrize(
    ("word", "complaint"),
    [("data.rot=x", "did you mean data.root"), ("pictures=-1", "pictures=-1: it must be at least 0")],
)
def test_wrong_words_are_answered(tmp_path: Path, word: str, complaint: str) -> None:
    done = run(tmp_path, "audit.py", word)
    assert done.returncode == 2 and complaint in done.stderr and done.stdout == ""


def test_settings_that_fit_no_split_are_one_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good_folder(tmp_path)
    found = audited(tmp_path, tmp_path / "out", capsys, "data.folder.label_ids=[1]")
    assert found.counts() == {("error", "", "opening"): 0} and found.exit_code == 2


def test_a_split_that_is_trained_on_and_scored_flatters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good_folder(tmp_path)
    found = audited(tmp_path, tmp_path / "out", capsys, "data.val_split=train")
    assert found.counts()["warning", "", "in_two_splits"] == 0 and list(found.content["splits"]) == ["train"]


def test_hydra_run_dir_and_output_are_the_folder_of_results_and_run_dir_is_not(tmp_path: Path) -> None:
    words = ["data.shapes.num_train=1", "data.shapes.num_val=1", "runtime.threads=1", "run.dir=run"]
    assert run(tmp_path, "audit.py", *words, "output=found").returncode == 0
    assert run(tmp_path, "audit.py", *words, "output=found", "hydra.run.dir=other").returncode == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found"]
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == [NAME, "sheet_train.png", "sheet_val.png"]
