"""Caffe's files are read as they were written."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from torch import Generator
from torch.nn import functional

from models.caffe import message_types, read_caffe
from models.matching import to_state
from tests.helpers.caffe_files import LAYOUTS, write_caffemodel
from tests.helpers.networks import random_convolution


@pytest.mark.parametrize(("layout", "legacy"), LAYOUTS)
def test_what_is_written_is_read_bit_for_bit_and_in_order(tmp_path: Path, layout: str, legacy: bool) -> None:
    blobs = {"b": random_convolution(4, 3, 5), "a": [torch.randn(2, 3)], "weird/näme": [torch.randn(7), torch.randn(1)]}
    layers = read_caffe(write_caffemodel(tmp_path / "net.caffemodel", blobs, layout, legacy))
    assert list(layers) == list(blobs)
    for name, tensors in blobs.items():
        for tensor, got in zip(tensors, layers[name], strict=True):
            expected = tensor.reshape((1,) * (4 - tensor.ndim) + tuple(tensor.shape)) if legacy else tensor
            assert got.dtype == torch.float32 and torch.equal(got, expected)
            got.add_(1)  # memory of its own, not the file's


def test_declaring_the_numbers_as_bytes_is_the_packed_floats_of_the_format() -> None:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="floats.proto", package="floats", syntax="proto2")
    message = file.message_type.add(name="BlobProto")
    for name, number, kind in (("data", 5, field.TYPE_FLOAT), ("double_data", 8, field.TYPE_DOUBLE)):
        own = message.field.add(name=name, number=number, type=kind, label=field.LABEL_REPEATED)
        own.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    floats = message_factory.GetMessageClass(pool.FindMessageTypeByName("floats.BlobProto"))
    numbers = np.array([1.5, -0.0, 3e38, 1e-42], "<f4")
    for name, kind in (("data", "<f4"), ("double_data", "<f8")):
        theirs = floats(**{name: numbers.tolist()}).SerializeToString()
        assert message_types()["BlobProto"](**{name: [numbers.astype(kind).tobytes()]}).SerializeToString() == theirs


def test_doubles_are_narrowed_and_numbers_in_pieces_are_joined(tmp_path: Path) -> None:
    net = message_types()["NetParameter"]()
    pieces = [np.float32([1, 2]).tobytes(), np.float32([3]).tobytes()]
    net.layer.add(name=b"pieces").blobs.add(data=pieces).shape.dim.append(3)
    net.layer.add(name=b"doubles").blobs.add(double_data=[np.float64([0.1, 4]).tobytes()]).shape.dim.extend([2, 1])
    net.layer.add(name=b"relu")
    net.layer.add(name=b"relu")  # V1 files call training's and testing's layers alike
    net.layer.add(name=b"scalar").blobs.add(data=[np.float32([5]).tobytes()])
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net.SerializeToString() + b"\x0a\x02hi\x18\x07\x25abcd\x21abcdefgh")  # and fields nobody knows
    layers = read_caffe(path)
    assert list(layers) == ["pieces", "doubles", "scalar"]
    assert layers["pieces"][0].tolist() == [1, 2, 3]
    assert torch.equal(layers["doubles"][0], torch.tensor([[0.1], [4]]))
    assert layers["scalar"][0].shape == ()


@pytest.mark.parametrize(("layout", "legacy"), LAYOUTS)
def test_an_rgb_image_through_our_layer_is_what_opencv_makes_of_the_bgr_image(
    tmp_path: Path, layout: str, legacy: bool
) -> None:
    """OpenCV's own importer reads the same bytes, so the numbers of the fields are the format's."""
    prototxt = b"""
        input: "data" input_dim: 1 input_dim: 3 input_dim: 6 input_dim: 7
        layer { name: "conv1_1" type: "Convolution" bottom: "data" top: "out"
                convolution_param { num_output: 4 kernel_size: 3 } }"""
    path = write_caffemodel(tmp_path / "net.caffemodel", {"conv1_1": random_convolution(4, 3, 3)}, layout, legacy)
    rgb = torch.randn((1, 3, 6, 7), generator=Generator().manual_seed(1))
    network = cv2.dnn.readNetFromCaffe(np.frombuffer(prototxt, np.uint8), np.fromfile(path, np.uint8))
    network.setInput(rgb.flip(1).numpy())
    expected = torch.from_numpy(network.forward())
    state = to_state(read_caffe(path), {"conv1_1.weight": (4, 3, 3, 3), "conv1_1.bias": (4,)}).tensors
    ours = functional.conv2d(rgb, state["conv1_1.weight"], state["conv1_1.bias"])
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(functional.conv2d(rgb.flip(1), *state.values()), expected, atol=0.1)
