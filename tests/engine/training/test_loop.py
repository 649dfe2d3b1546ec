"""A step's loss and gradient are sums over all its micro-batches, divided once; a loss far too high ends the run."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from configs.schema import VOID, LossConfig, StageConfig
from data.loaders import Batch
from engine.contracts import TrainBatches
from engine.runs.progress import Progress
from engine.training.loop import DivergedError, LossWatch
from tests.helpers.training import run_stage


class Classifier(nn.Module):
    """A DenseModel of one layer."""

    stride, margin_px, node_offset_px, num_classes, head, context = 8, 0, 0.0, 3, "interpolated", None

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(3, 3, 8, stride=8)

    def frontend_maps(self, images_B3HW: Tensor) -> Tensor:
        maps: Tensor = self.layer(images_B3HW.float() / 255)
        return maps


def four_images() -> Batch:
    """The first image is void, and half of the second."""
    images = torch.randint(0, 256, (4, 3, 16, 16), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    labels = (images[:, 0] > 127).byte()
    labels[0] = labels[1, 8:] = VOID
    return Batch(images, labels, list("abcd"))


def stream(*batches: Batch) -> TrainBatches:
    def read(first: int, last: int) -> Iterator[Batch]:
        yield from batches[first:last]

    return read  # type: ignore[return-value]


def test_class_weights_of_a_ten_thousandth_give_the_loss_and_gradient_of_weights_of_1() -> None:
    """Both are divided by the sum of the weights, however small."""
    records = []
    for weight in (1.0, 1e-4):
        config = StageConfig(steps=1, loss=LossConfig(class_weights=[weight] * 3))
        records.append(run_stage("joint", Classifier(), config, stream(four_images())))  # type: ignore[arg-type]
    assert records[1].losses == pytest.approx(records[0].losses, rel=1e-5)
    assert records[1].norms == pytest.approx(records[0].norms, rel=1e-5)


def test_accumulation_changes_no_gradient() -> None:
    """Two passes of 2 images and one of 4 give the same loss and gradient up to rounding, void unevenly spread."""
    whole = four_images()
    halves = [Batch(whole.images_B3HW[i : i + 2], whole.labels_BHW[i : i + 2], []) for i in (0, 2)]
    losses, gradients = [], []
    for batches in ([whole], halves):
        model = Classifier()
        config = StageConfig(steps=1, batch=4, accumulation=len(batches))
        losses.append(run_stage("joint", model, config, stream(*batches)).losses)  # type: ignore[arg-type]
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))  # type: ignore[union-attr]
    assert losses[0] == pytest.approx(losses[1])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_loss_far_above_guessing_and_one_that_is_no_number_stop_the_run() -> None:
    progress = Progress("frontend", step=41)
    watch = LossWatch(num_classes=11)
    for _ in range(10):
        watch.check(2.4, 1.0, progress, 1e-3)
    with pytest.raises(DivergedError, match=r"frontend step 42, learning rate 1\.00e-03.*stage\.frontend\.lr"):
        for _ in range(20):
            watch.check(60.0, 1.0, progress, 1e-3)
    LossWatch(num_classes=2).check(2.9, 1.0, progress, 1e-3)  # one batch says little, after a pause as well
    for loss, norm in ((float("nan"), 1.0), (1.0, float("inf"))):
        with pytest.raises(DivergedError):
            LossWatch(num_classes=11).check(loss, norm, progress, 1e-3)
