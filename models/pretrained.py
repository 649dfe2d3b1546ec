"""Pretrained VGG-16 weights: from torchvision or a file into a front end, and what became of every tensor."""

import pickle
import sys
import zipfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from configs.errors import UserError
from configs.schema import CAFFE_SUFFIX, SAFETENSORS_SUFFIX, TORCHVISION_WEIGHTS, WEIGHT_SUFFIXES, FrontendConfig
from models.caffe import read_caffe
from models.layers import convolution_names
from models.matching import by_our_names, fitted

Rgb = tuple[float, float, float]

ENDINGS = f"{', '.join(WEIGHT_SUFFIXES[:-1])} or {WEIGHT_SUFFIXES[-1]}"
OPTIONS = f"{', '.join(TORCHVISION_WEIGHTS)}, or a file that ends in {ENDINGS}"
IMAGENET_MEAN_RGB = (122.679, 116.669, 104.007)  # as VGG's authors subtracted it; files that name no mean expect it
CAFFE_SCALE_RGB = (1.0, 1.0, 1.0)
VGG16_CONVOLUTIONS = convolution_names(FrontendConfig().depths)  # by block


@dataclass(frozen=True)
class Pretrained:
    """Weights, and the preprocessing (RGB - mean) * scale they were trained with, pixels from 0 to 255."""

    tensors: dict[str, Tensor]  # float32, by the front end's names; layers it has no name for keep the file's
    mean_rgb: Rgb
    scale_rgb: Rgb
    source: str


@dataclass(frozen=True)
class Report:
    """What became of every tensor of the network, and which of the file are unused."""

    pretrained: Pretrained
    states: dict[str, str]  # tensor of the network: "loaded", "reshaped", "fresh" or "missing"
    unused: list[str]

    def __str__(self) -> str:
        mean = ", ".join(f"{value:.6g}" for value in self.pretrained.mean_rgb)
        scale = ", ".join(f"{value:.6g}" for value in self.pretrained.scale_rgb)
        lines = [f"weights of {self.pretrained.source}, for (RGB - ({mean})) * ({scale})"]
        for state in ("loaded", "reshaped", "fresh", "missing"):
            names = [name for name in self.states if self.states[name] == state]
            if names:
                lines.append(f"  {state}: {_abridged(names, self.states)} ({_count(names)})")
        if self.unused:
            lines.append(f"  unused: {_abridged(self.unused, self.unused)} ({_count(self.unused)})")
        return "\n".join(lines)


def read_pretrained(source: str) -> Pretrained:
    """The weights that `model.pretrained` names. Raises UserError where there are none, or something else."""
    if source in TORCHVISION_WEIGHTS:
        weights = _torchvision_weights()[source]
        return _from_torchvision(weights, _download(weights), source)
    path = Path(source)
    if path.suffix not in WEIGHT_SUFFIXES or not path.is_file():
        raise UserError(f"model.pretrained={source}: there is no such file; give one of {OPTIONS}")
    if path.suffix == CAFFE_SUFFIX:
        return Pretrained(_from_caffe(path), IMAGENET_MEAN_RGB, CAFFE_SCALE_RGB, source)
    content, metadata = _read_file(path)
    if path.suffix != SAFETENSORS_SUFFIX:
        for weights in _torchvision_weights():
            if path.name == Path(weights.url).name:  # torchvision's own file, fetched by hand
                return _from_torchvision(weights, content, source)
    if metadata.get("order", "RGB").upper() != "RGB":
        raise UserError(f"model.pretrained={source}: made for {metadata['order']} images; give weights made for RGB")
    mean_rgb = _three_numbers(metadata.get("mean", "")) or IMAGENET_MEAN_RGB
    scale_rgb = _three_numbers(metadata.get("scale", "")) or CAFFE_SCALE_RGB
    return Pretrained(_by_our_names(content), mean_rgb, scale_rgb, source)


def load_into(frontend: nn.Module, pretrained: Pretrained) -> Report:
    """Copy every tensor that fits; a linear layer becomes the convolution with the same numbers.

    fc6, fc7 and the classes' layer stay fresh where the file's do not fit (a lighter head, other classes). Raises
    UserError, before anything is copied, where one of VGG's convolutions does not fit, or nothing does.
    """
    own, in_file, source = frontend.state_dict(), pretrained.tensors, f"model.pretrained={pretrained.source}"
    shaped = {name: fitted(in_file[name], own[name].shape) for name in own if name in in_file}
    misfits = [name for name, tensor in shaped.items() if tensor is None]
    for name in misfits:
        if name.startswith("conv"):
            raise UserError(
                f"{source}: {name} has shape {tuple(in_file[name].shape)}, the front end's has "
                f"{tuple(own[name].shape)}; pretrained convolutions fit only the widths they were trained with; set "
                "model.frontend.width=1 with VGG-16's channels, or model.pretrained=null for fresh weights"
            )
    fresh_layers = {_layer(name) for name in misfits}  # whole layers: a bias without its weight means nothing
    matched = {name: x for name, x in shaped.items() if x is not None and _layer(name) not in fresh_layers}
    if not matched:
        raise UserError(
            f"{source}: none of its tensors ({_abridged(in_file, in_file)}) fits one of the front end's "
            f"({_abridged(own, own)}); required are torchvision's names of "
            f"VGG-16's layers, or these; give one of {OPTIONS}"
        )
    for name, tensor in matched.items():
        if not tensor.isfinite().all():
            raise UserError(f"{source}: {name} holds NaN or Inf; give sound weights")
    states = dict.fromkeys(own, "fresh")
    with torch.no_grad():
        for name, tensor in matched.items():
            own[name].copy_(tensor)
            states[name] = "loaded" if tensor.shape == in_file[name].shape else "reshaped"
    return Report(pretrained, states, [name for name in in_file if name not in matched])


