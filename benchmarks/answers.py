"""Answers: whole images by the released VOC network's layers, large ones from their cells, the counting of pixels."""

import tempfile
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assembly.exported_formats import quiet, read_onnx, traced, write_onnx
from assembly.labeller import WHOLE, Labeller
from benchmarks.harness import Task, Unavailable, Work
from benchmarks.peaks import Peaks, multiply_adds_on_the_map
from benchmarks.plain import PlainNetwork, label, largest_share, normalized
from benchmarks.rows import Group, Measured, Pairing
from benchmarks.steps import PRECISIONS, of_products
from configs.compose import compose
from configs.schema import VOID, ModelConfig, Precision
from data.labels import VOC
from engine.evaluation.answers import answer
from engine.evaluation.inference import round_up
from engine.evaluation.metrics import Confusion
from engine.process.heap import keep_freed_memory
from engine.runtime import Runtime
from models.build import build_context, build_segmenter
from models.geometry import Layer, margin
from models.layers import NUM_COLOURS, context_layers, frontend_layers
from models.segmenter import Segmenter

IMAGE_PX = (375, 500)
OPSET = 18
# Ratios that are wanted of ours, by what is compared and our precision.
WANTED = {("opencv", "float32"): 1.7, ("opencv", "bfloat16"): 3.5, ("onnxruntime", "float32"): 1.0}
OTHERS = {"opencv": "OpenCV", "onnxruntime": "ONNX Runtime"}
LARGE_PX, LARGE_CLASSES = (1024, 2048), 19
COUNTED_PX, COUNTED_CLASSES = (3000, 4000), 150


@cache
def voc_config() -> ModelConfig:
    """Dilation8 as it was released for VOC."""
    return compose(["model=dilation8_voc"]).model


def voc_layers(config: ModelConfig) -> tuple[Layer, ...]:
    """Front end and context module."""
    classes = VOC.num_classes
    return (
        *frontend_layers(config.frontend, config.padding, classes),
        *context_layers(config.context, classes),
    )


def voc_network(config: ModelConfig) -> Segmenter:
    """Random weights, to answer with."""
    model, _ = build_segmenter(config, VOC.num_classes, (), seed=0)
    model.insert_context(build_context(config, VOC.num_classes, seed=0))
    return model.eval()


