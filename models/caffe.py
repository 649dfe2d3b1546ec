"""Caffe's binary weights (`.caffemodel`): the blobs of every layer.

protobuf's runtime decodes the layers, by a schema of the few fields that weights need. Two things are done beside it:

* Numbers are declared as bytes instead of packed floats. The wire cannot tell them apart, and numpy takes the bytes as
  they are, where a list of 134 million floats costs the runtime many seconds.
* Fields are counted and lengths checked before anything is decoded: the runtime makes an object of every empty message,
  and a file of 15 MB that holds nothing else took it 4 s and 300 MB.

Layers are decoded one by one out of a memory map: the peak is the file and twice its largest layer.
"""

import functools
import math
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from torch import Tensor

from configs.errors import UserError

MAX_FIELDS = 100_000  # of a whole file, three messages deep; the released networks have fewer than a thousand
MAX_AXES = 32  # Caffe's own bound
MAX_NAME_BYTES = 1000
LEGACY_AXES = ("num", "channels", "height", "width")

# Message, field, number, type ("*" for repeated). A layer has two layouts: V1 is found in `layers`, the new in `layer`.
SCHEMA = {
    "BlobShape": {"dim": (1, "int64*")},
    "BlobProto": {axis: (number, "int64") for number, axis in enumerate(LEGACY_AXES, start=1)}
    | {"data": (5, "bytes*"), "shape": (7, "BlobShape"), "double_data": (8, "bytes*")},
    "V1LayerParameter": {"name": (4, "bytes"), "type": (5, "int64"), "blobs": (6, "BlobProto*")},
    "LayerParameter": {"name": (1, "bytes"), "type": (2, "bytes"), "blobs": (7, "BlobProto*")},
    "NetParameter": {"name": (1, "bytes"), "layers": (2, "V1LayerParameter*"), "layer": (100, "LayerParameter*")},
}


@functools.cache
def message_types() -> dict[str, Any]:
    """protobuf's class for every message of `SCHEMA`."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="weights.proto", package="weights", syntax="proto2")
    for message, fields in SCHEMA.items():
        descriptor = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            label = field.LABEL_REPEATED if kind.endswith("*") else field.LABEL_OPTIONAL
            kind = kind.removesuffix("*")
            if kind in SCHEMA:
                descriptor.field.add(
                    name=name, number=number, label=label, type=field.TYPE_MESSAGE, type_name=f".weights.{kind}"
                )
            else:
                scalar = field.TYPE_BYTES if kind == "bytes" else field.TYPE_INT64
                descriptor.field.add(name=name, number=number, label=label, type=scalar)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"weights.{name}")) for name in SCHEMA}


def read_caffe(path: str | Path) -> dict[str, list[Tensor]]:
    """The blobs, float32 and in their order, of every layer that has some; old files have 4-D shapes only.

    Raises UserError for anything that is not such a file, before it takes much time or memory.
    """
    try:
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as wire:
            return _layers(wire)
    except (ValueError, OSError, DecodeError) as error:
        raise UserError(
            f"{path}: not readable as Caffe's weights: {error}; required is a whole binary .caffemodel, "
            "as Caffe's snapshots are; fetch it again, or give another file"
        ) from error


def _layers(wire: mmap.mmap) -> dict[str, list[Tensor]]:
    layouts = {SCHEMA["NetParameter"][name][0]: kind for name, kind in
               (("layers", "V1LayerParameter"), ("layer", "LayerParameter"))}  # fmt: skip
    budget = iter(range(MAX_FIELDS))
    layers: dict[str, list[Tensor]] = {}
    for number, start, end in _fields(wire, 0, len(wire), budget):
        if number not in layouts:
            continue
        layout = layouts[number]
        for inner, blob_start, blob_end in _fields(wire, start, end, budget):
            if inner == SCHEMA[layout]["blobs"][0]:
                _check_blob(wire, blob_start, blob_end, budget)
        name, blobs = _decoded(layout, wire, start, end)
        if blobs and name in layers:
            raise ValueError(f"two layers with weights are called {name}")
        if blobs:
            layers[name] = [_tensor(f"{name}, blob {rank}", *blob) for rank, blob in enumerate(blobs)]
    if not layers:
        raise ValueError("it holds no layer with weights")
    return layers


def _fields(wire: mmap.mmap, start: int, end: int, budget: Iterator[int]) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of every field with a length of its own in the message at wire[start:end]."""
    while start < end:
        if next(budget, None) is None:
            raise ValueError(f"it has more than {MAX_FIELDS} fields")
        at = start
        key, start = _varint(wire, start, end)
        number, kind, length = key >> 3, key & 7, 0
        if not 1 <= number < 1 << 29 or kind not in (0, 1, 2, 5):  # groups, 3 and 4, are older than Caffe
            raise ValueError(f"no field starts at byte {at}")
        if kind == 0:
            _, start = _varint(wire, start, end)
        elif kind == 2:
            length, start = _varint(wire, start, end)
        else:
            length = 8 if kind == 1 else 4
        if length > end - start:
            raise ValueError(f"the field at byte {at} claims {length} bytes, {end - start} are left")
        if kind == 2:
            yield number, start, start + length
        start += length


def _varint(wire: mmap.mmap, start: int, end: int) -> tuple[int, int]:
    """The number, seven bits a byte, and where it ends."""
    value = 0
    for position in range(start, min(start + 10, end)):
        value |= (wire[position] & 127) << 7 * (position - start)
        if wire[position] < 128:
            return value, position + 1
    raise ValueError(f"no number ends after byte {start}")


def _check_blob(wire: mmap.mmap, start: int, end: int, budget: Iterator[int]) -> None:
    for number, shape_start, shape_end in _fields(wire, start, end, budget):
        if number == SCHEMA["BlobProto"]["shape"][0] and shape_end - shape_start > 11 * MAX_AXES:
            raise ValueError(f"the shape at byte {shape_start} has more than {MAX_AXES} axes")


def _decoded(
    layout: str, wire: mmap.mmap, start: int, end: int
) -> tuple[str, list[tuple[tuple[int, ...], bytes, str]]]:
    """Name, and of every blob the shape, the numbers' bytes and their type; only those outlive this function."""
    layer = message_types()[layout].FromString(wire[start:end])  # the copy is freed at once
    if len(layer.name) > MAX_NAME_BYTES:
        raise ValueError(f"a layer's name has {len(layer.name)} bytes")
    blobs = []
    for blob in layer.blobs:
        legacy = any(blob.HasField(axis) for axis in LEGACY_AXES)
        shape = tuple(getattr(blob, axis) for axis in LEGACY_AXES) if legacy else tuple(blob.shape.dim)
        kind, chunks = ("<f8", blob.double_data) if blob.double_data else ("<f4", blob.data)
        blobs.append((shape, b"".join(chunks), kind))
    return layer.name.decode(errors="backslashreplace"), blobs


def _tensor(blob: str, shape: tuple[int, ...], numbers: bytes, kind: str) -> Tensor:
    if len(shape) > MAX_AXES or min(shape, default=1) < 1:
        raise ValueError(f"{blob} has shape {shape[:MAX_AXES]}; up to {MAX_AXES} axes of at least 1 are required")
    size = np.dtype(kind).itemsize
    if len(numbers) != size * math.prod(shape):
        raise ValueError(
            f"{blob} has shape {shape}, which is {math.prod(shape)} numbers, but holds {len(numbers) / size:g}"
        )
    with np.errstate(over="ignore"):  # what is too large for float32 becomes Inf, which the loaders refuse
        return torch.from_numpy(np.frombuffer(numbers, kind).astype(np.float32).reshape(shape))
