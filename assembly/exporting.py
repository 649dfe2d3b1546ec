"""Writing a trained network for other programs; every file is read back and compared before it takes its place."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.export import ExportedProgram

from assembly.exported_formats import Answers, Program, answers_of, read_onnx, read_pt2, traced, write_onnx, write_pt2
from assembly.labeller import Labeller
from assembly.trained import TrainedNetwork, from_file
from configs.errors import FAILED, UserError
from configs.rules import ONNX_PACKAGES
from configs.schema import ExportConfig, ExportFormat, PredictConfig
from configs.validation import shown
from data.resize import resize_line
from engine.runs.files import replacing
from engine.runs.header import versions
from engine.runs.network_file import NetworkFile, read_safetensors, write_safetensors

# Fraction of pixels whose class must be the network's; onnxruntime adds up in an order of its own.
LEAST_AGREEMENT = {"safetensors": 1.0, "pt2": 1.0, "onnx": 0.9999}
COMPARED_PX = 1024  # largest side of what is compared
EXPORTED = PredictConfig(protocol="whole", precision="float32", device="cpu")  # how an exported network answers


class DifferentAnswersError(UserError):
    """A file that was written answers otherwise than the network."""

    exit_code = FAILED


@dataclass(frozen=True)
class Comparison:
    """A file's answers and the network's to one image."""

    height: int
    width: int
    different_pixels: int  # whose class differs
    largest_difference: float | None  # of a probability; None where the file answers with ids alone

    def __str__(self) -> str:
        number = f"{self.different_pixels} of {self.height * self.width} pixels differ"
        ids = f"{self.height}x{self.width} px: {number if self.different_pixels else 'the same ids'}"
        if self.largest_difference is None:
            return ids
        return f"{ids}, probabilities {f'within {self.largest_difference:.1e}' if self.largest_difference else 'equal'}"


@dataclass(frozen=True)
class ExportedFile:
    """A file that has taken its place, and what it was compared on."""

    name: str
    num_bytes: int
    sha256: str
    comparisons: list[Comparison]

    def __str__(self) -> str:
        return f"{self.name}, {self.num_bytes / 1e6:.1f} MB, {'; '.join(map(str, self.comparisons))}"


@dataclass(frozen=True)
class Exporter:
    """Writes a network into a folder, a file a format, each compared with the network on the images."""

    trained: TrainedNetwork
    labeller: Labeller  # of that network
    images: Sequence[Tensor]  # uint8 (1, 3, H, W)
    folder: Path
    opset: int

    @cached_property
    def program(self) -> ExportedProgram:
        return traced(self.labeller)

    @cached_property
    def expected(self) -> list[Answers]:
        with torch.inference_mode():
            return [answers_of(self.labeller(image)) for image in self.images]

    def export(self, format: ExportFormat) -> ExportedFile:
        """Write, read back, compare, and only then put in place.

        Raises DifferentAnswersError, CannotWriteError, and UserError where torch is too old to trace.
        """
        path = self.folder / f"model.{format}"
        write, read = self._ways(format)
        with replacing(path) as file:
            write(file)
            file.flush()
            written = Path(file.name)
            program = read(written)
            with torch.inference_mode():
                comparisons = [
                    compared(path, format, program(image), expected)
                    for image, expected in zip(self.images, self.expected, strict=True)
                ]
            with written.open("rb") as readable:
                digest = hashlib.file_digest(readable, "sha256").hexdigest()
            num_bytes = written.stat().st_size
        return ExportedFile(path.name, num_bytes, digest, comparisons)

    def _ways(self, format: ExportFormat) -> tuple[Callable[[IO[bytes]], None], Callable[[Path], Program]]:
        """How to write a format, and how to read it."""
        about = self.trained.about
        match format:
            case "safetensors":
                network = NetworkFile(self.trained.model.state_dict(), about)
                return partial(write_safetensors, network=network), self._read_safetensors
            case "pt2":
                return partial(write_pt2, program=self.program, texts=about.texts()), read_pt2
            case "onnx":
                ways = partial(write_onnx, program=self.program, texts=about.texts(), opset=self.opset)
                return ways, read_onnx

    def _read_safetensors(self, path: Path) -> Program:
        """As every command reads it."""
        trained = from_file(read_safetensors(path), path, EXPORTED)
        labeller = Labeller(trained.model, trained.classes, with_probabilities=self.labeller.with_probabilities)
        return lambda images: answers_of(labeller(images))


def export_report(request: ExportConfig, trained: TrainedNetwork, files: Sequence[ExportedFile]) -> dict[str, Any]:
    """The content of export.json: what was exported, by what, and every comparison."""
    packages = [name for name in ONNX_PACKAGES if "onnx" in request.formats]
    return {
        "checkpoint": request.checkpoint,
        "stage": trained.stage,
        "class_names": trained.classes.names,
        "image": request.image,
        "probabilities": request.probabilities,
        "resize": trained.config.data.resize.model_dump(),  # what the program that calls the network has to do
        "opset": request.opset,
        "versions": {**versions(), **{name: version(name) for name in packages}},
        "files": [asdict(file) for file in files],
    }


def introduction(trained: TrainedNetwork) -> str:
    """What is exported, and where its answers are not those that its run was scored with."""
    lines, validation = [trained.description, "answers as protocol=whole in float32 does"], trained.config.validation
    if validation.flip or validation.scales != [1.0]:
        lines.append(
            f"its run averaged flip={shown(validation.flip)} scales={shown(validation.scales)}, and so do eval.py and "
            "predict.py by default; exported networks answer one view: flip=false scales=[1]"
        )
    resized = resize_line(trained.config.data.resize)
    if resized:
        lines.append(
            f"in its run {resized}, and so they are by eval.py and predict.py by default; exported networks answer "
            "images at the size that they are given: resize them before"
        )
    if trained.about.precision == "bfloat16":
        lines.append("its run computed in bfloat16, and so do eval.py and predict.py by default; set precision=float32")
    return "\n".join(lines)


def compared(path: Path, format: ExportFormat, found: Answers, expected: Answers) -> Comparison:
    """Of one image. Raises DifferentAnswersError, with the first pixel that differs."""
    different_HW = (found[0] != expected[0])[0]
    (height, width), num_different = different_HW.shape, int(different_HW.sum())
    differences = [float((ours - theirs).abs().max()) for ours, theirs in zip(expected[1:], found[1:], strict=True)]
    comparison = Comparison(height, width, num_different, max(differences, default=None))
    agreement, least = 1 - num_different / (height * width), LEAST_AGREEMENT[format]
    if agreement < least:
        row, column = different_HW.nonzero()[0].tolist()
        ours, theirs = (int(answers[0][0, row, column]) for answers in (expected, found))
        raise DifferentAnswersError(
            f"{path}: it answers otherwise than the network, {comparison} ({agreement:.4%} agree, {least:.2%} "
            f"is required), first in row {row}, column {column}: class {theirs} instead of {ours}; the file was not "
            "written; leave this format out of formats, or report a fault of this program"
        )
    if least == 1 and any(differences):
        raise DifferentAnswersError(
            f"{path}: its probabilities are not the network's, {comparison}; the file was not written; leave "
            "this format out of formats, or report a fault of this program"
        )
    return comparison


def comparison_images(photograph_HW3: NDArray[np.uint8]) -> list[Tensor]:
    """The photograph's middle, at most COMPARED_PX high and wide, and a smaller part of it of odd height and width."""
    height, width = (min(side, COMPARED_PX) for side in photograph_HW3.shape[:2])
    sizes = (height, width), (height // 2 | 1, width * 2 // 3 | 1)
    image_3HW = torch.from_numpy(photograph_HW3).permute(2, 0, 1)
    return [_middle(image_3HW, min(rows, height), min(columns, width))[None] for rows, columns in sizes]


def _middle(image_3HW: Tensor, height: int, width: int) -> Tensor:
    top, left = (image_3HW.shape[1] - height) // 2, (image_3HW.shape[2] - width) // 2
    return image_3HW[:, top : top + height, left : left + width].contiguous()