def random_image() -> Tensor:
    """uint8 (1, 3, H, W)."""
    return torch.randint(0, 256, (1, 3, *IMAGE_PX), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def paddings(config: ModelConfig) -> tuple[int, int, int, int]:
    """Pixels that are reflected above, below, left and right: the margin, and what whole cells lack."""
    edge = margin(frontend_layers(config.frontend, config.padding))
    bottom, right = (round_up(side, 8) - side + edge for side in IMAGE_PX)
    return edge, bottom, edge, right


def padded_px(config: ModelConfig) -> tuple[int, int]:
    """Height and width of what the network is given."""
    top, bottom, left, right = paddings(config)
    return IMAGE_PX[0] + top + bottom, IMAGE_PX[1] + left + right


def this_runtime(precision: Precision) -> Runtime:
    """As eval.py has it, on as many threads as torch has."""
    keep_freed_memory()
    return Runtime(torch.device("cpu"), precision, torch.get_num_threads())


def our_answer(precision: Precision) -> Work:
    """As eval.py answers, protocol=whole: bytes to class ids."""
    model, images_B3HW = voc_network(voc_config()), random_image()
    runtime = this_runtime(precision)

    def work() -> None:
        with torch.inference_mode(), runtime.autocast():
            answer(model, WHOLE, runtime, images_B3HW)

    return work


def plain_answer(precision: Precision) -> Work:
    """The same layers in a loop, everything else by torch's functions."""
    config, images_B3HW = voc_config(), random_image()
    network = PlainNetwork(voc_layers(config)).eval()
    top, bottom, left, right = paddings(config)

    def work() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            inputs = normalized(images_B3HW, config.mean_rgb, config.scale_rgb[0])
            label(network, torch.nn.functional.pad(inputs, (left, right, top, bottom), mode="reflect"), IMAGE_PX)

    return work


def opencv_answer() -> Work:
    """The same layers by OpenCV's networks, float32, and its functions for everything else."""
    if not hasattr(cv2, "dnn"):
        raise Unavailable("this OpenCV has no cv2.dnn")
    config = voc_config()
    path = Path(tempfile.mkdtemp()) / "plain.onnx"
    example = torch.zeros(1, NUM_COLOURS, *padded_px(config))
    with quiet():
        torch.onnx.export(
            PlainNetwork(voc_layers(config)).eval(),
            (example,),
            path,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
            external_data=False,  # OpenCV reads no weights from beside the network
        )
    try:
        network = cv2.dnn.readNetFromONNX(str(path))
    except cv2.error as error:
        raise Unavailable(f"cv2.dnn cannot read the network: {error}") from error
    image_HW3 = np.ascontiguousarray(random_image()[0].permute(1, 2, 0).numpy())
    return partial(opencv_ids, network, image_HW3, config)


def opencv_ids(network: cv2.dnn.Net, image_HW3: NDArray[np.uint8], config: ModelConfig) -> NDArray[np.uint8]:
    """Class ids (H, W)."""
    padded = cv2.copyMakeBorder(image_HW3, *paddings(config), cv2.BORDER_REFLECT_101)
    network.setInput(cv2.dnn.blobFromImage(padded, config.scale_rgb[0], mean=(*config.mean_rgb, 0.0)))
    logits_hwK = np.ascontiguousarray(network.forward()[0].transpose(1, 2, 0))
    shares_hwK = np.exp(logits_hwK - logits_hwK.max(2, keepdims=True))
    shares_hwK /= shares_hwK.sum(2, keepdims=True)
    shares_HWK = cv2.resize(shares_hwK, (IMAGE_PX[1], IMAGE_PX[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(shares_HWK.argmax(2), np.uint8)


def onnxruntime_answer() -> Work:
    """The program that export.py writes, float32: bytes to class ids."""
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise Unavailable(f"{error.name} is not installed; it is in the extra export") from error
    path = Path(tempfile.mkdtemp()) / "model.onnx"
    with path.open("wb") as file:
        write_onnx(file, traced(Labeller(voc_network(voc_config()), VOC)), {}, OPSET)
    return partial(read_onnx(path), random_image())


def our_large_answer() -> Work:
    """Logits at the cells of a large image to class ids at its pixels, a band of rows at a time."""
    config = compose(["frontend=small", "model.padding=zero"]).model
    model, _ = build_segmenter(config, LARGE_CLASSES, (), seed=0)  # not run: its maps are given
    runtime = this_runtime("float32")
    logits_BKhw, images_B3HW = large_logits(), torch.zeros(1, 3, *LARGE_PX, dtype=torch.uint8)

    def work() -> None:
        with torch.inference_mode():
            answer(model, WHOLE, runtime, images_B3HW, lambda _: logits_BKhw)

    return work


def plain_large_answer() -> Work:
    """The same with all classes at all pixels in between."""
    logits_BKhw = large_logits()

    def work() -> None:
        with torch.inference_mode():
            largest_share(logits_BKhw.softmax(1), LARGE_PX)

    return work


def large_logits() -> Tensor:
    """(1, K, h, w)"""
    return torch.randn(1, LARGE_CLASSES, LARGE_PX[0] // 8, LARGE_PX[1] // 8)


def our_counts() -> Work:
    """Predictions and truth as bytes to a confusion matrix."""
    predicted, truth = (torch.from_numpy(labels)[None] for labels in random_labels())

    def work() -> None:
        Confusion(COUNTED_CLASSES).add(predicted, truth)

    return work


def numpy_counts() -> Work:
    """The same by numpy."""
    return partial(numpy_confusion, *random_labels())


def numpy_confusion(predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(K, K), by the lines that most segmentation code counts with."""
    valid = truth != VOID
    pairs = COUNTED_CLASSES * truth[valid].astype(int) + predicted[valid]
    return np.bincount(pairs, minlength=COUNTED_CLASSES**2).reshape(COUNTED_CLASSES, COUNTED_CLASSES)


def random_labels() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Predicted and true class ids (H, W), a tenth of the latter void."""
    random = np.random.default_rng(0)
    predicted, truth = (random.integers(0, COUNTED_CLASSES, COUNTED_PX, dtype=np.uint8) for _ in range(2))
    truth[random.random(COUNTED_PX) < 0.1] = VOID
    return predicted, truth


def groups(threads: int) -> Iterator[Group]:
    """Whole images by all contestants in turn, then what follows the network."""
    yield whole_images(threads)
    yield large_answers(threads)
    yield counts(threads)


def whole_images(threads: int) -> Group:
    """ONNX Runtime and OpenCV compute in float32 always, and the rows say so."""
    tasks = {f"answer, {name}": Task(build, {}, threads)
             for name, build in (("opencv", opencv_answer), ("onnxruntime", onnxruntime_answer))}  # fmt: skip
    config = voc_config()
    layers, input_px = voc_layers(config), padded_px(config)
    pairings = []
    for precision in PRECISIONS:
        spares_products = precision == "float32"
        multiply_adds = sum(multiply_adds_on_the_map(layers, NUM_COLOURS, input_px, spares_products))
        case, limit = f"answer, 375x500, {precision}", of_products(multiply_adds, precision)
        ours, plain = f"answer, ours, {precision}", f"answer, plain, {precision}"
        tasks |= {
            ours: Task(our_answer, {"precision": precision}, threads),
            plain: Task(plain_answer, {"precision": precision}, threads),
        }
        pairings.append(Pairing(case, ours, plain, "nn.Conv2d in a loop", limit))
        theirs = "" if precision == "float32" else " (theirs float32)"
        for name, title in OTHERS.items():
            target = WANTED.get((name, precision))
            pairings.append(Pairing(f"{case}{theirs}, {title}", ours, f"answer, {name}", title, limit, target=target))
    return Group(tasks, pairings, uses_products=True)


def large_answers(threads: int) -> Group:
    """Time and memory: seconds of at least one multiply-add for each class and pixel, the bytes of the answer."""
    ours, plain, title = "large answer, ours", "large answer, plain", "interpolate + argmax"
    tasks = {ours: Task(our_large_answer, {}, threads), plain: Task(plain_large_answer, {}, threads)}
    height, width = LARGE_PX
    case = f"large answer, {height}x{width}, {LARGE_CLASSES} classes"
    time_limit = of_products(LARGE_CLASSES * height * width, "float32")

    def memory_limit(_: Measured, __: Peaks) -> float:
        return height * width / 2**20

    pairings = [
        Pairing(case, ours, plain, title, time_limit),
        Pairing(f"{case}, memory", ours, plain, title, memory_limit, unit="MiB"),
    ]
    return Group(tasks, pairings, uses_products=True)


def counts(threads: int) -> Group:
    """Both maps have to be read once."""
    ours, theirs = "counts, ours", "counts, numpy"
    tasks = {ours: Task(our_counts, {}, threads), theirs: Task(numpy_counts, {}, threads)}
    height, width = COUNTED_PX

    def limit(_: Measured, peaks: Peaks) -> float:
        return 2 * height * width / peaks.bytes_per_s

    name = f"confusion counts, {height}x{width}, {COUNTED_CLASSES} classes (wanted: under 1 s)"
    return Group(tasks, [Pairing(name, ours, theirs, "numpy's bincount", limit)])
