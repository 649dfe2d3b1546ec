"""Caffe's weights in its binary format."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from models.caffe import message_types

CONVOLUTION_V1 = 4  # the type's number in the old layout
LAYOUTS = [("layer", False), ("layer", True), ("layers", False), ("layers", True)]  # layout, legacy


def caffemodel_bytes(blobs: Mapping[str, Sequence[Tensor]], layout: str = "layer", legacy: bool = False) -> bytes:
    """A file of these layers, in the new format (`layer`) or in V1 (`layers`).

    `legacy` writes every shape in four dimensions, as the old format does.
    """
    net = message_types()["NetParameter"](name=b"net")
    for name, tensors in blobs.items():
        layer = getattr(net, layout).add(
            name=name.encode(), type=CONVOLUTION_V1 if layout == "layers" else b"Convolution"
        )
        for tensor in tensors:
            blob = layer.blobs.add(data=[tensor.numpy().astype("<f4").tobytes()])
            if legacy:
                blob.num, blob.channels, blob.height, blob.width = (1,) * (4 - tensor.ndim) + tuple(tensor.shape)
            else:
                blob.shape.dim.extend(tensor.shape)
    content: bytes = net.SerializeToString()
    return content


def write_caffemodel(
    path: Path, blobs: Mapping[str, Sequence[Tensor]], layout: str = "layer", legacy: bool = False
) -> Path:
    path.write_bytes(caffemodel_bytes(blobs, layout, legacy))
    return path
