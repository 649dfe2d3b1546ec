"""What is measured to see how training grows: steps, input, start-up, memory and files, each at a few sizes."""

import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.commands import ROOT, at_first_step
from benchmarks.harness import Work, memory_mib
from benchmarks.peaks import training_multiply_adds
from benchmarks.pipeline import noise
from benchmarks.steps import MEAN_RGB, input_px, random_batch, repeated_step, step_loop
from configs.compose import compose
from configs.schema import AugmentConfig, DataConfig, FolderConfig, ModelConfig
from data.build import content_digest, image_sizes, open_images
from data.class_counts import count_classes
from data.dataset import FileSet, ImageSet
from data.features import MapBatch, file_identity
from data.loaders import train_batches
from data.transforms import TrainTransform
from engine.runs import checkpoint
from models.build import build_context, build_segmenter
from models.layers import NUM_COLOURS, context_layers, frontend_layers
from models.segmenter import Segmenter

MIB = 2**20
TINY_PX = 16  # side of the images of long lists: what grows there is their number
LINKS = 10_000  # to one file; some file systems allow 65,000
LIST_CLASSES, NUM_VAL = 21, 8
KEEPING = (
    "stages=[frontend,context]",
    "stage.context.maps=cached",
    "data.val_split=train",
    "data.augment.class_balance=1",
)
READ_AT_ONCE = 8  # samples of a run, where one would be too short


def network(config: ModelConfig, num_classes: int) -> Segmenter:
    """With its context module, random weights."""
    model, _ = build_segmenter(config, num_classes, MEAN_RGB, seed=0)
    model.insert_context(build_context(config, num_classes, seed=0))
    return model


def joint_step(words: Sequence[str], crop_px: int, images: int, num_classes: int) -> Work:
    """A step of the whole network in float32, bytes in; `words` are overrides of a config."""
    config = compose(list(words)).model
    loop = step_loop(network(config, num_classes), "float32")
    return repeated_step(loop, random_batch(config, crop_px, images, num_classes))


def context_step(dilations: Sequence[int], cells: int, images: int, num_classes: int) -> Work:
    """A step of a context module alone, on square maps as the front end hands them on."""
    config = compose([f"model.context.dilations={list(dilations)}"]).model
    torch.manual_seed(0)
    maps_BKhw = torch.randn(images, num_classes, cells, cells)
    targets_Bhw = torch.randint(0, num_classes, (images, cells, cells), dtype=torch.uint8)
    batch = MapBatch(maps_BKhw, targets_Bhw, ["random"] * images, None)
    return repeated_step(step_loop(network(config, num_classes), "float32"), batch)


def multiply_adds(config: ModelConfig, num_classes: int, crop_px: Sequence[int]) -> float:
    """Of a training step on one image, forward and backward, those on padding zeros left out."""
    layers = frontend_layers(config.frontend, config.padding, num_classes)
    return training_multiply_adds(
        [*layers, *context_layers(config.context, num_classes)], NUM_COLOURS, _input_px(config, crop_px)
    )


def _input_px(config: ModelConfig, crop_px: Sequence[int]) -> list[int]:
    return [input_px(config, side)[0] for side in crop_px]


def make_list(root: Path, number: int) -> None:
    """A folder data set of tiny images and labels, `number` in "train" and a few in "val".

    They are links to a few files, so they take no disk.
    """
    random = np.random.default_rng(0)
    shapes = {"images": (TINY_PX, TINY_PX, NUM_COLOURS), "labels": (TINY_PX, TINY_PX)}
    for split, length in {"train": number, "val": NUM_VAL}.items():
        for kind, shape in shapes.items():
            folder = root / split / kind
            folder.mkdir(parents=True)
            for first in range(0, length, LINKS):
                original = folder / f"{split}{first:08}.png"
                Image.fromarray(random.integers(0, LIST_CLASSES, shape, dtype=np.uint8)).save(original)
                for index in range(first + 1, min(first + LINKS, length)):
                    os.link(original, folder / f"{split}{index:08}.png")


def list_config(root: Path) -> DataConfig:
    """Of a list that `make_list` made."""
    folder = FolderConfig(class_names=[f"class {k}" for k in range(LIST_CLASSES)])
    return DataConfig(name="folder", root=str(root), folder=folder)


def opened(root: str) -> Work:
    """Opening the list. The work returns the bytes that the process holds for it."""
    config, before_mib = list_config(Path(root)), memory_mib("VmRSS")
    images = open_images(config, "train")
    held_bytes = (memory_mib("VmRSS") - before_mib) * MIB
    assert len(images), "an opened set holds samples"

    def work() -> float:
        open_images(config, "train")
        return held_bytes

    return work


def read_once(root: str, what: str) -> Work:
    """One pass over the list: "identity", "digest", "sizes" or "counts" (with one thread)."""
    images = open_images(list_config(Path(root)), "train")
    works: dict[str, Work] = {
        "identity": lambda: file_identity(images, None),
        "digest": lambda: content_digest(images),
        "sizes": lambda: image_sizes(images),
        "counts": lambda: count_classes(images, 1, lambda: None),
    }
    work = works[what]

    def quiet() -> None:
        work()

    return quiet


