"""Training steps at full width: forward, loss, backward, SGD, on one crop."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.harness import Task, Unavailable, Work, median_call_s
from benchmarks.peaks import DTYPES, Peaks, multiply_adds_on_the_map, training_multiply_adds
from benchmarks.plain import PlainNetwork, normalized, training_step
from benchmarks.rows import Group, Limit, Measured, Note, Pairing
from configs.compose import compose
from configs.schema import ModelConfig, Padding, Precision, StageConfig, ValidationConfig
from data.loaders import Batch
from engine.contracts import TrainBatch
from engine.evaluation.answers import answer
from engine.evaluation.grid import upsample
from engine.listener import SilentListener
from engine.process.heap import keep_freed_memory
from engine.process.ranks import ALONE, Ranks
from engine.process.stop import StopRequest
from engine.runs.progress import Progress
from engine.runtime import Runtime
from engine.training.loop import StageLoop
from engine.training.losses import CrossEntropy
from engine.training.optimizers import build_optimizer, set_lr
from models.build import build_context, build_segmenter
from models.convolution import Conv2d
from models.geometry import Layer, margin, out_size
from models.layers import NUM_COLOURS, context_layers, frontend_layers
from models.segmenter import Segmenter

NUM_CLASSES = 21
NETWORKS = {"front end": None, "front end + Basic": "basic", "front end + Large": "large"}
CROPS_PX = (128, 256)
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
BORDERS: dict[Padding, str] = {"zero": "padded", "reflect": "unpadded"}  # what the convolutions are
MEAN_RGB, SCALE = (120.0, 115.0, 105.0), 1 / 58
LR = 1e-6  # random labels: a step must be taken, and lead nowhere
PLAIN, FCN = "nn.Conv2d in a loop", "torchvision's FCN-ResNet50"
VARIED = ("front end + Basic", 128, "float32", "zero")  # the step that is also taken in other ways


@dataclass(frozen=True)
class Place:
    """Where a step is taken: a device of torch's, how many crops, and what multiplies the front end's channels."""

    device: str = "cpu"
    batch: int = 1
    width: float = 1.0


HERE = Place()


@cache
def model_config(network: str, padding: Padding, width: float = 1.0) -> ModelConfig:
    """Of one of NETWORKS; without a context module its `context` means nothing."""
    context = f"context={NETWORKS[network] or 'basic'}"
    return compose(["frontend=vgg16", context, f"model.padding={padding}", f"model.frontend.width={width}"]).model


def layers_of(network: str, config: ModelConfig) -> tuple[Layer, ...]:
    """Every convolution and pooling, the context module's behind those of the front end."""
    context = context_layers(config.context, NUM_CLASSES) if NETWORKS[network] else ()
    return (*frontend_layers(config.frontend, config.padding, NUM_CLASSES), *context)


def input_px(config: ModelConfig, crop_px: int) -> tuple[int, int]:
    """Height and width of a square crop with its margin."""
    side = crop_px + 2 * margin(frontend_layers(config.frontend, config.padding))
    return side, side


def our_network(network: str, config: ModelConfig) -> Segmenter:
    """Random weights."""
    model, _ = build_segmenter(config, NUM_CLASSES, MEAN_RGB, seed=0)
    if NETWORKS[network]:
        model.insert_context(build_context(config, NUM_CLASSES, seed=0))
    return model


def our_step(
    network: str, crop_px: int, precision: Precision, padding: Padding, form: str = "", place: Place = HERE
) -> Work:
    """A step of our training loop, bytes in. `form`: the same network in another form, "contiguous" or of FORMS."""
    config = model_config(network, padding, place.width)
    model = our_network(network, config).to(place.device)
    if form == "contiguous":
        model = model.to(memory_format=torch.contiguous_format)
        model.__class__ = ContiguousSegmenter
    loop = step_loop(model, precision, place)
    batch = random_batch(config, crop_px, place.batch)
    work = repeated_step(loop, batch)
    if form in FORMS:
        try:
            FORMS[form](model.train(), batch.images_B3HW.to(place.device), loop.runtime)
            work()  # compiles
        except Unavailable:
            raise
        except Exception as error:  # of the compiler or of a capture, of any kind
            raise Unavailable(f"a step that is {form} failed: {type(error).__name__}: {error}") from error
    return work


