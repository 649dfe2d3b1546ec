"""Which weights of a Caffe file belong to which layer of a network of ours, and in what shape."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from configs.errors import UserError

CONTEXT_PREFIXES = ("ctx_", "ct_")  # of the context layers, in the released files


class MatchedWeights(NamedTuple):
    """The weights of a file that a network has a place for, and what became of every tensor on either side."""

    tensors: dict[str, Tensor]  # by the network's names, in its shapes
    states: dict[str, str]  # tensor of the network: "loaded", "reshaped" or "missing"
    unused: list[str]  # of the file


def to_state(blobs: Mapping[str, Sequence[Tensor]], expected: Mapping[str, Sequence[int]]) -> MatchedWeights:
    """The blobs for a network whose `named_parameters()` have these shapes.

    Layers may be missing from the file. Raises UserError, with names and both shapes, where a tensor does not fit, or
    a convolution of VGG or of the context module is one more than the network has; and where nothing fits.
    """
    places = {name.removeprefix("frontend.").removeprefix("context."): name for name in expected}
    context = _context_layers([place.removesuffix(".weight") for place in places if re.match(r"ctx_.*\.weight", place)])
    matched, misfits = MatchedWeights({}, dict.fromkeys(expected, "missing"), []), []
    for file_name, tensor in by_our_names(blobs).items():
        layer, _, parameter = file_name.rpartition(".")
        name = places.get(f"{context.get(layer, layer)}.{parameter}")
        shaped = fitted(tensor, expected[name]) if name is not None else None
        if name is not None and shaped is not None:
            if name in matched.tensors:
                raise UserError(f"Caffe's file holds {name} twice: as ct_ and as ctx_; one of them is required")
            matched.tensors[name] = shaped
            matched.states[name] = "loaded" if shaped.shape == tensor.shape else "reshaped"
        elif name is not None or _is_required(file_name, bool(context), places):
            shape = tuple(expected[name]) if name is not None else "absent"
            misfits.append(f"  {file_name}: {tuple(tensor.shape)} in the file, {shape} in the network")
        else:
            matched.unused.append(file_name)
    if misfits or not matched.tensors:
        differing = [f"{len(misfits)} tensors differ, first", *misfits[:5]] if misfits else ["no name agrees"]
        raise UserError("Caffe's file holds another network than model.* describes: " + "\n".join(differing))
    for name, tensor in matched.tensors.items():
        if not tensor.isfinite().all():
            raise UserError(f"Caffe's file holds NaN or Inf in {name}; give sound weights")
    return matched


def by_our_names(blobs: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor]:
    """`conv1_1.weight`, `conv1_1.bias`, ...: as they are, but conv1_1 for RGB and not BGR, `fc-final` as `final`."""
    if {"final", "fc-final"} <= blobs.keys():
        raise UserError("Caffe's file holds final and fc-final; one layer of the classes is required")
    tensors: dict[str, Tensor] = {}
    for file_layer, own in blobs.items():
        layer = "final" if file_layer == "fc-final" else file_layer
        for rank, tensor in enumerate(own):
            tensors[f"{layer}.{('weight', 'bias')[rank] if rank < 2 else f'blob{rank}'}"] = tensor
    first = tensors.get("conv1_1.weight")
    if first is not None and first.ndim == 4:
        tensors["conv1_1.weight"] = first.flip(1)
    return tensors


def fitted(tensor: Tensor, shape: Sequence[int]) -> Tensor | None:
    """In that shape, if only leading ones differ (Caffe's old 4-D shapes) or it is a linear layer's matrix of it."""
    matrix = (*shape[:1], math.prod(shape[1:]))
    fits = _without_leading_ones(tensor.shape) in (_without_leading_ones(shape), _without_leading_ones(matrix))
    return tensor.reshape(tuple(shape)) if fits else None


def _without_leading_ones(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(shape)[next((axis for axis, size in enumerate(shape) if size != 1), len(shape)) :]


def _context_layers(ours: Sequence[str]) -> dict[str, str]:
    """The released files' names of the 3x3 layers, 1_1, 1_2, 2_1, 3_1, ..., fc1, and of the 1x1, to ours in order."""
    if not ours:
        return {}
    num_before_last = len(ours) - 2  # 3x3 layers before fc1
    convolutions = ["conv1_1", "conv1_2", *(f"conv{block}_1" for block in range(2, num_before_last))]
    theirs = [*convolutions[:num_before_last], "fc1", "final"]
    return {f"{prefix}{layer}": name for prefix in CONTEXT_PREFIXES for layer, name in zip(theirs, ours, strict=True)}


def _is_required(file_name: str, has_context: bool, places: Mapping[str, str]) -> bool:
    """Whether a network without a place for it must be another one."""
    if file_name.startswith(CONTEXT_PREFIXES):
        return has_context and not file_name.startswith("ctx_upsample")
    return file_name.startswith("conv") and any(place.startswith("conv") for place in places)
