"""The walk through a step, against sums worked out by hand and what torch's allocator hands out."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from configs.compose import compose
from configs.schema import AnalyzeConfig, Config, ContextConfig, ModelConfig, OptimizerConfig, StageConfig
from engine.training.losses import CrossEntropy
from engine.training.optimizers import build_optimizer, set_lr
from models.build import build_context, build_segmenter
from models.memory import Setting, StageMemory, scoring_memory, stage_memory
from models.training_cost import training_bytes

NUM_CLASSES = 5
MIB, GIB = 2**20, 2**30
SMALL = ["frontend=small", "stage.joint.batch=4"]
NARROW = ["frontend=light", "model.frontend.width=0.25", "model.padding=zero", "stage.joint.batch=2"]
CITYSCAPES = ["experiment=cityscapes", "data.root=.", "runtime.precision=bfloat16"]
STEPS = {
    "front end alone": (SMALL, "frontend"),
    "loss at the pixels": (SMALL, "joint"),
    "loss at the cells": ([*SMALL, "stage.joint.loss.grid=cells"], "joint"),
    "passes": ([*SMALL, "stage.joint.accumulation=2"], "joint"),
    "computed again": ([*SMALL, "stage.joint.checkpoint_activations=true"], "joint"),
    "dropout": (NARROW, "joint"),
    "frozen blocks": ([*NARROW, "stage.joint.frozen_blocks=2"], "joint"),
    "dropout computed again": ([*NARROW, "stage.joint.checkpoint_activations=true"], "joint"),
    "context alone": ([*SMALL, "stage.context.maps=computed"], "context"),
    "context with passes": ([*SMALL, "stage.context.maps=computed", "stage.context.accumulation=4"], "context"),
}


def setting_of(config: Config, stage: str, num_classes: int = NUM_CLASSES, **others: Any) -> Setting:
    settings: StageConfig = getattr(config.stage, stage)
    is_bfloat16 = config.runtime.precision == "bfloat16"
    known = {"images": settings.batch // settings.accumulation, "is_bfloat16": is_bfloat16, "device": "cpu", **others}
    return Setting(config.model, settings, stage, num_classes, **known)


def allocated_at_most(config: Config, stage: str) -> int:
    """In a step beyond what is there between two of them: torch's own count of bytes, gradients included."""
    settings: StageConfig = getattr(config.stage, stage)
    model, _ = build_segmenter(config.model, NUM_CLASSES, (), seed=0)
    if stage != "frontend":
        model.insert_context(build_context(config.model, NUM_CLASSES, seed=0))
    model.freeze(frontend=stage == "context", blocks=settings.frozen_blocks)
    model.checkpoint_activations(settings.checkpoint_activations)
    model.train()
    optimizer = build_optimizer(settings.optimizer, model.named_parameters())
    set_lr(optimizer, 1e-5)
    loss = CrossEntropy(settings.loss, model.stride, model.node_offset_px)
    images = settings.batch // settings.accumulation
    input_px = [side + 2 * model.margin_px for side in settings.crop_px]
    images_B3HW = torch.zeros(images, 3, *input_px, dtype=torch.uint8)
    labels_BHW = torch.zeros(images, *settings.crop_px, dtype=torch.uint8)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        targets = [loss.targets(labels_BHW) for _ in range(settings.accumulation)]
        for target in targets:
            with torch.autocast("cpu", torch.bfloat16, enabled=config.runtime.precision == "bfloat16"):
                logits = model(images_B3HW)
            loss.total(logits, target).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    step()
    optimizer.zero_grad(set_to_none=True)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step()
    events = sorted(
        (event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"),
        key=lambda event: event.start_ns(),
    )
    now = largest = 0
    for event in events:
        now += event.nbytes()
        largest = max(largest, now)
    return largest


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Of several threads each may have a buffer of its own for gradients in bfloat16, which the walk does not know."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("words", "stage"), STEPS.values(), ids=STEPS)
def test_the_walk_ends_at_what_torch_hands_out(words: Sequence[str], stage: str, precision: str) -> None:
    """Within 5 %: masks, casts of biases and copies of images are left out. The heap's gaps are the system's."""
    config = compose([*words, f"runtime.precision={precision}"])
    memory = stage_memory(setting_of(config, stage))
    assert memory.gradients + memory.activations + memory.working == pytest.approx(
        allocated_at_most(config, stage), rel=0.05, abs=MIB
    )


def tiny(**stage: Any) -> StageMemory:
    """One 3x3 layer and the 1x1 of a context module of 2 classes, on kept maps of 8 x 8 cells, one image."""
    settings = StageConfig(**{"batch": 1, "crop_px": [64, 64], "maps": "cached", **stage})
    model = ModelConfig(context=ContextConfig(dilations=[1]))
    return stage_memory(Setting(model, settings, "context", 2, 1, is_bfloat16=False, device="cuda"))


def test_a_step_of_two_layers_counted_by_hand() -> None:
    """Every map has 2 * 64 values of 4 bytes, 512; the weights that learn are 38 and 6, 176 bytes.

    The largest moment is the loss: the inputs of both layers, the logits, and log-softmax with two gradients.
    """
    memory = tiny()
    assert (memory.trained, memory.optimizer, memory.gradients) == (176, 176, 0)
    assert (memory.activations, memory.working) == (2 * 512, 512 + 3 * 512)
    assert memory.inputs == 512 + 64 * 64 + 64 * 8  # maps, labels, targets at the cells


def test_gradients_of_passes_lie_there_all_the_time_and_inputs_of_all_passes_on_a_cpu() -> None:
    assert tiny(batch=2, accumulation=2).gradients == 176


@pytest.mark.parametrize(
    ("optimizer", "values"),
    [
        (OptimizerConfig(name="adamw"), 2),
        (OptimizerConfig(name="sgd"), 1),
        (OptimizerConfig(name="sgd", momentum=0.0), 0),
        (OptimizerConfig(name="sgd", momentum=0.0, momentum_form="caffe"), 1),
    ],
)
def test_an_optimizer_keeps_so_many_values_of_every_weight(optimizer: OptimizerConfig, values: int) -> None:
    assert tiny(optimizer=optimizer).optimizer == values * 176
    model = torch.nn.Conv2d(2, 2, 3)
    built = build_optimizer(optimizer, model.named_parameters())
    model(torch.zeros(1, 2, 3, 3)).sum().backward()
    built.step()
    kept = [value for state in built.state.values() for value in state.values()]
    tensors = [value for value in kept if isinstance(value, torch.Tensor) and value.dim() > 0]
    assert sum(tensor.numel() for tensor in tensors) == values * sum(p.numel() for p in model.parameters())


def test_the_joint_recipe_of_cityscapes_fits_a_gpu_of_16_gib_in_bfloat16() -> None:
    """Input 1396 px, batch 1: 3.5 GiB with all activations kept, 2.5 with only the blocks' inputs."""
    config = compose(CITYSCAPES)
    setting = setting_of(config, "joint", 19, device="cuda")
    kept = stage_memory(setting).total / GIB
    again = compose([*CITYSCAPES, "stage.joint.checkpoint_activations=true"])
    computed_again = stage_memory(setting_of(again, "joint", 19, device="cuda")).total / GIB
    assert (round(kept, 1), round(computed_again, 1)) == (3.5, 2.5) and kept < 16


def test_an_analysis_and_a_stage_of_the_same_settings_take_the_same() -> None:
    config = compose(CITYSCAPES)
    taken = training_bytes(AnalyzeConfig(model=config.model, num_classes=19, crop_px=[1024, 1024]))
    assert taken["cuda bfloat16"]["kept"] == stage_memory(setting_of(config, "joint", 19, device="cuda")).total


def test_scoring_takes_the_largest_layer_alone() -> None:
    """Of the small front end on 64 x 64 px without padding the first pooling: 24 channels, 62 to 31 px, and indices."""
    settings = setting_of(compose(["frontend=small"]), "frontend", images=1)
    assert scoring_memory(settings, (64, 64)) == 24 * 62**2 * 4 + 24 * 31**2 * (4 + 8)
