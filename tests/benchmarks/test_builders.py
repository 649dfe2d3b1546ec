"""Every kind of contestant builds and runs: here with narrow networks and few pictures."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from benchmarks import answers, commands, pipeline, steps
from benchmarks.harness import Unavailable, Work
from configs.compose import compose
from configs.schema import ModelConfig, Padding, Precision

WIDTH = 1 / 32


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The same layers, a 32nd of the front end's channels and the fewest of the context module's."""
    released, threads = answers.voc_config(), torch.get_num_threads()

    def model_config(network: str, padding: Padding, width: float = 1.0) -> ModelConfig:
        context = steps.NETWORKS[network] or "basic"
        words = [
            "frontend=vgg16",
            f"context={context}",
            f"model.padding={padding}",
            f"model.frontend.width={width * WIDTH}",
        ]
        return compose(words).model

    narrow = {
        "frontend": released.frontend.model_copy(update={"width": WIDTH}),
        "context": released.context.model_copy(update={"widths": []}),
    }
    monkeypatch.setattr(steps, "model_config", model_config)
    monkeypatch.setattr(answers, "voc_config", lambda: released.model_copy(update=narrow))
    monkeypatch.setattr(answers, "COUNTED_PX", (200, 300))
    monkeypatch.setattr(pipeline, "NUM_IMAGES", 8)
    monkeypatch.setattr(pipeline, "BATCHES", 2)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("network", steps.NETWORKS)
@pytest.mark.parametrize("padding", steps.BORDERS)
def test_steps_are_taken(network: str, padding: Padding) -> None:
    steps.our_step(network, 64, "float32", padding)()
    steps.plain_step(network, 64, "bfloat16", padding)()


def test_steps_are_taken_in_other_ways() -> None:
    steps.our_step("front end + Basic", 64, "bfloat16", "zero", form="contiguous")()
    steps.fcn_step(64, "float32")()
    for kind in ("ours", "plain"):
        steps.fc6(kind, 64, "bfloat16", "reflect")()


def test_graphs_take_no_part_without_a_gpu() -> None:
    with pytest.raises(Unavailable, match="need a GPU"):
        steps.our_step("front end", 64, "float32", "zero", form="graphs")


def test_a_step_is_taken_under_the_rules_that_torch_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    steps.our_step("front end", 64, "float32", "zero")()
    assert torch.backends.cudnn.benchmark, "rows of a GPU compare rules"


def test_a_batch_is_taken() -> None:
    place = steps.Place(batch=2)
    steps.our_step("front end", 64, "float32", "zero", place=place)()
    steps.plain_step("front end", 64, "float32", "zero", place=place)()


@pytest.mark.slow
def test_a_compiled_step_is_taken() -> None:
    steps.our_step("front end + Basic", 64, "float32", "zero", form="compiled")()


@pytest.mark.parametrize("precision", steps.PRECISIONS)
def test_layers_and_parts_of_a_step_are_timed(precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.steps.median_call_s", once)
    layers = steps.layer_seconds(64, precision, "zero")()
    assert [name for name, _, _ in layers][-3:] == ["fc6", "fc7", "final"] and len(layers) == 16
    assert all(seconds == 1.0 and count > 0 for _, seconds, count in layers)
    parts = steps.step_parts("front end + Basic", 64, precision, "zero")()
    assert parts.keys() > {"step", "loss and its gradient", "label sampling", "optimizer", "validation's interpolation"}


def once(work: Work) -> float:
    """In place of a time."""
    work()
    return 1.0


def test_pictures_are_read_in_each_way() -> None:
    for color in (0.0, pipeline.COLOR):
        for build in (pipeline.our_batches, pipeline.torchvision_batches, pipeline.plain_batches):
            build(color)()
    pipeline.bare_decoding()()


def test_images_are_answered_and_pixels_counted() -> None:
    answers.our_answer("float32")()
    answers.plain_answer("bfloat16")()
    for build in (answers.our_large_answer, answers.plain_large_answer, answers.our_counts, answers.numpy_counts):
        build()()


@pytest.mark.slow
def test_other_programs_answer() -> None:
    (ids,) = answers.onnxruntime_answer()()
    assert ids.shape == (1, *answers.IMAGE_PX)
    assert np.asarray(answers.opencv_answer()()).shape == answers.IMAGE_PX


@pytest.mark.slow
def test_a_training_reaches_its_first_step() -> None:
    commands.first_step()()
    commands.bare_imports()()
