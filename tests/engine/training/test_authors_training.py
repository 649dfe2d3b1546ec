"""`StageLoop` gives the losses and weights of the authors' training, done by brute force in authors_training.py.

Facts of the paper and of the code: reflection at the image's edge, labels sampled at pixels 8i, cross-entropy summed
over the valid cells of the whole batch and divided by max(1, their number), Caffe's momentum, decay of weights only,
biases at twice the rate, a rate that drops in steps.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch

from configs.schema import (
    AugmentConfig,
    ContextConfig,
    LossConfig,
    Mirror,
    ModelConfig,
    MomentumForm,
    OptimizerConfig,
    ScheduleConfig,
    StageConfig,
)
from data.labels import ClassSet
from data.loaders import Batch, shuffled_keys, train_batches
from data.transforms import TrainTransform
from engine.training.losses import CrossEntropy
from models.build import build_context, build_segmenter
from models.segmenter import Segmenter
from tests.helpers.authors_training import VOID, Array, Authors, sampled
from tests.helpers.networks import tiny_frontend
from tests.helpers.training import run_stage

STEPS, BATCH, DROP_STEPS, LR, DECAY = 20, 2, 7, 0.01, 5e-4
HEIGHT, WIDTH, CLASSES, SEED = 32, 40, 3, 4
MEAN_RGB, SCALE = (110.0, 100.0, 90.0), 1 / 64
MARGIN_PX = 39  # half of 2 + 2 * 2 + 4 * 2 (conv1 to conv3), 8 * 4 (conv4, dilation 2) and 8 * 4 (fc6, dilation 2)
ALL_VOID_STEP, ONE_CELL_STEP = 9, 12
Batches = Callable[[int, int], Iterator[Batch]]


# --- What both sides start from: pictures and weights -----------------------------------------------------------------


ORDER = [i for keys in shuffled_keys(STEPS * BATCH, micro_batch=BATCH, first=0, last=STEPS, seed=SEED) for _, i in keys]


class Scenes:
    """Blocks of 8 px, coloured by class in noise. Void is spread unevenly, and fills whole batches of the stream."""

    classes = ClassSet(tuple("abc"), ((0, 0, 0),) * CLASSES)

    def __len__(self) -> int:
        return STEPS * BATCH

    def name(self, index: int) -> str:
        return str(index)

    def read(self, index: int) -> tuple[Array, Array]:
        random, position = np.random.default_rng(index), ORDER.index(index)
        blocks = random.integers(0, CLASSES, (HEIGHT // 8, WIDTH // 8)).astype(np.uint8)
        label = np.kron(blocks, np.ones((8, 8), np.uint8))
        image = (label[..., None] * (90, 60, 30) + random.integers(0, 70, (HEIGHT, WIDTH, 3))).astype(np.uint8)
        label[random.random(label.shape) < random.random() ** 2] = VOID
        step, number = divmod(position, BATCH)
        if step in (ALL_VOID_STEP, ONE_CELL_STEP):
            label[:] = VOID
        if step == ONE_CELL_STEP and number == 0:
            label[16, 24] = 1
        return image, label

    def describe(self) -> str:
        return "scenes"


@cache
def network() -> Segmenter:
    """Fresh, but with answers and noise large enough that every layer matters from the first step. Copy it."""
    config = ModelConfig(
        frontend=tiny_frontend(channels=[4, 4, 6, 6], fc_channels=8, dropout=0),
        context=ContextConfig(dilations=[1, 2], widths=[2, 4], noise_std=0.3),
        mean_rgb=list(MEAN_RGB),
        scale_rgb=[SCALE] * 3,
    )
    model, _ = build_segmenter(config, CLASSES, (), seed=1)
    model.insert_context(build_context(config, CLASSES, seed=2))
    torch.manual_seed(3)
    torch.nn.init.normal_(model.frontend.get_submodule("final").weight, std=0.5)
    for name, parameter in model.named_parameters():
        if name.endswith(".bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    assert model.margin_px == MARGIN_PX
    return model


# --- The authors ------------------------------------------------------------------------------------------------------


def rate(step: int) -> float:
    return LR * 0.1 ** (step // DROP_STEPS)


@dataclass
class Training:
    losses: list[float]
    weights: dict[str, Array]


def authors_of(model: Segmenter, momentum: float) -> Authors:
    return Authors(weights_of(model), momentum, DECAY, MARGIN_PX, MEAN_RGB, SCALE)


@cache
def authors_joint(momentum: float) -> Training:
    authors, scenes, losses = authors_of(network(), momentum), Scenes(), []
    for step in range(STEPS):
        samples = []
        for index in ORDER[step * BATCH : (step + 1) * BATCH]:
            image, label = scenes.read(index)
            maps, frontend_backwards = authors.maps(image)
            logits, context_backwards = authors.context(maps)
            samples.append((logits, context_backwards + frontend_backwards, sampled(label)))
        losses.append(authors.step(samples, rate(step)))
    return Training(losses, authors.weights)


@cache
def authors_context(momentum: float) -> Training:
    """Maps of unmirrored images, labels sampled, then both turned around; the front end keeps its weights."""
    authors, scenes, losses = authors_of(network(), momentum), Scenes(), []
    for step, batch in enumerate(stream("cells", BATCH)(0, STEPS)):
        samples = []
        assert batch.mirrored_B is not None
        for name, is_mirrored in zip(batch.names, batch.mirrored_B.tolist(), strict=True):
            image, label = scenes.read(int(name))
            maps, cells = authors.maps(image)[0], sampled(label)
            if is_mirrored:
                maps, cells = maps[:, :, ::-1], cells[:, ::-1]
            samples.append((*authors.context(maps), cells))
        losses.append(authors.step(samples, rate(step)))
    return Training(losses, authors.weights)


# --- Ours -------------------------------------------------------------------------------------------------------------


def stream(mirror: Mirror | None, micro_batch: int) -> Batches:
    """Micro-batches of whole scenes from the real loader; None: nothing is mirrored."""
    augment = AugmentConfig(mirror=mirror is not None)
    transform = TrainTransform(augment, (HEIGHT, WIDTH), MARGIN_PX, mirror or "pixels")
    return lambda first, last: train_batches(
        Scenes(), transform, micro_batch=micro_batch, first=first, last=last, seed=SEED, workers=0
    )


def our_training(
    stage: str,
    batches: Batches,
    momentum: float,
    *,
    accumulation: int = 1,
    form: MomentumForm = "caffe",
    dtype: torch.dtype = torch.float64,
) -> Training:
    model = copy.deepcopy(network()).to(dtype)
    model.freeze(frontend=stage == "context", blocks=0)
    config = StageConfig(
        steps=STEPS,
        lr=LR,
        batch=BATCH,
        accumulation=accumulation,
        validate_steps=STEPS,
        optimizer=OptimizerConfig(momentum=momentum, momentum_form=form, weight_decay=DECAY),
        schedule=ScheduleConfig(name="step", every_steps=DROP_STEPS, factor=0.1),
    )
    record = run_stage(stage, model, config, batches)
    return Training(record.losses, weights_of(model))


def weights_of(model: Segmenter) -> dict[str, Array]:
    return {name: weight.detach().double().numpy().copy() for name, weight in model.named_parameters()}


# --- The comparison ---------------------------------------------------------------------------------------------------


def difference(one: Training, other: Training) -> float:
    """The largest in the weights, relative to the largest weight of its tensor."""
    pairs = [(one.weights[name], weights) for name, weights in other.weights.items()]
    return max(float(np.abs(left - right).max() / np.abs(right).max()) for left, right in pairs)


# Ours takes the loss in float32 always: this is what keeps a network in float64 from agreeing to more digits.
TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-6}
LOSS_TOLERANCE = 1e-5
dtypes = pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
momenta = pytest.mark.parametrize("momentum", [0.9, 0.99])
accumulations = pytest.mark.parametrize("accumulation", [1, 2])


@dtypes
@accumulations
@momenta
def test_joint_training_equals_the_authors(momentum: float, accumulation: int, dtype: torch.dtype) -> None:
    batches = stream(None, BATCH // accumulation)
    ours = our_training("joint", batches, momentum, accumulation=accumulation, dtype=dtype)
    expected = authors_joint(momentum)
    assert expected.losses[ALL_VOID_STEP] == 0 < min(expected.losses[:ALL_VOID_STEP])
    np.testing.assert_allclose(ours.losses, expected.losses, rtol=LOSS_TOLERANCE)
    assert difference(ours, expected) < TOLERANCES[dtype]
    assert difference(Training([], weights_of(network())), expected) > 0.1  # the weights have moved that far


@momenta
def test_pytorchs_momentum_differs_from_the_authors_once_the_rate_drops(momentum: float) -> None:
    ours = our_training("joint", stream(None, BATCH), momentum, form="pytorch")
    expected = authors_joint(momentum)
    num_equal = DROP_STEPS + 1  # the first step at the lower rate still starts from the weights of the higher one
    np.testing.assert_allclose(ours.losses[:num_equal], expected.losses[:num_equal], rtol=LOSS_TOLERANCE)
    assert np.abs(np.subtract(ours.losses, expected.losses))[num_equal:].max() > 0.1
    assert difference(ours, expected) > 0.1


@dtypes
@accumulations
@momenta
def test_context_training_on_mirrored_maps_equals_the_authors(
    momentum: float, accumulation: int, dtype: torch.dtype
) -> None:
    batches = stream("cells", BATCH // accumulation)
    ours = our_training("context", batches, momentum, accumulation=accumulation, dtype=dtype)
    expected = authors_context(momentum)
    np.testing.assert_allclose(ours.losses, expected.losses, rtol=LOSS_TOLERANCE)
    assert difference(ours, expected) < TOLERANCES[dtype]
    start = weights_of(network())
    for name, weights in ours.weights.items():
        assert np.array_equal(weights, start[name]) == name.startswith("frontend."), name


def test_context_training_on_mirrored_images_differs_from_the_authors() -> None:
    def pixels(first: int, last: int) -> Iterator[Batch]:
        for batch in stream("cells", BATCH)(first, last):
            assert batch.mirrored_B is not None
            choice_B11 = batch.mirrored_B[:, None, None]
            images = torch.where(choice_B11[..., None], batch.images_B3HW.flip(-1), batch.images_B3HW)
            yield Batch(images, torch.where(choice_B11, batch.labels_BHW.flip(-1), batch.labels_BHW), batch.names)

    assert difference(our_training("context", pixels, 0.9), authors_context(0.9)) > 0.01


def test_labels_sampled_in_a_mirrored_image_lie_7_px_further() -> None:
    """Cell i holds pixel 8i; from the other edge of w cells, 8 (w - 1 - i) + 7."""
    columns_BHW = torch.arange(WIDTH, dtype=torch.uint8).expand(1, HEIGHT, WIDTH)
    targets = CrossEntropy(LossConfig(), stride=8, node_offset_px=0).targets
    assert torch.equal(targets(columns_BHW.flip(-1)) - targets(columns_BHW).flip(-1), torch.full((1, 4, 5), 7))
