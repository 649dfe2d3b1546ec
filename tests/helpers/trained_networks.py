"""Networks whose answers vary over an image, and the files that hold them."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from configs.schema import Config, ContextConfig, DataConfig, Head, ModelConfig, Padding, ShapesConfig
from data.labels import ClassSet
from data.shapes import SCENES
from engine.runs import checkpoint
from engine.runs.header import ClassTable
from models.build import build_context, build_segmenter
from models.describe import network_geometry
from models.segmenter import Segmenter
from tests.helpers.headers import run_header
from tests.helpers.networks import tiny_frontend

SMALL_SCENES = DataConfig(shapes=ShapesConfig(size_px=192, num_train=2, num_val=2))


def tiny_model(*, padding: Padding = "reflect", head: Head = "interpolated") -> ModelConfig:
    """A context module that pads once and one of two widths, so that nothing of its settings is the default."""
    return ModelConfig(
        frontend=tiny_frontend(dropout=0.5),
        context=ContextConfig(dilations=[1, 3], widths=[2, 1], padding="once"),
        padding=padding,
        head=head,
        node_offset_px=3.5 if head == "transposed" else 0.0,
        mean_rgb=[100.0, 110.5, 120.25],
        scale_rgb=[0.02, 0.03, 0.04],
    )


def random_network(
    config: ModelConfig, *, has_context: bool = True, seed: int = 0, classes: ClassSet = SCENES
) -> Segmenter:
    """In evaluation mode."""
    model, _ = build_segmenter(config, classes.num_classes, (), seed)
    if has_context:
        model.insert_context(build_context(config, classes.num_classes, seed))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
            std = (2 / fan_in) ** 0.5 if parameter.ndim > 1 else 0.3
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std * (3 if "final" in name else 1))
    return model.eval()


def write_checkpoint(
    path: Path, model: Segmenter, config: ModelConfig, data: DataConfig = SMALL_SCENES, classes: ClassSet = SCENES
) -> None:
    """As a run on the data leaves it."""
    settings = Config(model=config, data=data)
    header = run_header(
        config=settings.model_dump(),
        classes=ClassTable(list(classes.names), [list(color) for color in classes.palette]),
        geometry=dict(network_geometry(config)),
    )
    stage = "frontend" if model.context is None else "joint"
    checkpoint.save(path, {**header.to_plain(), "model": model.state_dict(), "progress": {"stage": stage}})


def smooth_image(height: int, width: int, seed: int = 0) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """RGB (H, W, 3) without edges, so that a network's answer has large areas, as to a photograph."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 12 + 2, width // 12 + 2, 3), np.uint8)
    image: np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return image


def smooth_images(num_images: int, height: int, width: int) -> Tensor:
    """uint8 (B, 3, H, W)."""
    images = [torch.from_numpy(smooth_image(height, width, seed)).permute(2, 0, 1) for seed in range(num_images)]
    return torch.stack(images)