def _torchvision_weights() -> Any:
    from torchvision.models import VGG16_Weights  # seconds to import, and most runs do not need it

    return VGG16_Weights


def _from_torchvision(weights: Any, content: Mapping[str, Tensor], source: str) -> Pretrained:
    """With the preprocessing that torchvision documents; IMAGENET1K_FEATURES has no valid classifier."""
    if weights.name == "IMAGENET1K_FEATURES":
        content = {name: tensor for name, tensor in content.items() if name.startswith("features.")}
    preprocessing = weights.transforms()
    red, green, blue = (255 * mean for mean in preprocessing.mean)
    scale_red, scale_green, scale_blue = (1 / (255 * std) for std in preprocessing.std)
    return Pretrained(_by_our_names(content), (red, green, blue), (scale_red, scale_green, scale_blue), source)


def _download(weights: Any) -> Mapping[str, Tensor]:
    """The state dict, from torchvision's cache if it is there."""
    try:
        state: Mapping[str, Tensor] = weights.get_state_dict(
            progress=sys.stderr.isatty(), check_hash=True, weights_only=True
        )
    except Exception as error:  # the network or a broken cache may raise anything
        raise UserError(
            f"model.pretrained={weights.name}: no weights from {weights.url} ({error}); required is a network "
            "connection, or that file fetched by hand and named by model.pretrained=PATH; model.pretrained=null begins "
            "with fresh weights"
        ) from error
    return state


def _read_file(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and text metadata. Nothing in the file is ever executed."""
    try:
        if path.suffix == SAFETENSORS_SUFFIX:
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
        if zipfile.is_zipfile(path):
            _check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or not all(isinstance(tensor, Tensor) for tensor in content.values()):
            raise ValueError("it holds other things than tensors; a run's checkpoint belongs to init.checkpoint")
        if sum(tensor.nbytes for tensor in content.values()) > path.stat().st_size:  # views that repeat their numbers
            raise ValueError("its tensors claim more bytes than it has")
        return {str(name): tensor for name, tensor in content.items()}, {}
    except Exception as error:  # a broken file may raise anything
        reason = "it holds code or foreign objects" if isinstance(error, pickle.UnpicklingError) else str(error)
        raise UserError(
            f"model.pretrained={path}: not readable as weights: {reason or type(error).__name__}; required is a "
            f"file of named tensors alone; fetch it again, or give one of {OPTIONS}"
        ) from error


def _check_archive(path: Path) -> None:
    """torch.load checks no sums, and a compressed record may grow a thousandfold in memory."""
    with zipfile.ZipFile(path) as archive:
        if any(record.compress_type != zipfile.ZIP_STORED for record in archive.infolist()):
            raise ValueError("its records are compressed, as torch.save never writes them")
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"{damaged} is damaged")


def _from_caffe(path: Path) -> dict[str, Tensor]:
    try:
        tensors = by_our_names(read_caffe(path))
    except UserError as error:
        raise UserError(f"model.pretrained={error}") from error
    ours = {name for block in VGG16_CONVOLUTIONS for name in block}
    theirs = {_layer(name) for name in tensors if name.startswith("conv")}
    if not theirs or theirs - ours:
        raise UserError(
            f"model.pretrained={path}: the weights of another network, with {_abridged(tensors, tensors)}; required "
            f"are VGG-16's, whose convolutions are called conv1_1 ... conv5_3; give one of {OPTIONS}"
        )
    return tensors


def _by_our_names(content: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's `features.0.weight` and our `frontend.conv1_1.weight` both become `conv1_1.weight`."""
    layers = {"classifier.0": "fc6", "classifier.3": "fc7"}
    index = 0
    for block in VGG16_CONVOLUTIONS:
        for name in block:
            layers[f"features.{index}"] = name
            index += 2  # the ReLU
        index += 1  # the pooling
    tensors = {}
    for name, tensor in content.items():
        layer, dot, parameter = name.rpartition(".")
        tensors[layers.get(layer, layer.removeprefix("frontend.")) + dot + parameter] = tensor.float()
    return tensors


def _three_numbers(text: str) -> Rgb | None:
    """`1,2,3` or `[1, 2, 3]`; None for anything else: metadata are often prose."""
    try:
        red, green, blue = (float(word) for word in text.strip("[]() ").split(","))
    except ValueError:
        return None
    return red, green, blue


def _layer(name: str) -> str:
    return name.rpartition(".")[0] or name


def _count(names: Collection[str]) -> str:
    return f"{len(names)} tensor{'' if len(names) == 1 else 's'}"


def _abridged(names: Iterable[str], all_names: Iterable[str]) -> str:
    """The names' layers; longer runs of neighbours among all layers as `first ... last`."""
    chosen = {_layer(name) for name in names}
    runs: list[list[str]] = [[]]
    for layer in dict.fromkeys(_layer(name) for name in all_names):
        if layer in chosen:
            runs[-1].append(layer)
        elif runs[-1]:
            runs.append([])
    return ", ".join(f"{run[0]} ... {run[-1]}" if len(run) > 3 else ", ".join(run) for run in runs if run)