def worker_growth(root: str, batch: int) -> Work:
    """The work returns the bytes that one reading process takes for itself alone while it reads every sample once.

    It shares the list with its parent until it touches a sample: Python counts references in the object itself. What
    it takes before the end of the first tenth is not counted, for that is its code's.
    """
    images = open_images(list_config(Path(root)), "train")

    def work() -> float:
        transform, number = TrainTransform(AugmentConfig(), (TINY_PX, TINY_PX), margin_px=0), len(images) // batch
        taken = []
        stream = train_batches(images, transform, micro_batch=batch, first=0, last=number, seed=0, workers=1)
        for _ in stream:
            taken.append(sum(map(private_bytes, children(os.getpid()))))
            if len(taken) == number:
                stream.close()
        first = number // 10
        return (taken[-2] - taken[first]) * number / (number - 2 - first)  # the last time it may be gone

    return work


def children(pid: int) -> list[int]:
    """The processes that a process has started, on Linux."""
    return [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]


def private_bytes(pid: int) -> int:
    """What a process shares with no other; 0 where it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(match) * 1024 for match in re.findall(r"Private_\w+:\s+(\d+)", text))


def first_step(root: str) -> Work:
    """`python train.py` on the list until its first step. The work returns the most memory it has held, in bytes."""
    cache = tempfile.mkdtemp()

    def work() -> float:
        words = [*list_words(Path(root), tempfile.mkdtemp(), cache), "stages=[frontend]"]
        with at_first_step(words, str(ROOT)) as pid:
            peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        return int(peak[1]) * 1024 if peak else math.nan

    return work


def list_words(root: Path, folder: str, cache: str) -> list[str]:
    """Of a command that trains on the list of `root`, in crops of whole images, for a step a stage."""
    names = ",".join(f"class {k}" for k in range(LIST_CLASSES))
    stages = [
        word
        for stage in ("frontend", "context")
        for word in (f"stage.{stage}.steps=1", f"stage.{stage}.batch=1", f"stage.{stage}.crop_px=[{TINY_PX},{TINY_PX}]")
    ]
    return [
        "experiment=folder", "frontend=small", f"data.root={root}",
        f"data.folder.class_names=[{names}]", "model.pretrained=null", f"run.dir={folder}/run", f"cache.root={cache}",
        "run.num_pictures=0", *stages,
    ]  # fmt: skip


def run_files(root: str) -> Work:
    """Both stages of `python train.py` on the list, the second on kept maps, scored on what it was trained on.

    The work returns the bytes of the run's folder, of the kept maps and of the class counts.
    """

    def work() -> dict[str, int]:
        with tempfile.TemporaryDirectory() as folder:
            cache = f"{folder}/cache"
            words = [*list_words(Path(root), folder, cache), *KEEPING]
            done = subprocess.run([sys.executable, str(ROOT / "train.py"), *words], cwd=ROOT, capture_output=True,
                                  text=True)  # fmt: skip
            if done.returncode:
                raise RuntimeError(f"train.py failed: {done.stdout}{done.stderr}")
            kinds = {"maps": "maps-*/*", "counts": "counts-*/*"}
            return {
                "run folder": folder_bytes(Path(folder) / "run"),
                **{kind: sum(path.stat().st_size for path in Path(cache).glob(glob)) for kind, glob in kinds.items()},
            }

    return work


def folder_bytes(folder: Path) -> int:
    """Of all files below it; a file that has two names counts once."""
    statuses = (path.stat() for path in folder.rglob("*") if path.is_file())
    return sum({status.st_ino: status.st_size for status in statuses}.values())


def picture_set(width: int, height: int, number: int) -> ImageSet:
    """Photograph-like JPEG images and labels of shapes, in this process's temporary folder."""
    root, random = Path(tempfile.mkdtemp()), np.random.default_rng(0)
    for kind in ("images", "labels"):
        (root / "train" / kind).mkdir(parents=True)
    for index in range(number):
        label_HW = np.kron(random.integers(0, LIST_CLASSES, (4, 4)), np.ones((height // 4, width // 4), np.int64))
        image_HW3 = np.stack([label_HW * 10] * NUM_COLOURS, -1) + noise(random, *label_HW.shape)
        image = Image.fromarray(image_HW3.clip(0, 255).astype(np.uint8))
        image.save(root / "train/images" / f"{index}.jpg", quality=90)
        Image.fromarray(label_HW.astype(np.uint8)).save(root / "train/labels" / f"{index}.png")
    return open_images(list_config(root), "train")


def samples_read(width: int, height: int) -> Work:
    """READ_AT_ONCE images of this size and their labels decoded, by one process."""
    images = picture_set(width, height, READ_AT_ONCE)

    def work() -> None:
        for index in range(len(images)):
            images.read(index)

    return work


def labels_counted(width: int, height: int) -> Work:
    """The classes of READ_AT_ONCE labels of this size counted, by one thread."""
    images = picture_set(width, height, READ_AT_ONCE)
    assert isinstance(images, FileSet), "they lie in files"

    def work() -> None:
        count_classes(images, 1, lambda: None)

    return work


def saved(words: Sequence[str], num_classes: int) -> Work:
    """A checkpoint with weights and the state of SGD. The work returns its bytes."""
    model = network(compose(list(words)).model, num_classes)
    loop = step_loop(model, "float32")
    for parameter in model.parameters():
        loop.optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    path = Path(tempfile.mkdtemp()) / "last.pt"
    content: dict[str, Any] = {"model": model.state_dict(), "optimizer": loop.optimizer.state_dict()}

    def work() -> int:
        checkpoint.save(path, content)
        return path.stat().st_size

    return work
