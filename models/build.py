"""From the model's section of the config to a network."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Generator, Tensor

from configs.errors import UserError
from configs.schema import ModelConfig
from models.caffe import read_caffe
from models.context import Context
from models.frontend import Frontend
from models.matching import CONTEXT_PREFIXES, to_state
from models.pretrained import IMAGENET_MEAN_RGB, Pretrained, Report, load_into, read_pretrained
from models.segmenter import Segmenter

FRESH_SCALE_RGB = (1 / 58.0,) * 3  # about one standard deviation of natural images: for front ends without weights


def build_segmenter(
    config: ModelConfig, num_classes: int, data_mean_rgb: Sequence[float], seed: int
) -> tuple[Segmenter, Report | None]:
    """A segmenter without context module, and what became of every pretrained tensor.

    Preprocessing belongs to the weights: without `mean_rgb` and `scale_rgb` of its own the model takes those of the
    pretrained file, and without such a file the data's mean.
    """
    torch.manual_seed(seed)
    frontend = Frontend(config.frontend, num_classes, config.padding)
    report = None
    mean_rgb: Sequence[float] = data_mean_rgb or IMAGENET_MEAN_RGB
    scale_rgb: Sequence[float] = FRESH_SCALE_RGB
    if config.pretrained is not None:
        pretrained = read_pretrained(config.pretrained)
        report = load_into(frontend, pretrained)
        mean_rgb, scale_rgb = pretrained.mean_rgb, pretrained.scale_rgb
    segmenter = Segmenter(
        frontend.to(memory_format=torch.channels_last),
        num_classes=num_classes,
        mean_rgb=config.mean_rgb or mean_rgb,
        scale_rgb=config.scale_rgb or scale_rgb,
        node_offset_px=config.node_offset_px,
        head=config.head,
    )
    return segmenter, report


def build_context(config: ModelConfig, num_classes: int, seed: int) -> Context:
    """A fresh context module: the identity, its noise drawn from `seed` alone."""
    return Context(config.context, num_classes, Generator().manual_seed(seed))


def restore_segmenter(config: ModelConfig, num_classes: int, state: Mapping[str, Tensor]) -> Segmenter:
    """The network that a checkpoint holds, context module included if it has one.

    Raises UserError with the first names and shapes that differ; nothing is loaded in part.
    """
    segmenter, _ = build_segmenter(config.model_copy(update={"pretrained": None}), num_classes, (), seed=0)
    if any(name.startswith("context.") for name in state):
        segmenter.insert_context(build_context(config, num_classes, seed=0))
    expected = {name: tuple(tensor.shape) for name, tensor in segmenter.state_dict().items()}
    in_file = {name: tuple(tensor.shape) for name, tensor in state.items()}
    differing = [name for name in {**expected, **in_file} if expected.get(name) != in_file.get(name)]
    if differing:
        lines = [f"  {name}: {in_file.get(name, 'absent')} in the file, {expected.get(name, 'absent')} in the network"
                 for name in differing[:5]]  # fmt: skip
        raise UserError(
            f"the checkpoint holds another network than model.* describes: {len(differing)} tensors differ, first\n"
            + "\n".join(lines)
        )
    segmenter.load_state_dict(state)
    return segmenter


def read_released(path: Path, config: ModelConfig, num_classes: int) -> tuple[Segmenter, Report]:
    """The network that a .caffemodel holds, and what became of every tensor; without context layers, a front end alone.

    Raises UserError where the file is damaged, holds another network, or lacks a layer.
    """
    segmenter, _ = build_segmenter(config.model_copy(update={"pretrained": None}), num_classes, (), seed=0)
    blobs = read_caffe(path)
    if any(layer.startswith(CONTEXT_PREFIXES) for layer in blobs):
        segmenter.insert_context(build_context(config, num_classes, seed=0))
    try:
        matched = to_state(blobs, {name: parameter.shape for name, parameter in segmenter.named_parameters()})
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    missing = [name for name, state in matched.states.items() if state == "missing"]
    if missing:
        raise UserError(
            f"{path}: it lacks {', '.join(missing[:5])}{' and more' if len(missing) > 5 else ''}: a whole network is "
            "required; weights that only start a training belong to model.pretrained"
        )
    if config.head == "transposed":
        _check_transposed(path, blobs, segmenter.stride)
    segmenter.load_state_dict(matched.tensors, strict=False)  # mean and scale are the config's
    source = Pretrained(matched.tensors, _three(segmenter.mean_rgb), _three(segmenter.scale_rgb), str(path))
    return segmenter, Report(source, matched.states, matched.unused)


def _check_transposed(path: Path, blobs: Mapping[str, Sequence[Tensor]], stride: int) -> None:
    """The head is computed, not loaded; a file that enlarges in another way is another network."""
    taps = 1 - (torch.arange(2 * stride) - (stride - 0.5)).abs() / stride
    kernel = torch.outer(taps, taps)
    for tensor in blobs.get("ctx_upsample", [])[:1]:
        if tensor.shape[-2:] != kernel.shape or not torch.allclose(tensor, kernel, atol=1e-3):
            raise UserError(
                f"{path}: ctx_upsample {tuple(tensor.shape)} is not the bilinear kernel of {2 * stride}x{2 * stride}, "
                "and model.head=transposed is that kernel"
            )


def _three(buffer: Tensor) -> tuple[float, float, float]:
    first, second, third = buffer.flatten().tolist()
    return first, second, third


def build_initial(
    config: ModelConfig,
    num_classes: int,
    data_mean_rgb: Sequence[float],
    seed: int,
    checkpoint: Mapping[str, Tensor] | None,
) -> tuple[Segmenter, Report | None]:
    """The network that a run starts from: with a checkpoint's weights if there is one, else pretrained or fresh ones.

    Beside it the report of what became of every pretrained tensor; None where no pretrained file was read.
    """
    if checkpoint is not None:
        return restore_segmenter(config, num_classes, checkpoint), None
    return build_segmenter(config, num_classes, data_mean_rgb, seed)