def repeated_step(loop: StageLoop, batch: TrainBatch) -> Work:
    """A step of the loop on this batch, again and again."""

    def batches(first: int, last: int) -> Any:
        yield from itertools.repeat(batch, last - first)

    return lambda: loop.run(Progress("joint"), batches, lambda: None, lambda: None)


def step_loop(model: Segmenter, precision: Precision, place: Place = HERE, ranks: Ranks = ALONE) -> StageLoop:
    """The training loop for one step at a time, which saves and validates nothing; under torch's rules as they are."""
    keep_freed_memory()
    stage = StageConfig(steps=1, batch=place.batch, lr=LR)
    return StageLoop(
        config=stage,
        model=model,
        optimizer=build_optimizer(stage.optimizer, model.named_parameters()),
        loss=CrossEntropy(stage.loss, model.stride, model.node_offset_px, model.head),
        runtime=Runtime(torch.device(place.device), precision, torch.get_num_threads(), ranks),
        listener=SilentListener(),
        stop=StopRequest(),
        save_steps=1,
    )


class ContiguousSegmenter(Segmenter):
    """Maps in torch's default memory format."""

    def normalized(self, images_B3HW: Tensor) -> Tensor:
        return super().normalized(images_B3HW).contiguous()


def compile_parts(model: Segmenter, _: Tensor, __: Runtime, mode: str | None = None) -> None:
    """Front end and context module, each as a whole; `mode` is torch.compile's."""
    for part in (model.frontend, model.context):
        if part is not None:
            part.compile(mode=mode)


def capture_parts(model: Segmenter, images_B3HW: Tensor, runtime: Runtime) -> None:
    """Front end and context module as CUDA graphs, each with its backward pass, for images of this size on the GPU."""
    if runtime.device.type != "cuda":
        raise Unavailable("CUDA graphs need a GPU")
    inputs_B3HW = model.normalized(images_B3HW)
    # A graph may not hold a cast of a weight that was made outside of it, so autocast keeps none.
    with torch.autocast("cuda", torch.bfloat16, enabled=runtime.precision == "bfloat16", cache_enabled=False):
        maps_BKhw = model.frontend(inputs_B3HW).detach().requires_grad_()
        if model.context is None:
            torch.cuda.make_graphed_callables(model.frontend, (inputs_B3HW,))
        else:
            torch.cuda.make_graphed_callables((model.frontend, model.context), ((inputs_B3HW,), (maps_BKhw,)))


FORMS: dict[str, Callable[[Segmenter, Tensor, Runtime], None]] = {
    "compiled": compile_parts,
    "compiled with graphs": partial(compile_parts, mode="reduce-overhead"),
    "graphs": capture_parts,
}


def random_batch(config: ModelConfig, crop_px: int, batch: int = 1, num_classes: int = NUM_CLASSES) -> Batch:
    """Images with their margin, and their labels."""
    torch.manual_seed(0)
    images_B3HW = torch.randint(0, 256, (batch, 3, *input_px(config, crop_px)), dtype=torch.uint8)
    labels_BHW = torch.randint(0, num_classes, (batch, crop_px, crop_px), dtype=torch.uint8)
    return Batch(images_B3HW, labels_BHW, ["random"] * batch)


