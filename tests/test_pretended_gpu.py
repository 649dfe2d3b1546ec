"""Every tensor of a network's way from bytes to answers and losses is on the device that the network is on.

No GPU is needed: torch's FakeTensorMode keeps sizes, types and devices and computes nothing, and an operation on
tensors of two devices raises, as on a GPU. The backward pass cannot be pretended, nor can what looks at a tensor's
values; that a function has come that far is what torch's error then says.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode, ShapeEnv
from torch.utils._python_dispatch import TorchDispatchMode

from assembly.labeller import Labeller
from configs.compose import compose
from configs.files import options_of
from configs.schema import Head, LossConfig, ModelConfig, Padding, ValidationConfig
from data.features import MapBatch
from data.labels import ClassSet
from data.loaders import Batch
from engine.evaluation.answers import answer, probabilities
from engine.evaluation.blocks import frontend_maps_in_blocks
from engine.evaluation.effective_field import Probe, gridding
from engine.evaluation.recorded_maps import RecordedMaps
from engine.runtime import Runtime
from engine.training.losses import CrossEntropy
from models.build import build_context, build_segmenter
from models.segmenter import Segmenter

CLASSES = ClassSet(("a", "b", "c"), ((0, 0, 0), (9, 9, 9), (0, 9, 0)))
GPU = torch.device("cuda", 0)
RUNTIME = Runtime(GPU, "float32", 1)
PROTOCOLS = {
    "whole": ValidationConfig(),
    "tiles": ValidationConfig(protocol="tiles", tile_px=[32, 40]),
    "authors": ValidationConfig(protocol="authors", tile_px=[40, 40]),
    "scales, flip": ValidationConfig(scales=[0.5, 1.0, 1.5], flip=True),
    "tiles, resized": ValidationConfig(protocol="tiles", tile_px=[32, 40], scales=[0.7]),
}
OPTIONS = {group: options_of(group) for group in ("frontend", "context")}


@contextmanager
def bfloat16() -> Iterator[None]:
    """As `torch.autocast`, which switches itself off where there is no GPU."""
    before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", before[0])
        torch.set_autocast_dtype("cuda", before[1])


def move(module: nn.Module) -> None:
    """What `.to("cuda")` does, which cannot exchange parameters for pretended ones."""
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            setattr(part, name, nn.Parameter(on_gpu(parameter), requires_grad=parameter.requires_grad))
        for name, buffer in list(part.named_buffers(recurse=False)):
            setattr(part, name, on_gpu(buffer))


def on_gpu(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=GPU)


@cache
def composed_model(frontend: str, context: str) -> ModelConfig:
    """An eighth as wide as the recipes have it."""
    return compose([f"frontend={frontend}", f"context={context}", "model.frontend.width=0.125"]).model


def network(
    frontend: str = "small",
    context: str | None = "dilation8",
    padding: Padding = "reflect",
    head: Head = "interpolated",
) -> Segmenter:
    """In evaluation mode, on the pretended GPU."""
    of_groups = composed_model(frontend, context or "dilation8")
    offset_px = 3.5 if head == "transposed" else 0.0
    config = of_groups.model_copy(update={"padding": padding, "head": head, "node_offset_px": offset_px})
    with unset_fake_temporarily():
        model, _ = build_segmenter(config, CLASSES.num_classes, (), seed=0)
        if context is not None:
            model.insert_context(build_context(config, CLASSES.num_classes, seed=0))
    move(model)
    return model.eval()


def images(height: int = 61, width: int = 83) -> Tensor:
    """On the CPU, as a loader hands them over."""
    return torch.zeros((2, 3, height, width), dtype=torch.uint8)


def is_on_gpu(*tensors: Tensor | None) -> bool:
    return all(tensor is not None and tensor.device == GPU for tensor in tensors)


@pytest.fixture(autouse=True)
def pretending() -> Iterator[None]:
    """Every tensor of a test is pretended; a number that is read from one is unknown."""
    with FakeTensorMode(shape_env=ShapeEnv()):
        yield


@pytest.mark.parametrize("head", get_args(Head))
@pytest.mark.parametrize("padding", get_args(Padding))
@pytest.mark.parametrize("frontend", OPTIONS["frontend"])
def test_every_front_end_answers_by_every_protocol(frontend: str, padding: Padding, head: Head) -> None:
    model = network(frontend, None, padding, head)
    for config in PROTOCOLS.values():
        with torch.inference_mode():
            answered = answer(model, config, RUNTIME, images(), certainty=True)
        assert is_on_gpu(*answered)
        assert answered.ids_BHW.shape == (2, 61, 83) and answered.ids_BHW.dtype == torch.uint8


@pytest.mark.parametrize("context", OPTIONS["context"])
def test_every_context_module_takes_the_maps_of_a_front_end(context: str) -> None:
    model = network("small", context)
    logits_BKhw = model(images(64 + 2 * model.margin_px, 72 + 2 * model.margin_px).to(GPU))
    assert is_on_gpu(logits_BKhw) and logits_BKhw.shape == (2, 3, 8, 9)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_mixed_precision_ends_in_float32_and_the_authors_protocol_knows_none(protocol: str) -> None:
    model, seen = network(), set[torch.dtype]()

    def maps(window_B3HW: Tensor) -> Tensor:
        logits_BKhw: Tensor = model(window_B3HW)
        seen.add(logits_BKhw.dtype)
        return logits_BKhw

    with torch.inference_mode(), bfloat16():
        shares_BKHW = probabilities(model, PROTOCOLS[protocol], images().to(GPU), maps)
    assert shares_BKHW.dtype == torch.float32
    assert seen == {torch.float32 if protocol == "authors" else torch.bfloat16}


@pytest.mark.parametrize("padding", get_args(Padding))
def test_blocks_of_a_large_image_meet_on_the_gpu(padding: Padding) -> None:
    model = network(padding=padding)
    window_B3HW = images(256, 320).to(GPU)
    whole, blocks = model.frontend_maps(window_B3HW), frontend_maps_in_blocks(model, window_B3HW, largest_px=128 * 128)
    assert is_on_gpu(blocks) and blocks.shape == whole.shape


def test_maps_that_are_kept_in_memory_or_on_disk_are_replayed_on_the_gpu() -> None:
    model, config = network(context=None), PROTOCOLS["scales, flip"]
    recorded = RecordedMaps(model)
    answer(model, config, RUNTIME, images(), recorded.recording(model))
    assert is_on_gpu(*recorded.maps)
    on_disk = RecordedMaps(model, [maps_BKhw.cpu() for maps_BKhw in recorded.maps])
    assert is_on_gpu(answer(model, config, RUNTIME, images(), on_disk.replaying(GPU)).ids_BHW)


@pytest.mark.parametrize("class_weights", [[], [1.0, 2.0, 3.0]])
@pytest.mark.parametrize(
    ("head", "grid"), [("interpolated", "cells"), ("interpolated", "pixels"), ("transposed", "pixels")]
)
def test_a_loss_is_computed_where_the_logits_are(head: Head, grid: str, class_weights: list[float]) -> None:
    model = network(head=head).train()
    config = LossConfig(grid=grid, class_weights=class_weights)  # type: ignore[arg-type]
    loss = CrossEntropy(config, model.stride, model.node_offset_px, model.head)
    side = 64 + 2 * model.margin_px
    batch = Batch(images(side, side), torch.zeros((2, 64, 64), dtype=torch.uint8), ["a", "b"])
    targets = batch.targets(loss.targets, GPU)
    with bfloat16():
        logits_BKhw = model.context(batch.frontend_maps(model.frontend_maps, GPU))  # type: ignore[misc]
    total = loss.total(logits_BKhw, targets)
    assert is_on_gpu(logits_BKhw, targets, total)
    assert logits_BKhw.dtype == torch.bfloat16 and total.dtype == torch.float32 and total.shape == ()
    with pytest.raises(GuardOnDataDependentSymNode):  # a number: of a real tensor it would be read
        loss.weight(targets)


class Reductions(TorchDispatchMode):
    """Notes how every cross-entropy over pixels adds up: 0 not at all, 2 by a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.of_losses: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "nll_loss2d_forward" in str(func):
            self.of_losses.append(args[3])
        return func(*args, **(kwargs or {}))


