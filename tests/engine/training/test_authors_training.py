"""The authors' training by brute force: numpy and loops, the gradients written out, nothing of ours and no autograd.

Facts of the paper and of the code: reflection at the image's edge, labels sampled at pixels 8i, cross-entropy summed
over the valid cells of the whole batch and divided by max(1, their number), Caffe's momentum, decay of weights only,
biases at twice the rate, a rate that drops in steps. `StageLoop` must give the same losses and the same weights.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from configs.schema import (
    AugmentConfig,
    ContextConfig,
    LossConfig,
    Mirror,
    ModelConfig,
    MomentumForm,
    OptimizerConfig,
    Precision,
    RuntimeConfig,
    ScheduleConfig,
    ScheduleName,
    StageConfig,
)
from data.labels import ClassSet
from data.loaders import Batch, shuffled_keys, train_batches
from data.transforms import TrainTransform
from engine.process.stop import StopRequest
from engine.runs.progress import Progress
from engine.runtime import choose_runtime
from engine.training.loop import StageLoop
from engine.training.losses import CrossEntropy
from engine.training.optimizers import build_optimizer
from models.build import build_context, build_segmenter
from models.segmenter import Segmenter
from tests.helpers.networks import tiny_frontend

STEPS, BATCH, DROP_STEPS, LR, DECAY = 20, 2, 7, 0.01, 5e-4
HEIGHT, WIDTH, CLASSES, VOID, SEED = 32, 40, 3, 255, 4
MEAN_RGB, SCALE = (110.0, 100.0, 90.0), 1 / 64
MARGIN_PX = 39  # half of 2 + 2 * 2 + 4 * 2 (conv1 to conv3), 8 * 4 (conv4, dilation 2) and 8 * 4 (fc6, dilation 2)
ALL_VOID_STEP, ONE_CELL_STEP = 9, 12
Array = NDArray[Any]
Back = Callable[[Array], Array]
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

FRONTEND = ["conv1_1", "pool", "conv2_1", "pool", "conv3_1", "pool", "conv4_1", "fc6", "fc7", "final"]
CONTEXT = ["ctx_conv1", "ctx_conv2", "ctx_final"]
DILATIONS = {"conv4_1": 2, "fc6": 2, "ctx_conv2": 2}


@dataclass
class Authors:
    """Weights by name, their gradients of a batch and their velocities, all float64."""

    weights: dict[str, Array]
    momentum: float
    gradients: dict[str, Array] = field(default_factory=dict)
    velocities: dict[str, Array] = field(default_factory=dict)

    def maps(self, image_HW3: Array) -> tuple[Array, list[Back]]:
        padded = np.pad(image_HW3, ((MARGIN_PX, MARGIN_PX), (MARGIN_PX, MARGIN_PX), (0, 0)), mode="reflect")
        normalized = ((padded.astype(np.float64) - MEAN_RGB) * SCALE).transpose(2, 0, 1)
        return self.forward("frontend", FRONTEND, normalized, zeros=False)

    def context(self, maps: Array) -> tuple[Array, list[Back]]:
        return self.forward("context", CONTEXT, maps, zeros=True)

    def forward(self, part: str, layers: list[str], x: Array, zeros: bool) -> tuple[Array, list[Back]]:
        """The output and the way back from it: a function of the gradient for each layer, the last layer's first."""
        way_back: list[Back] = []
        for layer in layers:
            x, back = pooled(x) if layer == "pool" else self.convolved(f"{part}.{layer}", x, zeros)
            way_back.insert(0, back)
        return x, way_back

    def convolved(self, name: str, x: Array, zeros: bool) -> tuple[Array, Back]:
        """With zeros as far as the kernel reaches, or none; ReLU after all layers but the two final ones."""
        w, b = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        size, dilation, relu = w.shape[-1], DILATIONS.get(name.partition(".")[2], 1), not name.endswith("final")
        edge = dilation * (size // 2) if zeros else 0
        x = np.pad(x, ((0, 0), (edge, edge), (edge, edge)))
        height, width = (side - dilation * (size - 1) for side in x.shape[1:])
        taps = [
            (r, c, np.s_[:, r * dilation : r * dilation + height, c * dilation : c * dilation + width])
            for r in range(size)
            for c in range(size)
        ]
        y = b[:, None, None] + sum(np.tensordot(w[:, :, r, c], x[window], 1) for r, c, window in taps)
        y = np.maximum(y, 0) if relu else y

        def back(g: Array) -> Array:
            g = g * (y > 0) if relu else g
            x_gradient, w_gradient = np.zeros_like(x), np.zeros_like(w)
            for r, c, window in taps:
                w_gradient[:, :, r, c] = np.tensordot(g, x[window], ((1, 2), (1, 2)))
                x_gradient[window] += np.tensordot(w[:, :, r, c].T, g, 1)
            self.gradients[f"{name}.weight"] = self.gradients.get(f"{name}.weight", 0) + w_gradient
            self.gradients[f"{name}.bias"] = self.gradients.get(f"{name}.bias", 0) + g.sum((1, 2))
            return x_gradient[:, edge : x.shape[1] - edge, edge : x.shape[2] - edge]

        return y, back

    def step(self, samples: list[tuple[Array, list[Back], Array]], lr: float) -> float:
        """One step over the whole batch of (logits, way back, labels under the cells); returns the loss."""
        self.gradients = {}
        count = max(1, sum(int((cells != VOID).sum()) for _, _, cells in samples))
        loss = 0.0
        for logits, way_back, cells in samples:
            g = np.zeros_like(logits)
            for i, j in np.argwhere(cells != VOID):
                exponentials = np.exp(logits[:, i, j] - logits[:, i, j].max())
                probabilities, truth = exponentials / exponentials.sum(), cells[i, j]
                loss -= np.log(probabilities[truth]) / count
                g[:, i, j] = probabilities / count
                g[truth, i, j] -= 1 / count
            for back in way_back:
                g = back(g)
        for name, gradient in self.gradients.items():
            rate, decay = (2 * lr, 0.0) if name.endswith(".bias") else (lr, DECAY)
            velocity = self.momentum * self.velocities.get(name, 0) + rate * (gradient + decay * self.weights[name])
            self.velocities[name], self.weights[name] = velocity, self.weights[name] - velocity
        return float(loss)


def pooled(x: Array) -> tuple[Array, Back]:
    """The largest of 2x2, the output's size rounded up."""
    channels, height, width = x.shape
    even = np.pad(x, ((0, 0), (0, height % 2), (0, width % 2)), constant_values=-np.inf)
    blocks = even.reshape(channels, even.shape[1] // 2, 2, even.shape[2] // 2, 2).swapaxes(2, 3)
    flat = blocks.reshape(*blocks.shape[:3], 4)
    where = flat.argmax(-1)[..., None]

    def back(g: Array) -> Array:
        spread = np.zeros_like(flat)
        np.put_along_axis(spread, where, g[..., None], -1)
        return spread.reshape(blocks.shape).swapaxes(2, 3).reshape(even.shape)[:, :height, :width]

    return np.take_along_axis(flat, where, -1)[..., 0], back


def sampled(label_HW: Array) -> Array:
    return np.array([[label_HW[8 * i, 8 * j] for j in range(WIDTH // 8)] for i in range(HEIGHT // 8)])


def rate(step: int) -> float:
    return LR * 0.1 ** (step // DROP_STEPS)


@dataclass
class Training:
    losses: list[float]
    weights: dict[str, Array]


@cache
def authors_joint(momentum: float) -> Training:
    authors, scenes, losses = Authors(weights_of(network()), momentum), Scenes(), []
    for step in range(STEPS):
        samples = []
        for index in ORDER[step * BATCH : (step + 1) * BATCH]:
            image, label = scenes.read(index)
            maps, way_to_image = authors.maps(image)
            logits, way_to_maps = authors.context(maps)
            samples.append((logits, way_to_maps + way_to_image, sampled(label)))
        losses.append(authors.step(samples, rate(step)))
    return Training(losses, authors.weights)


@cache
def authors_context(momentum: float) -> Training:
    """Maps of unmirrored images, labels sampled, then both turned around; the front end keeps its weights."""
    authors, scenes, losses = Authors(weights_of(network()), momentum), Scenes(), []
    for step, batch in enumerate(stream(Mirror.cells, BATCH)(0, STEPS)):
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
    transform = TrainTransform(augment, (HEIGHT, WIDTH), MARGIN_PX, mirror or Mirror.pixels)
    return lambda first, last: train_batches(
        Scenes(), transform, micro_batch=micro_batch, first=first, last=last, seed=SEED, workers=0
    )


class Record(list[float]):
    """Stands where the reporter does and keeps the loss of every step."""

    def first_loss(self, loss: float, num_classes: int) -> None: ...

    def stepped(self, progress: Progress, *, loss: float, **_: Any) -> None:
        self.append(loss)


def ours(
    stage: str,
    batches: Batches,
    momentum: float,
    *,
    accumulation: int = 1,
    form: MomentumForm = MomentumForm.caffe,
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
        schedule=ScheduleConfig(name=ScheduleName.step, every_steps=DROP_STEPS, factor=0.1),
    )
    record = Record()
    loop = StageLoop(
        config=config,
        model=model,
        optimizer=build_optimizer(config.optimizer, model.named_parameters()),
        loss=CrossEntropy(LossConfig(), stride=8, node_offset_px=0),
        runtime=choose_runtime(RuntimeConfig(precision=Precision.float32, threads=1)),
        report=record,  # type: ignore[arg-type]
        stop=StopRequest(),
        log_steps=STEPS,
        save_steps=STEPS,
    )
    loop.run(Progress(stage), batches, lambda: None, lambda: None)
    return Training(list(record), weights_of(model))


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
def test_all_layers_learn_as_the_authors_teach_them(momentum: float, accumulation: int, dtype: torch.dtype) -> None:
    batches = stream(None, BATCH // accumulation)
    found = ours("joint", batches, momentum, accumulation=accumulation, dtype=dtype)
    expected = authors_joint(momentum)
    assert expected.losses[ALL_VOID_STEP] == 0 < min(expected.losses[:ALL_VOID_STEP])
    np.testing.assert_allclose(found.losses, expected.losses, rtol=LOSS_TOLERANCE)
    assert difference(found, expected) < TOLERANCES[dtype]
    assert difference(Training([], weights_of(network())), expected) > 0.1  # so far have they come


@momenta
def test_pytorchs_momentum_leaves_the_authors_way_where_the_rate_drops(momentum: float) -> None:
    found, expected = ours("joint", stream(None, BATCH), momentum, form=MomentumForm.pytorch), authors_joint(momentum)
    seen = DROP_STEPS + 1  # the first step at the lower rate still finds the weights of the higher one
    np.testing.assert_allclose(found.losses[:seen], expected.losses[:seen], rtol=LOSS_TOLERANCE)
    assert np.abs(np.subtract(found.losses, expected.losses))[seen:].max() > 0.1
    assert difference(found, expected) > 0.1


@dtypes
@accumulations
@momenta
def test_the_context_module_learns_from_mirrored_maps_as_the_authors_teach_it(
    momentum: float, accumulation: int, dtype: torch.dtype
) -> None:
    batches = stream(Mirror.cells, BATCH // accumulation)
    found = ours("context", batches, momentum, accumulation=accumulation, dtype=dtype)
    expected = authors_context(momentum)
    np.testing.assert_allclose(found.losses, expected.losses, rtol=LOSS_TOLERANCE)
    assert difference(found, expected) < TOLERANCES[dtype]
    start = weights_of(network())
    for name, weights in found.weights.items():
        assert np.array_equal(weights, start[name]) == name.startswith("frontend."), name


def test_mirrored_images_would_teach_the_context_module_something_else() -> None:
    def pixels(first: int, last: int) -> Iterator[Batch]:
        for batch in stream(Mirror.cells, BATCH)(first, last):
            assert batch.mirrored_B is not None
            choice_B11 = batch.mirrored_B[:, None, None]
            images = torch.where(choice_B11[..., None], batch.images_B3HW.flip(-1), batch.images_B3HW)
            yield Batch(images, torch.where(choice_B11, batch.labels_BHW.flip(-1), batch.labels_BHW), batch.names)

    assert difference(ours("context", pixels, 0.9), authors_context(0.9)) > 0.01


def test_labels_sampled_in_a_mirrored_image_lie_7_px_further() -> None:
    """Cell i holds pixel 8i; from the other edge of w cells, 8 (w - 1 - i) + 7."""
    columns_BHW = torch.arange(WIDTH, dtype=torch.uint8).expand(1, HEIGHT, WIDTH)
    targets = CrossEntropy(LossConfig(), stride=8, node_offset_px=0).targets
    assert torch.equal(targets(columns_BHW.flip(-1)) - targets(columns_BHW).flip(-1), torch.full((1, 4, 5), 7))