def plain_step(network: str, crop_px: int, precision: Precision, padding: Padding, place: Place = HERE) -> Work:
    """The same layers, labels and optimizer, written the obvious way."""
    config = model_config(network, padding, place.width)
    plain = PlainNetwork(layers_of(network, config), config.frontend.dropout).to(place.device)
    optimizer = torch.optim.SGD(plain.parameters(), lr=LR, momentum=0.9, weight_decay=5e-4)
    batch = random_batch(config, crop_px, place.batch)

    def work() -> None:
        inputs_B3HW = normalized(batch.images_B3HW.to(place.device), MEAN_RGB, SCALE)
        labels_Bhw = batch.labels_BHW[:, ::8, ::8].long().to(place.device)
        training_step(plain, optimizer, inputs_B3HW, labels_Bhw, DTYPES[precision])

    return work


def fcn_step(crop_px: int, precision: Precision) -> Work:
    """A step of another network, whose logits are enlarged to the pixels of the crop."""
    from torchvision.models.segmentation import fcn_resnet50

    network = Logits(fcn_resnet50(weights=None, weights_backbone=None, num_classes=NUM_CLASSES))
    optimizer = torch.optim.SGD(network.parameters(), lr=LR, momentum=0.9, weight_decay=5e-4)
    batch = random_batch(model_config("front end", "zero"), crop_px)

    def work() -> None:
        inputs_B3HW = normalized(batch.images_B3HW, MEAN_RGB, SCALE)
        training_step(network, optimizer, inputs_B3HW, batch.labels_BHW.long(), DTYPES[precision])

    return work


