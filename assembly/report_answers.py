"""Answers to a few validation images, by the networks of several runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from assembly.trained import check_classes, restore
from configs.errors import UserError
from configs.schema import EvalConfig, ReportConfig
from data.build import open_images
from data.labels import ClassSet
from data.resize import resized_image
from engine.evaluation.answers import answer
from engine.evaluation.metrics import Confusion
from engine.runtime import choose_runtime

Ids = NDArray[np.uint8]


@dataclass(frozen=True)
class AnsweredImage:
    """One validation image, its truth, and what a network answers; `confusion_KK` counts the pairs."""

    name: str
    image_HW3: NDArray[np.uint8]
    truth_HW: Ids
    predicted_HW: Ids
    confusion_KK: NDArray[np.int64]


def answered_images(
    checkpoint: Path, indices: Sequence[int], request: ReportConfig
) -> tuple[ClassSet, list[AnsweredImage]]:
    """By the protocol and precision of the run. Raises UserError where checkpoint or images are not as they were."""
    trained = restore(
        EvalConfig(checkpoint=str(checkpoint), data=request.data, device=request.device, threads=request.threads)
    )
    config = trained.config
    images = open_images(config.data, config.data.val_split)
    check_classes(trained, images)
    if max(indices) >= len(images):
        raise UserError(f"{images.describe()}: the run was scored on more images than that")
    runtime = choose_runtime(config.runtime)
    model = trained.model.to(runtime.device).eval()
    answered = []
    with torch.inference_mode(), runtime.autocast():
        for index in indices:
            image_HW3, truth_HW = images.read(index)
            resized_HW3 = resized_image(image_HW3, config.data.resize)
            images_13HW = torch.from_numpy(resized_HW3.copy()).permute(2, 0, 1)[None]
            size_px = truth_HW.shape[0], truth_HW.shape[1]
            predicted_1HW = answer(model, config.validation, runtime, images_13HW, size_px=size_px).ids_BHW.cpu()
            confusion = Confusion(trained.classes.num_classes)
            confusion.add(predicted_1HW, torch.from_numpy(truth_HW.copy())[None])
            answered.append(
                AnsweredImage(
                    images.name(index),
                    image_HW3,
                    truth_HW,
                    predicted_1HW[0].numpy(),
                    confusion.of_images_NKK[0].numpy(),
                )
            )
    return trained.classes, answered
