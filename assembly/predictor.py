"""What a trained network answers to a picture, as images for people and programs."""

from collections.abc import Collection
from dataclasses import dataclass

import torch
from PIL import Image

from assembly.trained import TrainedNetwork
from configs.schema import IdKind, ResultKind
from data.build import raw_ids
from data.label_files import gray_map, label_image
from data.photographs import Photograph
from data.resize import resized_image
from engine.evaluation.answers import answer
from engine.reporting.overlay import overlay
from engine.runtime import Runtime


@dataclass(frozen=True)
class Predictor:
    """The images of an answer. `trained.model` is on the runtime's device and in evaluation mode."""

    trained: TrainedNetwork
    runtime: Runtime
    ids: IdKind

    def images(
        self, photograph: Photograph, kinds: Collection[ResultKind], *, of_video: bool = False
    ) -> dict[ResultKind, Image.Image]:
        """One for each of the kinds.

        ids: the classes' `file_ids`, as a palette image; RGB where the data set's own labels are colours and such are
        requested. confidence: the probability of the answer, 0..1 as gray 0..255. entropy: that of the probabilities of
        all K classes over ln(K), 0..1 as gray 0..255. These lie on the pixels of the photograph's file; the overlay is
        upright.
        """
        picture_HW3, on_file_grid = photograph.upright_HW3, photograph.on_file_grid
        names, palette = self.trained.classes.names, self.trained.classes.palette
        config, size_px = self.trained.config, (picture_HW3.shape[0], picture_HW3.shape[1])
        resized_HW3 = resized_image(picture_HW3, config.data.resize)
        images_13HW = torch.from_numpy(resized_HW3).permute(2, 0, 1)[None]
        certainty = not {"confidence", "entropy"}.isdisjoint(kinds)
        with torch.inference_mode(), self.runtime.autocast():
            answered = answer(
                self.trained.model, config.validation, self.runtime, images_13HW, size_px=size_px, certainty=certainty
            )
        ids_HW = answered.ids_BHW[0].cpu().numpy()
        images: dict[ResultKind, Image.Image] = {}
        if "ids" in kinds:
            image = label_image(on_file_grid(ids_HW), file_ids(self.trained, self.ids), palette)
            images["ids"] = image.convert("RGB") if self._labels_are_colors else image
        if "overlays" in kinds:
            images["overlays"] = overlay(picture_HW3, ids_HW, names, palette, of_video=of_video)
        if "confidence" in kinds and answered.confidence_BHW is not None:
            images["confidence"] = gray_map(on_file_grid(answered.confidence_BHW[0].cpu().numpy()))
        if "entropy" in kinds and answered.entropy_BHW is not None:
            images["entropy"] = gray_map(on_file_grid(answered.entropy_BHW[0].cpu().numpy()))
        return images

    @property
    def _labels_are_colors(self) -> bool:
        data = self.trained.config.data
        return self.ids == "raw" and data.name == "folder" and data.folder.rgb_labels


def file_ids(trained: TrainedNetwork, ids: IdKind) -> list[int]:
    """The value that stands for each class in a file of ids: its position, or the id in the data set's own files."""
    num_classes = trained.classes.num_classes
    return list(raw_ids(trained.config.data, num_classes) if ids == "raw" else range(num_classes))
