"""One step of several processes: the gradient of one process, from the same images."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers import ranks
from tests.helpers.pictures import noise, write_pixels
from tests.helpers.programs import ROOT

NUM_IMAGES = 7
# Front end and context learn on a batch of twelve from seven images, of which a growing part is void.
PROGRAM = """
import math
import sys

sys.path.insert(0, sys.argv[1])

import torch
from torch import nn

from assembly.feed import Feed
from configs.compose import compose
from data.build import open_images
from engine.process.ranks import ALONE, ranks_of_torchrun
from engine.runtime import choose_runtime
from models.build import build_segmenter
from models.context import Context
from tests.helpers.training import run_stage

WORDS = (
    ["data=folder", "data.root=set", "data.folder.class_names=[a,b,c]", "model.frontend.width=0.125"]
    + ["model.frontend.dropout=0", "model.padding=zero", "stage.joint.batch=12", "stage.joint.steps=1"]
    + ["stage.joint.crop_px=[64,64]", "stage.joint.clip_norm=0.01", "runtime.device=cpu", "runtime.precision=float32"]
    + ["runtime.threads=1", "runtime.workers=0"]
)
config = compose(WORDS)
train_set, val_set = open_images(config.data, "train"), open_images(config.data, "val")


def step(ranks, accumulation=1):
    \"\"\"Loss, gradient of every parameter, and the names of the images that this rank was given.\"\"\"
    config = compose([*WORDS, f"stage.joint.accumulation={accumulation}"])
    runtime = choose_runtime(config.runtime, ranks)
    model, _ = build_segmenter(config.model, 3, [], seed=0)
    generator = torch.Generator().manual_seed(0)
    model.insert_context(Context(config.model.context, 3, generator))
    for parameter in model.context.parameters():  # no identity: it must have a gradient of its own
        nn.init.normal_(parameter, std=0.2, generator=generator)
    feed = Feed(config, train_set, val_set, model, runtime, lambda line: None, lambda: None)
    stream, names = feed.batches("joint", config.stage.joint, seed=0), []

    def batches(first, last):
        for batch in stream(first, last):
            names.extend(batch.names)
            yield batch

    record = run_stage("joint", model, config.stage.joint, batches, runtime)
    return record, {name: parameter.grad for name, parameter in model.named_parameters()}, names


def norm(gradients):
    return math.hypot(*(float(gradient.double().norm()) for gradient in gradients))


with ranks_of_torchrun() as ranks:
    whole, gradients, names = step(ALONE)
    _, accumulated, _ = step(ALONE, ranks.size)
    together, summed, own = step(ranks)
    assert abs(together.losses[0] / whole.losses[0] - 1) < 1e-6, (together.losses, whole.losses)
    assert all(gradient.any() for gradient in gradients.values())
    seen = [name for part in ranks.gather(own) for name in part]
    assert len(names) == 12 and sorted(seen) == sorted(names), (seen, names)
    # A whole batch sums in another order than its parts: 2e-7 of the gradient; the same parts sum alike, every element.
    apart = norm([summed[name] - gradient for name, gradient in gradients.items()]) / norm(gradients.values())
    by_parts = max(float((summed[name] - part).abs().max() / part.abs().max()) for name, part in accumulated.items())
    if ranks.is_first:
        print(f"{ranks.size} processes: {apart:.1e} of the gradient apart; in the same parts, {by_parts:.1e} at most")
    assert apart < 1e-6 and by_parts < 1e-6, (apart, by_parts)
"""


@pytest.mark.parametrize("number", [2, 3, 4])
def test_a_step_of_several_processes_has_the_gradient_of_one(number: int, tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 3, (64, 64)).astype(np.uint8)
    for split in ("train", "val"):
        for image in range(NUM_IMAGES):
            label_HW = ids.copy()
            label_HW[:, 1 + 9 * image :] = 255
            write_pixels(tmp_path / "set" / split / "images" / f"{image}.png", noise(64, 64, seed=image))
            write_pixels(tmp_path / "set" / split / "labels" / f"{image}.png", label_HW)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    code, output = ranks.run(tmp_path, number, str(program), str(ROOT))
    assert code == 0 and f"{number} processes: " in output, output
