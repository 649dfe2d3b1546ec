"""The input pipeline: JPEG and PNG label to augmented batches of bytes, by two worker processes."""

import random
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler

from benchmarks.harness import Task, Work
from benchmarks.rows import Group, Pairing
from configs.schema import VOID, AugmentConfig, CacheConfig, DataConfig, FolderConfig
from data.build import open_images
from data.kept_images import open_kept_images
from data.labels import NOT_ALLOWED
from data.loaders import AS_IT_IS, train_batches
from data.transforms import TrainTransform

IMAGE_PX = (360, 480)  # height and width, as those of CamVid
NUM_IMAGES, BATCH, WORKERS, NUM_CLASSES = 240, 8, 2, 21
BATCHES = 90  # of a run; four of them may lie ready as it begins
ENDLESS = 10**9
CROP_PX = 256
COLOR = 0.5  # of data.augment.color
BRIGHTNESS, HUE = 0.5 * COLOR, 0.1 * COLOR  # what it means (data/transforms.py); contrast and saturation as brightness

TRAIN_IDS = np.full(256, NOT_ALLOWED, np.uint8)  # of ids in a file
TRAIN_IDS[:NUM_CLASSES], TRAIN_IDS[VOID] = np.arange(NUM_CLASSES), VOID

Reader = Callable[[Path, Path], tuple[Tensor, Tensor]]  # of image and label: bytes (3, H, W) and ids (H, W)


def make_pictures(folder: Path, number: int) -> None:
    """`number` JPEG images and their PNG labels in images/ and labels/: shapes under noise of several scales.

    Noise at every scale gives the files the size of photographs', which decides how long decoding takes.
    """
    random = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir()
    height, width = IMAGE_PX
    for index in range(number):
        label = Image.new("L", (width, height))
        draw = ImageDraw.Draw(label)
        for _ in range(12):
            left, top = random.integers(0, width), random.integers(0, height)
            box = (left, top, left + random.integers(20, 200), top + random.integers(20, 200))
            draw.ellipse(tuple(map(int, box)), fill=int(random.integers(NUM_CLASSES)))
        colors = random.integers(40, 216, (NUM_CLASSES, 3))
        image_HW3 = colors[np.asarray(label)] + noise(random, height, width)
        Image.fromarray(image_HW3.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"{index}.jpg", quality=90)
        label.save(folder / "labels" / f"{index}.png")


