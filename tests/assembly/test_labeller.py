"""A trained network as one module, and as a program that needs nothing of this project."""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from assembly.exported_formats import Program, answers_of, read_onnx, read_pt2, traced, write_onnx, write_pt2
from assembly.labeller import Labeller
from configs.schema import Head, Padding, RuntimeConfig, ValidationConfig
from data.loaders import Batch
from data.shapes import SCENES
from engine.evaluation.evaluate import evaluate
from engine.runtime import choose_runtime
from models.segmenter import Segmenter
from tests.helpers.programs import ROOT
from tests.helpers.trained_networks import random_network, smooth_images, tiny_model

SIZES = [(1, 1, 1), (2, 1, 30), (1, 7, 9), (3, 8, 8), (1, 61, 83), (2, 96, 64)]  # images, height, width
NETWORKS: list[tuple[Padding, Head, bool]] = [  # and whether there is a context module
    ("reflect", "interpolated", True),
    ("zero", "interpolated", False),
    ("reflect", "transposed", False),
    ("zero", "transposed", True),
]


class Exported(NamedTuple):
    """A network, and the programs read back from its files."""

    folder: Path
    labeller: Labeller
    pt2: Program
    onnx: Program


@pytest.fixture(scope="module", params=NETWORKS, ids=["-".join(map(str, network)) for network in NETWORKS])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    padding, head, has_context = request.param
    folder = tmp_path_factory.mktemp("exported")
    model = random_network(tiny_model(padding=padding, head=head), has_context=has_context)
    labeller = Labeller(model, SCENES, with_probabilities=True)
    program = traced(labeller)
    with (folder / "model.pt2").open("wb") as file:
        write_pt2(file, program, {})
    with (folder / "model.onnx").open("wb") as file:
        write_onnx(file, program, {}, opset=18)
    return Exported(folder, labeller, read_pt2(folder / "model.pt2"), read_onnx(folder / "model.onnx"))


def test_a_program_gives_the_bits_of_the_network_at_every_size(exported: Exported) -> None:
    for size in SIZES:
        images = smooth_images(*size)
        for ours, theirs in zip(answers_of(exported.labeller(images)), exported.pt2(images), strict=True):
            assert torch.equal(ours, theirs) and ours.dtype == theirs.dtype, size


def test_onnxruntime_gives_the_same_classes_at_every_size(exported: Exported) -> None:
    num_different = num_pixels = 0
    for size in SIZES:
        images = smooth_images(*size)
        (ids, shares), (their_ids, their_shares) = exported.labeller(images), exported.onnx(images)
        num_different, num_pixels = num_different + int((ids != their_ids).sum()), num_pixels + ids.numel()
        assert their_ids.dtype == torch.uint8 and their_ids.shape == ids.shape, size
        torch.testing.assert_close(shares, their_shares, rtol=0, atol=2e-5)
    assert num_different <= num_pixels / 10_000


@pytest.mark.parametrize(("padding", "head", "has_context"), NETWORKS)
def test_scored_on_a_labellers_ids_the_network_makes_no_error(padding: Padding, head: Head, has_context: bool) -> None:
    runtime = choose_runtime(RuntimeConfig(device="cpu", precision="float32", threads=1))
    model = random_network(tiny_model(padding=padding, head=head), has_context=has_context)
    images_B3HW = smooth_images(2, 61, 83)
    ids_BHW = Labeller(model, SCENES)(images_B3HW)
    scores = evaluate(model, lambda: [Batch(images_B3HW, ids_BHW, ["a", "b"])], ValidationConfig(), runtime).scores
    assert scores.mean_iou == scores.pixel_accuracy == 1 and len(ids_BHW.unique()) > 1


def test_a_labeller_answers_without_dropout_and_without_gradients() -> None:
    model = random_network(tiny_model()).train()
    labeller, images = Labeller(model, SCENES, with_probabilities=True), smooth_images(1, 40, 40)
    (ids, shares), (again, _) = labeller(images), labeller(images)
    assert torch.equal(ids, again) and not shares.requires_grad
    torch.testing.assert_close(shares.sum(1), torch.ones(1, 40, 40))
    assert torch.equal(shares.argmax(1), ids.long())


@pytest.mark.parametrize(
    "images", [torch.zeros(1, 3, 8, 8), torch.zeros(3, 8, 8).byte(), torch.zeros(1, 8, 8, 3).byte()]
)
def test_images_of_another_kind_are_refused(images: Tensor) -> None:
    model: Segmenter = random_network(tiny_model())
    with pytest.raises(ValueError, match=r"RGB images \(B, 3, H, W\) of torch.uint8"):
        Labeller(model, SCENES)(images)


def test_the_answer_does_not_depend_on_the_images_beside_it() -> None:
    labeller, images = Labeller(random_network(tiny_model()), SCENES), smooth_images(3, 50, 70)
    assert torch.equal(labeller(images), torch.cat([labeller(image[None]) for image in images]))


def test_a_file_says_nothing_of_where_the_project_lay(exported: Exported) -> None:
    for name in ("model.pt2", "model.onnx"):
        content = (exported.folder / name).read_bytes()
        assert b"labeller.py" not in content and str(ROOT).encode() not in content, name