def test_a_gpu_adds_no_pixels_losses_up_in_any_order() -> None:
    """torch's sum does (atomicAdd in nll_loss2d); without one, every pixel has its own place."""
    targets, loss = torch.zeros(2, 8, 8, dtype=torch.int64), CrossEntropy(LossConfig(), 8, 0.0)
    for device, reduction in (("cuda", 0), ("cpu", 2)):
        with Reductions() as reductions:
            assert loss.total(torch.zeros(2, 3, 8, 8, device=device), targets.to(device)).shape == ()
        assert reductions.of_losses == [reduction]


def test_a_batch_of_kept_maps_goes_to_the_gpu_as_the_front_end_hands_them_on() -> None:
    batch = MapBatch(torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.uint8), ["a", "b"], None)
    with bfloat16():
        maps_BKhw = batch.frontend_maps(lambda images_B3HW: images_B3HW, GPU)
    targets = batch.targets(lambda labels_BHW: labels_BHW, GPU)
    assert is_on_gpu(maps_BKhw, targets) and targets.dtype == torch.int64
    assert maps_BKhw.dtype == torch.bfloat16 and maps_BKhw.is_contiguous(memory_format=torch.channels_last)


def test_a_probe_of_the_effective_field_keeps_and_gathers_maps_of_the_gpu() -> None:
    model = network()
    assert model.context is not None
    probe = Probe(model.context, [1, 1])  # without a period: whether its phases differ is in their values
    maps_BKhw = model.frontend_maps(images(64 + 2 * model.margin_px, 64 + 2 * model.margin_px).to(GPU))
    probe(maps_BKhw, model.context(maps_BKhw))
    probe.gather(RUNTIME)
    with pytest.raises(GuardOnDataDependentSymNode):
        gridding(maps_BKhw, period=2)


def test_a_module_for_other_programs_moves_as_any_other() -> None:
    model = network()
    ids_BHW, shares_BKHW = Labeller(model, CLASSES, with_probabilities=True)(images().to(GPU))
    assert is_on_gpu(ids_BHW, shares_BKHW)


@pytest.mark.parametrize("name", ["mean_rgb", "frontend.conv1_1.weight", "context.ctx_final.bias"])
def test_one_tensor_that_stays_behind_is_found(name: str) -> None:
    model = network()
    part, _, tensor = name.rpartition(".")
    owner = model.get_submodule(part)
    left_behind = getattr(owner, tensor).detach().cpu()
    setattr(owner, tensor, left_behind if name == "mean_rgb" else nn.Parameter(left_behind))
    with pytest.raises(RuntimeError, match=r"cuda:0.*cpu|cpu.*cuda:0"):
        answer(model, PROTOCOLS["whole"], RUNTIME, images())
