"""What is compared computes the same: networks, steps, answers, counts; and limits count what cannot be left out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from benchmarks import answers, pipeline, plain, steps
from benchmarks.peaks import Peaks, multiply_adds_on_the_map, training_multiply_adds
from configs.compose import compose
from configs.schema import ModelConfig, Padding
from data.dataset import read_image
from engine.evaluation.grid import upsample
from engine.evaluation.inference import crop_reflected
from models.build import build_context, build_segmenter
from models.cost import context_cost, frontend_cost
from models.geometry import Layer, out_size
from models.layers import NUM_COLOURS, context_layers, frontend_layers
from models.segmenter import Segmenter

NUM_CLASSES = 5


def small(padding: Padding) -> ModelConfig:
    return compose(["frontend=small", "context=basic", f"model.padding={padding}"]).model


def networks(config: ModelConfig) -> tuple[Segmenter, plain.PlainNetwork]:
    """Ours and the plain one with the same random weights."""
    ours, _ = build_segmenter(config, NUM_CLASSES, steps.MEAN_RGB, seed=0)
    ours.insert_context(build_context(config, NUM_CLASSES, seed=0))
    layers = (*frontend_layers(config.frontend, config.padding, NUM_CLASSES), *context_layers(config.context, 5))
    theirs = plain.PlainNetwork(layers, config.frontend.dropout)
    with torch.no_grad():
        for our, their in zip(ours.parameters(), theirs.parameters(), strict=True):
            their.copy_(our)
    return ours, theirs


@pytest.mark.parametrize("padding", ["zero", "reflect"])
def test_the_plain_network_computes_what_ours_does(padding: Padding) -> None:
    ours, theirs = networks(small(padding))
    images = torch.randint(0, 256, (2, 3, 64 + 2 * ours.margin_px, 72 + 2 * ours.margin_px), dtype=torch.uint8)
    inputs = plain.normalized(images, steps.MEAN_RGB, steps.SCALE)
    assert ours(images).shape[-2:] == (8, 9)
    torch.testing.assert_close(theirs(inputs), ours(images), rtol=1e-4, atol=1e-5)


def test_the_plain_step_is_ours_at_the_same_learning_rate() -> None:
    """Biases have twice the rate and no decay with us, so weights alone are compared, after one step without decay."""
    config = small("zero")
    ours, theirs = networks(config)
    loop, batch = steps.step_loop(ours, "float32"), steps.random_batch(config, 64)
    for group in loop.optimizer.param_groups:
        group["weight_decay"] = 0.0
    optimizer = torch.optim.SGD(theirs.parameters(), lr=steps.LR, momentum=0.9)
    labels = batch.labels_BHW % NUM_CLASSES
    loop.run(steps.Progress("joint"), lambda *_: (batch._replace(labels_BHW=labels) for _ in "1"), int, int)
    inputs = plain.normalized(batch.images_B3HW, steps.MEAN_RGB, steps.SCALE)
    plain.training_step(theirs, optimizer, inputs, labels[:, ::8, ::8].long(), torch.float32)
    for (name, our), their in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if name.endswith("weight"):
            assert our.grad is not None and their.grad is not None
            torch.testing.assert_close(our.grad, their.grad, rtol=1e-3, atol=1e-6)
            torch.testing.assert_close(our, their)


def test_a_contiguous_network_computes_what_ours_does() -> None:
    ours, _ = networks(small("zero"))
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    expected = ours(images)
    ours.__class__ = steps.ContiguousSegmenter
    assert ours.normalized(images).is_contiguous()
    torch.testing.assert_close(ours(images), expected, rtol=1e-4, atol=1e-5)


def test_opencv_s_answer_is_the_plain_one() -> None:
    """With a network that hands the cells through: reflection, mean, softmax and enlargement are what differs."""
    config = answers.voc_config()
    top, bottom, left, right = answers.paddings(config)
    image = answers.random_image()
    height, width = (side - 2 * top for side in answers.padded_px(config))
    expected = crop_reflected(image, -top, -left, *answers.padded_px(config))
    padded = functional.pad(image.float(), (left, right, top, bottom), mode="reflect")
    assert torch.equal(padded.to(torch.uint8), expected) and (height % 8, width % 8) == (0, 0)

    class Cells(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return functional.avg_pool2d(inputs[..., top:-top, left:-left], 8)

    class Net:
        def setInput(self, blob: np.ndarray) -> None:  # type: ignore[type-arg]
            self.blob = torch.from_numpy(blob)

        def forward(self) -> np.ndarray:  # type: ignore[type-arg]
            return Cells()(self.blob).numpy()

    ids = plain.label(Cells(), plain.normalized(expected, config.mean_rgb, config.scale_rgb[0]), answers.IMAGE_PX)
    theirs = answers.opencv_ids(Net(), image[0].permute(1, 2, 0).contiguous().numpy(), config)  # type: ignore[arg-type]
    assert theirs.shape == answers.IMAGE_PX and (ids[0].numpy() == theirs).mean() > 0.999


def test_plain_enlargement_keeps_the_largest_share() -> None:
    shares = torch.rand(1, 4, 3, 5).softmax(1)
    ours = upsample(shares, (24, 40), 8, 3.5).argmax(1)
    assert torch.equal(plain.largest_share(shares, (24, 40)).long(), ours)


def brute_force(layer: Layer, length: int) -> int:
    taps = torch.ones(1, 1, layer.kernel)
    ones = torch.ones(1, 1, length)
    return int(functional.conv1d(ones, taps, dilation=layer.dilation, padding=layer.padding).sum())


@pytest.mark.parametrize(("kernel", "dilation", "padding"), [(3, 1, 1), (7, 4, 12), (3, 16, 16), (3, 1, 33), (1, 1, 0)])
@pytest.mark.parametrize("length", [9, 16, 40])
def test_taps_on_zeros_are_not_counted(kernel: int, dilation: int, padding: int, length: int) -> None:
    layer = Layer("fc6", kernel, dilation, padding=padding, out_channels=5)
    assert out_size([layer], length) > 0
    expected = [3 * 5 * brute_force(layer, length) * brute_force(layer, length + 1)]
    assert multiply_adds_on_the_map([layer], 3, (length, length + 1)) == expected


def test_without_padding_the_limit_counts_what_the_cost_does() -> None:
    config = small("reflect").model_copy(update={"context": compose(["context=basic"]).model.context})
    layers = frontend_layers(config.frontend, config.padding, NUM_CLASSES)
    side = steps.input_px(config, 64)
    counted = multiply_adds_on_the_map(layers, NUM_COLOURS, side)
    assert sum(counted) == frontend_cost(config, NUM_CLASSES, (64, 64)).multiply_adds
    assert training_multiply_adds(layers, NUM_COLOURS, side) == 3 * sum(counted) - counted[0]


def test_the_limit_of_our_answers_counts_the_products_that_they_take() -> None:
    """conv5: 12 rows in 2 blocks of 4, 2 interleaved, with 6 products each; narrow layers take all of theirs."""
    conv5 = Layer("conv5_1", 3, 2, out_channels=512)
    assert multiply_adds_on_the_map([conv5], 512, (16, 200)) == [512**2 * (12 * 3) * (196 * 3)]
    assert multiply_adds_on_the_map([conv5], 512, (16, 200), spares_products=True) == [512**2 * (2 * 2 * 6) * (196 * 3)]
    narrow = [512 * 64 * (12 * 3) * (196 * 3)]
    assert multiply_adds_on_the_map([conv5], 64, (16, 200), spares_products=True) == narrow


def test_with_padding_the_limit_counts_less_than_the_cost() -> None:
    config = small("zero")
    layers = (*frontend_layers(config.frontend, "zero", NUM_CLASSES), *context_layers(config.context, NUM_CLASSES))
    cost = (frontend_cost(config, NUM_CLASSES, (64, 64)) + context_cost(config, NUM_CLASSES, (64, 64))).multiply_adds
    assert 0.3 * cost < sum(multiply_adds_on_the_map(layers, NUM_COLOURS, (64, 64))) < cost


def test_fc6_is_the_paper_s() -> None:
    layer, in_channels, size = steps.fc6_layer(256, "reflect")
    assert (layer.kernel, layer.dilation, in_channels, layer.out_channels) == (7, 4, 512, 4096)
    assert size == (32 + 24, 32 + 24) and steps.fc6_layer(256, "zero")[2] == (32, 32)


def test_layer_lines_say_what_part_of_the_peak_is_reached() -> None:
    peaks = Peaks({"float32": 100.0, "bfloat16": 100.0})
    assert steps.layer_lines("float32", [("fc6", 2.0, 150)], peaks) == ["of the peak: fc6 75%"]
    assert steps.share_lines({"step": 4.0, "optimizer": 1.0}, peaks) == ["of a step of 4.00 s: optimizer 25.00%"]


def test_numpy_counts_as_ours_does() -> None:
    predicted, truth = (labels[:50, :60] for labels in answers.random_labels())
    confusion = answers.Confusion(answers.COUNTED_CLASSES)
    confusion.add(torch.from_numpy(predicted)[None], torch.from_numpy(truth)[None])
    assert np.array_equal(confusion.of_images_NKK[0].numpy(), answers.numpy_confusion(predicted, truth))


def test_pictures_have_the_size_of_photographs(tmp_path: Path) -> None:
    pipeline.make_pictures(tmp_path, number=2)
    image = tmp_path / "images" / "0.jpg"
    assert read_image(image).shape == (*pipeline.IMAGE_PX, 3)
    assert 0.5 < 8 * image.stat().st_size / (pipeline.IMAGE_PX[0] * pipeline.IMAGE_PX[1]) < 4  # bits a pixel
    labels = {path.name for path in (tmp_path / "labels").iterdir()}
    assert labels == {"0.png", "1.png"}


def test_every_way_to_augment_gives_a_crop_and_its_label(tmp_path: Path) -> None:
    pipeline.make_pictures(tmp_path, number=1)
    files = tmp_path / "images" / "0.jpg", tmp_path / "labels" / "0.png"
    for reader in (pipeline.torchvision_reader, pipeline.plain_reader):
        for color in (0.0, pipeline.COLOR):
            image_3HW, label_HW = reader(color)(*files)
            assert (image_3HW.dtype, label_HW.dtype) == (torch.uint8, torch.uint8)
            assert image_3HW.shape == (3, 256, 256) and label_HW.shape == (256, 256)
    assert pipeline.by_pillow(*files) == pipeline.by_opencv(*files) == 0
