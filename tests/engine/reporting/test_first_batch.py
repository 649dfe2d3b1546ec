"""The first batch of each stage that reads images is drawn once into TensorBoard, and training does not notice."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from configs.compose import compose
from data.loaders import Batch
from engine.reporting.samples import first_batch_picture
from engine.runs import checkpoint
from tests.helpers.small_runs import small_run
from train import train

STEPS = 2
RUN = [
    *small_run(["frontend", "context", "joint"], limit=2, steps=STEPS, crop_px="[192,192]", validate_steps=STEPS),
    "stage.context.maps=cached",
    "data.augment.color=0.3",
    "runtime.workers=0",
    "model.frontend.dropout=0.5",
    "model.frontend.width=0.05",
]


def run(folder: Path, *words: str) -> None:
    assert train(compose([*RUN, f"run.dir={folder}", f"cache.root={folder.parent / 'cache'}", *words])) == 0


def drawn(folder: Path) -> dict[str, list[int]]:
    """The steps at which each stage has a picture of its first batch."""
    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    return {
        tag.removesuffix("/first_batch"): [event.step for event in events.Images(tag)]
        for tag in events.Tags()["images"]
        if tag.endswith("/first_batch")
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with pictures, and one without."""
    folder = tmp_path_factory.mktemp("runs")
    run(folder / "drawn", "stages=[frontend,context]")
    run(folder / "none", "stages=[frontend,context]", "run.num_pictures=0")
    return folder


def test_stages_that_read_images_have_a_picture_and_kept_maps_none(folder: Path) -> None:
    assert drawn(folder / "drawn") == {"frontend": [1]}
    assert drawn(folder / "none") == {}


def test_drawing_changes_no_bit_of_training(folder: Path) -> None:
    one, other = (checkpoint.load(folder / name / "last.pt") for name in ("drawn", "none"))
    assert all(torch.equal(one["model"][name], tensor) for name, tensor in other["model"].items())
    assert torch.equal(one["rng"]["torch"], other["rng"]["torch"])


def test_no_picture_is_repeated_by_the_sittings_of_a_run(tmp_path: Path) -> None:
    """One sitting ends after the front end; the next is killed in the joint stage, before anything is saved."""
    place, saved = tmp_path / "run", tmp_path / "saved"
    run(place, "stages=[frontend]")
    shutil.copytree(place, saved)
    run(place, "stages=[frontend,joint]", "resume=auto")
    for path in place.iterdir():
        if not path.name.startswith("events"):
            path.unlink()
    shutil.copytree(saved, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("events*"))
    run(place, "stages=[frontend,joint]", "resume=auto")
    assert drawn(place) == {"frontend": [1], "joint": [STEPS + 1]}


def test_a_picture_of_any_batch_is_small() -> None:
    """Encoding takes a time that grows with the pixels; a run can spare a tenth of a second."""
    batch = Batch(torch.zeros(16, 3, 900, 1300, dtype=torch.uint8), torch.zeros(16, 528, 928, dtype=torch.uint8),
                  [f"{'name' * 50}{number}" for number in range(16)])  # fmt: skip
    names, palette = [f"class {k}" for k in range(21)], [[k, 255 - k, 90] for k in range(21)]
    pixels = first_batch_picture(batch, names, palette, 100)
    assert pixels.dtype == np.uint8 and pixels.size < 3 * 300_000
    assert first_batch_picture(batch, names, palette, 1).shape[1] < pixels.shape[1]
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "png")
    assert len(encoded.getvalue()) < 10**6
