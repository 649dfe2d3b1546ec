"""Rows of pixels taken in bands are those of the whole picture, however an image is looked at."""

import math
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from configs.schema import Head, Protocol, ValidationConfig
from engine.evaluation.answers import answer, probabilities
from engine.evaluation.inference import view_of
from engine.evaluation.pixels import CellView, Resized
from engine.runtime import Runtime
from models.build import build_context, build_segmenter
from models.segmenter import Segmenter
from tests.helpers.networks import tiny_model_config

CPU = Runtime(torch.device("cpu"), "float32", 1)


def network(head: Head = "interpolated") -> Segmenter:
    config = tiny_model_config(head=head, node_offset_px=3.5 if head == "transposed" else 0.0)
    model, _ = build_segmenter(config, 4, (), seed=0)
    model.insert_context(build_context(config, 4, seed=0))
    for parameter in model.frontend.get_submodule("final").parameters():
        parameter.data = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    return model.eval()


def photograph(height: int, width: int, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    coarse = torch.rand((batch, 3, 7, 9), generator=generator) * 255
    return functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize("protocol", get_args(Protocol))
@pytest.mark.parametrize("head", get_args(Head))
@pytest.mark.parametrize("size", [(61, 83), (3, 130), (64, 1)])
def test_bands_of_any_height_are_the_rows_of_the_whole(protocol: Protocol, head: Head, size: tuple[int, int]) -> None:
    is_plain = protocol == "authors"
    config = ValidationConfig(
        protocol=protocol, tile_px=[32, 40], flip=not is_plain, scales=[1.0] if is_plain else [0.5, 1.0, 1.3]
    )
    model = network(head)
    with torch.inference_mode():
        view = view_of(model, config, photograph(*size), model)
        whole = view.rows(0, size[0])
        assert whole.shape == (2, 4, *size) and view.size == size
        torch.testing.assert_close(whole.sum(1), torch.ones(2, *size))
        for num_rows in (1, 5, 40):
            bands = [view.rows(first, min(first + num_rows, size[0])) for first in range(0, size[0], num_rows)]
            torch.testing.assert_close(torch.cat(bands, dim=-2), whole, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("size", [(50, 30), (7, 200), (1, 1), (24, 33)])
def test_a_resized_view_is_torchs_bilinear_interpolation(size: tuple[int, int]) -> None:
    shares = torch.rand((1, 3, 5, 4), generator=torch.Generator().manual_seed(0)).softmax(1)
    view = CellView(shares, (33, 32), stride=8, node_offset_px=0.0, head="interpolated")
    expected = functional.interpolate(view.rows(0, 33), size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(Resized(view, size).rows(0, size[0]), expected, rtol=1e-5, atol=1e-6)


def test_an_answer_is_the_likeliest_class_with_its_probability_and_the_entropy_of_all() -> None:
    model, images, config = network(), photograph(45, 61), ValidationConfig(flip=True)
    with torch.inference_mode():
        shares = probabilities(model, config, images)
        ids, confidence, entropy = answer(model, config, CPU, images, certainty=True)
    assert confidence is not None and entropy is not None and ids.dtype == torch.uint8
    assert torch.equal(ids.long(), shares.argmax(1)) and len(ids.unique()) > 1
    torch.testing.assert_close(confidence, shares.amax(1))
    torch.testing.assert_close(entropy, torch.special.entr(shares).sum(1) / math.log(4))


@pytest.mark.parametrize(
    ("shares", "expected"), [([1.0, 0.0, 0.0, 0.0], 0.0), ([0.25] * 4, 1.0), ([0.5, 0.5, 0, 0], 0.5)]
)
def test_entropy_is_0_where_one_class_is_certain_and_1_where_all_are_equal(
    shares: list[float], expected: float
) -> None:
    model = network()
    logits = torch.tensor(shares).log().view(1, 4, 1, 1).expand(1, 4, 2, 2)
    found = answer(model, ValidationConfig(), CPU, photograph(16, 16, batch=1), lambda _: logits, certainty=True)
    assert found.confidence_BHW is not None and found.entropy_BHW is not None
    torch.testing.assert_close(found.entropy_BHW, torch.full((1, 16, 16), expected))
    torch.testing.assert_close(found.confidence_BHW, torch.full((1, 16, 16), max(shares)))