def noise(random: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """(H, W, 3), around 0: each octave as strong as its scale is coarse."""
    total = np.zeros((height, width, 3), np.float32)
    for scale in (1, 4, 16, 64):
        small = random.normal(0, 4 * scale**0.5, (height // scale + 1, width // scale + 1, 3)).astype(np.float32)
        total += np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    return total


def pictures() -> Path:
    """A folder of them, in this process's temporary folder."""
    folder = Path(tempfile.mkdtemp())
    make_pictures(folder, NUM_IMAGES)
    return folder


def our_batches(color: float, kept: bool = False) -> Work:
    """Our loader with its transform, checks included; with `kept`, of images that lie decoded on disk."""
    folder = FolderConfig(
        images="images", labels="labels", class_names=[f"class {number}" for number in range(NUM_CLASSES)]
    )
    images = open_images(DataConfig(name="folder", root=str(pictures()), folder=folder), "train")
    if kept:
        cache = CacheConfig(root=tempfile.mkdtemp())
        images = open_kept_images(
            cache, {}, images, AS_IT_IS, WORKERS, log=lambda line: None, locked=alone, check=lambda: None
        )
    transform = TrainTransform(AugmentConfig(color=color), (CROP_PX, CROP_PX), margin_px=0)
    return taking(train_batches(images, transform, micro_batch=BATCH, first=0, last=ENDLESS, seed=0, workers=WORKERS))


@contextmanager
def alone(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """The lock of a folder that no other process knows."""
    yield


def taking(batches: Iterator[Any]) -> Work:
    """BATCHES of them; the workers go on from run to run, as they do in training."""
    return lambda: deque(islice(batches, BATCHES), maxlen=0)


class Pictures(Dataset[Any]):
    """The files of a folder, each through a function of image path and label path."""

    def __init__(self, folder: Path, read: Callable[[Path, Path], Any]) -> None:
        self.paths = [
            (folder / "images" / f"{index}.jpg", folder / "labels" / f"{index}.png") for index in range(NUM_IMAGES)
        ]
        self.read = read

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        return self.read(*self.paths[index])


def batches_of(read: Callable[[Path, Path], Any]) -> Work:
    """The pictures by torch's loader, in shuffled batches, pass after pass."""
    images = Pictures(pictures(), read)
    loader = DataLoader(
        images,
        batch_size=BATCH,
        sampler=RandomSampler(images, num_samples=ENDLESS),
        num_workers=WORKERS,
        multiprocessing_context="fork",  # as ours
        worker_init_fn=one_thread,
    )
    return taking(iter(loader))


def one_thread(_: int) -> None:
    """Of a worker, as ours have."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def torchvision_batches(color: float) -> Work:
    """torch's loader and torchvision's transforms."""
    return batches_of(torchvision_reader(color))


def plain_batches(color: float) -> Work:
    """torch's loader, everything else by hand."""
    return batches_of(plain_reader(color))


def torchvision_reader(color: float) -> Reader:
    """As torchvision's reference training for segmentation does it, transforms v2."""
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    steps = [v2.RandomCrop(CROP_PX), v2.RandomHorizontalFlip(0.5)]
    if color:
        steps.append(v2.ColorJitter(BRIGHTNESS, BRIGHTNESS, BRIGHTNESS, HUE))
    transform, to_image = v2.Compose(steps), v2.ToImage()

    def read(image_path: Path, label_path: Path) -> tuple[Tensor, Tensor]:
        label = tv_tensors.Mask(torch.from_numpy(train_ids(np.array(Image.open(label_path)))))
        image, label = transform(to_image(Image.open(image_path).convert("RGB")), label)
        return image.as_subclass(Tensor), label.as_subclass(Tensor)

    return read


def train_ids(label_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As ours: ids of the file to those of training, and an error for any other, wherever it is."""
    label_HW = TRAIN_IDS[label_HW]
    if (label_HW == NOT_ALLOWED).any():
        raise ValueError("an id that no class has")
    return label_HW


def plain_reader(color: float) -> Reader:
    """Pillow and numpy, written the obvious way."""

    def read(image_path: Path, label_path: Path) -> tuple[Tensor, Tensor]:
        image_HW3, label_HW = np.array(Image.open(image_path).convert("RGB")), np.array(Image.open(label_path))
        label_HW = train_ids(label_HW)
        top, left = (random.randint(0, side - CROP_PX) for side in IMAGE_PX)
        image_HW3 = image_HW3[top : top + CROP_PX, left : left + CROP_PX]
        label_HW = label_HW[top : top + CROP_PX, left : left + CROP_PX]
        if random.random() < 0.5:
            image_HW3, label_HW = image_HW3[:, ::-1], label_HW[:, ::-1]
        if color:
            image_HW3 = recolored(image_HW3)
        image_3HW = np.ascontiguousarray(image_HW3.transpose(2, 0, 1))
        return torch.from_numpy(image_3HW), torch.from_numpy(np.ascontiguousarray(label_HW))

    return read


def recolored(image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Brightness, contrast, saturation and hue, drawn."""
    image = Image.fromarray(image_HW3)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(random.uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS))
    hsv_HW3 = np.array(image.convert("HSV"))
    hsv_HW3[..., 0] += np.uint8(round(random.uniform(-HUE, HUE) * 255) % 256)  # wraps around, as hues do
    return np.asarray(Image.fromarray(hsv_HW3, "HSV").convert("RGB"))


def bare_decoding() -> Work:
    """Nothing but the files decoded, by the faster of Pillow and OpenCV, and handed over as nothing."""
    folder = pictures()
    decoders = (by_pillow, by_opencv)
    seconds = []
    for decode in decoders:
        start_s = time.perf_counter()
        for index in range(min(40, NUM_IMAGES)):  # enough to tell which is faster
            decode(folder / "images" / f"{index}.jpg", folder / "labels" / f"{index}.png")
        seconds.append(time.perf_counter() - start_s)
    return batches_of(decoders[int(np.argmin(seconds))])


def by_pillow(*paths: Path) -> int:
    for path in paths:
        Image.open(path).load()
    return 0


def by_opencv(*paths: Path) -> int:
    for path in paths:
        cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return 0


def groups(threads: int) -> Iterator[Group]:
    """Crop and mirror, and the same with colour; the processes that measure need one thread beside the workers."""
    decoding = "pipeline, decoding"
    for color, title in ((0.0, "crop + mirror"), (COLOR, "crop + mirror + colour")):
        kinds = ("ours", "kept images", "torchvision", "plain")
        ours, kept, torchvision, plain = (f"pipeline, {kind}, {title}" for kind in kinds)
        tasks = {
            ours: Task(our_batches, {"color": color}),
            kept: Task(our_batches, {"color": color, "kept": True}),
            torchvision: Task(torchvision_batches, {"color": color}),
            plain: Task(plain_batches, {"color": color}),
            decoding: Task(bare_decoding),
        }
        case = f"pipeline, {BATCH * BATCHES} images, {title}"
        yield Group(
            tasks,
            [
                Pairing(case, ours, torchvision, "torchvision's transforms v2", limit_task=decoding),
                Pairing(f"{case}, plain", ours, plain, "Pillow and numpy", limit_task=decoding),
                Pairing(f"{case}, kept images", kept, plain, "Pillow and numpy"),  # decoding is no limit of theirs
            ],
        )