class Logits(nn.Module):
    """torchvision's networks answer with a dictionary."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_B3HW: Tensor) -> Tensor:
        logits_BKHW: Tensor = self.network(images_B3HW)["out"]
        return logits_BKHW


def fc6(kind: str, crop_px: int, precision: Precision, padding: Padding) -> Work:
    """Forward and backward of the layer, all gradients; `kind` is "ours" or "plain"."""
    layer, in_channels, size = fc6_layer(crop_px, padding)
    if kind == "ours":
        keep_freed_memory()
    return convolution_step({"ours": Conv2d, "plain": nn.Conv2d}[kind], layer, in_channels, size, precision)


def fc6_layer(crop_px: int, padding: Padding) -> tuple[Layer, int, tuple[int, int]]:
    """The layer, the channels of its input, and its height and width in cells."""
    config = model_config("front end", padding)
    for layer, in_channels, size in inputs_of(layers_of("front end", config), input_px(config, crop_px)):
        if layer.name == "fc6":
            return layer, in_channels, size
    raise AssertionError("every front end has a layer fc6")


def inputs_of(layers: Sequence[Layer], size: tuple[int, int]) -> Iterator[tuple[Layer, int, tuple[int, int]]]:
    """Each layer with the channels, height and width of its input; `size` is that of the first."""
    in_channels = NUM_COLOURS
    for layer in layers:
        yield layer, in_channels, size
        size = out_size([layer], size[0]), out_size([layer], size[1])
        in_channels = layer.out_channels


def convolution_step(
    kind: type[nn.Conv2d], layer: Layer, in_channels: int, size: tuple[int, int], precision: Precision
) -> Work:
    """Forward and backward of one convolution on channels-last maps; of the image itself there is no gradient."""
    torch.manual_seed(0)
    last = torch.channels_last
    module = kind(in_channels, layer.out_channels, layer.kernel, dilation=layer.dilation, padding=layer.padding)
    module = module.to(memory_format=last)
    maps = torch.randn(1, in_channels, *size).contiguous(memory_format=last)
    maps.requires_grad_(in_channels != NUM_COLOURS)

    def work() -> None:
        module.zero_grad(set_to_none=True)
        maps.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            output = module(maps)
        output.backward(torch.ones_like(output))

    return work


def layer_seconds(crop_px: int, precision: Precision, padding: Padding) -> Work:
    """The work returns, of every convolution of the front end: name, seconds forward and backward, multiply-adds."""
    keep_freed_memory()
    config = model_config("front end", padding)
    layers = layers_of("front end", config)

    def work() -> list[tuple[str, float, int]]:
        results = []
        for layer, in_channels, size in inputs_of(layers, input_px(config, crop_px)):
            if not layer.is_pooling:
                passes = 2 if in_channels == NUM_COLOURS else 3
                (multiply_adds,) = multiply_adds_on_the_map([layer], in_channels, size)
                step = convolution_step(Conv2d, layer, in_channels, size, precision)
                results.append((layer.name, median_call_s(step), passes * multiply_adds))
        return results

    return work


def layer_lines(precision: Precision, results: Sequence[tuple[str, float, int]], peaks: Peaks) -> list[str]:
    """Fraction of the peak that each layer reaches."""
    reached = [f"{name} {peaks.seconds(count, precision) / seconds:.0%}" for name, seconds, count in results]
    return ["of the peak: " + ", ".join(reached)]


def step_parts(network: str, crop_px: int, precision: Precision, padding: Padding) -> Work:
    """The work returns the seconds of a step, of some parts of it, and of answering the crop as a validation does."""
    config = model_config(network, padding)
    model = our_network(network, config)
    loop = step_loop(model, precision)
    batch = random_batch(config, crop_px)
    whole = our_step(network, crop_px, precision, padding)
    cells = batch.labels_BHW[:, ::8, ::8]
    logits_BKhw = torch.randn(1, NUM_CLASSES, *cells.shape[-2:]).requires_grad_()
    targets = loop.loss.targets(batch.labels_BHW)
    set_lr(loop.optimizer, LR)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    size = (crop_px, crop_px)
    parts: dict[str, Work] = {
        "loss and its gradient": lambda: loop.loss.total(logits_BKhw, targets).backward(),  # type: ignore[no-untyped-call]
        "label sampling": lambda: loop.loss.targets(batch.labels_BHW),
        "norm of the gradient": lambda: nn.utils.clip_grad_norm_(list(model.parameters()), float("inf")),
        "optimizer": loop.optimizer.step,
        "validation's interpolation": lambda: upsample(logits_BKhw.detach(), size, model.stride, model.node_offset_px),
        "validation's answer from the cells": partial(answer_from_cells, model, loop.runtime, logits_BKhw, crop_px),
    }

    def work() -> dict[str, float]:
        return {"step": median_call_s(whole), **{name: median_call_s(part) for name, part in parts.items()}}

    return work


def answer_from_cells(model: Segmenter, runtime: Runtime, logits_BKhw: Tensor, crop_px: int) -> Tensor:
    """Class ids (1, H, W) of a square image whose logits are given."""
    images_B3HW = torch.zeros(1, 3, crop_px, crop_px, dtype=torch.uint8)
    with torch.inference_mode():
        return answer(model, ValidationConfig(), runtime, images_B3HW, lambda _: logits_BKhw).ids_BHW


def share_lines(seconds: dict[str, float], peaks: Peaks) -> list[str]:
    """Each part's seconds over those of the step."""
    step_s = seconds["step"]
    shares = [f"{name} {part_s / step_s:.2%}" for name, part_s in seconds.items() if name != "step"]
    return [f"of a step of {step_s:.2f} s: " + ", ".join(shares)]


def groups(threads: int) -> Iterator[Group]:
    """fc6 alone first: where stock's does not end, the steps that hold it are not tried."""
    for crop_px, padding, precision in itertools.product(CROPS_PX, BORDERS, PRECISIONS):
        yield fc6_group(threads, crop_px, padding, precision)
    for network, crop_px, padding, precision in itertools.product(NETWORKS, CROPS_PX, BORDERS, PRECISIONS):
        if padding == "zero" or network == VARIED[0]:  # unpadded ones take twice as long: one network tells
            yield step_group(threads, network, crop_px, padding, precision)
    for precision in PRECISIONS:
        yield note_group(threads, precision)


def fc6_group(threads: int, crop_px: int, padding: Padding, precision: Precision) -> Group:
    """The map of an unpadded crop, which has a margin, is the larger one."""
    case, padded = (f"{crop_px} px, {precision}, {borders}" for borders in (BORDERS[padding], BORDERS["zero"]))
    layer, in_channels, size = fc6_layer(crop_px, padding)
    (multiply_adds,) = multiply_adds_on_the_map([layer], in_channels, size)
    arguments = {"crop_px": crop_px, "precision": precision, "padding": padding}
    ours, plain = f"fc6 ours, {case}", f"fc6 plain, {case}"
    tasks = {
        ours: Task(fc6, {"kind": "ours", **arguments}, threads),
        plain: Task(
            fc6, {"kind": "plain", **arguments}, threads, includes=None if case == padded else f"fc6 plain, {padded}"
        ),
    }
    limit = of_products(3 * multiply_adds, precision)
    return Group(tasks, [Pairing(f"fc6, {case}", ours, plain, "nn.Conv2d", limit)], uses_products=True)


def step_group(threads: int, network: str, crop_px: int, padding: Padding, precision: Precision) -> Group:
    case = f"{crop_px} px, {precision}, {BORDERS[padding]}"
    config = model_config(network, padding)
    multiply_adds = training_multiply_adds(layers_of(network, config), NUM_COLOURS, input_px(config, crop_px))
    limit = of_products(multiply_adds, precision)
    arguments = {"network": network, "crop_px": crop_px, "precision": precision, "padding": padding}
    ours, plain, fcn = (f"{kind}, {network}, {case}" for kind in ("ours", "plain", "fcn"))
    tasks = {
        ours: Task(our_step, arguments, threads),
        plain: Task(plain_step, arguments, threads, includes=f"fc6 plain, {case}"),
    }
    pairings = [Pairing(f"step, {network}, {case}", ours, plain, PLAIN, limit)]
    if padding == "zero":  # an unpadded crop is given more pixels than FCN is
        tasks[fcn] = Task(fcn_step, {"crop_px": crop_px, "precision": precision}, threads)
        pairings.append(Pairing(f"step, {network}, {case}, FCN", ours, fcn, FCN, limit, orientation=True))
    if (network, crop_px, precision, padding) == VARIED:
        tasks |= {
            "contiguous": Task(our_step, {**arguments, "form": "contiguous"}, threads),
            "one thread": Task(our_step, arguments, threads=1),
            "compiled": Task(our_step, {**arguments, "form": "compiled"}, threads),
        }
        pairings += [
            Pairing(f"memory format, {network}, {case}", ours, "contiguous", "ours, contiguous", limit),
            Pairing(f"threads: {threads}, {network}, {case}", ours, "one thread", "ours, 1 thread", limit),
            Pairing(f"not compiled, {network}, {case}", ours, "compiled", "ours, torch.compile", limit),
        ]
    return Group(tasks, pairings, uses_products=True)


def note_group(threads: int, precision: Precision) -> Group:
    network, crop_px, padding = "front end + Basic", 256, "zero"
    case = f"{crop_px} px, {precision}, {BORDERS['zero']}"
    arguments = {"crop_px": crop_px, "precision": precision, "padding": padding}
    layers, parts = f"layers of the front end, {case}", f"parts of a step, {network}, {case}"
    tasks = {
        layers: Task(layer_seconds, arguments, threads),
        parts: Task(step_parts, {"network": network, **arguments}, threads),
    }
    notes = [Note(layers, layers, partial(layer_lines, precision)), Note(parts, parts, share_lines)]
    return Group(tasks, notes=notes, uses_products=True)


def of_products(multiply_adds: float, precision: Precision) -> Limit:
    """The seconds of so many multiply-adds at the peak."""

    def limit(_: Measured, peaks: Peaks) -> float:
        return peaks.seconds(multiply_adds, precision)

    return limit
