"""Caffe's files are read as they were written, every tensor lands in its layer, and nothing else is believed."""

import io
import math
import pickle
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from PIL import Image
from torch import Generator, Tensor
from torch.nn import functional

from configs.schema import ContextConfig, FrontendConfig, ModelConfig, Padding
from models.build import build_segmenter
from models.caffe import MESSAGES, by_our_names, fitted, read_caffe, to_state
from models.context import Context
from models.frontend import Frontend
from models.pretrained import Pretrained, Report, load_into, read_pretrained
from tests.helpers.caffe_files import RELEASED, caffemodel_bytes, write_caffemodel

ROOT = Path(__file__).resolve().parents[2]
LAYOUTS = [("layer", False), ("layer", True), ("layers", False), ("layers", True)]


def convolution(out_channels: int, in_channels: int, kernel: int, seed: int = 0) -> list[Tensor]:
    generator = Generator().manual_seed(seed)
    shape = (out_channels, in_channels, kernel, kernel)
    return [torch.randn(shape, generator=generator), torch.randn(out_channels, generator=generator)]


# Reading


@pytest.mark.parametrize(("layout", "legacy"), LAYOUTS)
def test_what_is_written_is_read_bit_for_bit_and_in_order(tmp_path: Path, layout: str, legacy: bool) -> None:
    blobs = {"b": convolution(4, 3, 5), "a": [torch.randn(2, 3)], "weird/näme": [torch.randn(7), torch.randn(1)]}
    found = read_caffe(write_caffemodel(tmp_path / "net.caffemodel", blobs, layout, legacy))
    assert list(found) == list(blobs)
    for name, tensors in blobs.items():
        for tensor, got in zip(tensors, found[name], strict=True):
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
        assert MESSAGES["BlobProto"](**{name: [numbers.astype(kind).tobytes()]}).SerializeToString() == theirs


def test_doubles_are_narrowed_and_numbers_in_pieces_are_joined(tmp_path: Path) -> None:
    net = MESSAGES["NetParameter"]()
    pieces = [np.float32([1, 2]).tobytes(), np.float32([3]).tobytes()]
    net.layer.add(name=b"pieces").blobs.add(data=pieces).shape.dim.append(3)
    net.layer.add(name=b"doubles").blobs.add(double_data=[np.float64([0.1, 4]).tobytes()]).shape.dim.extend([2, 1])
    net.layer.add(name=b"relu")
    net.layer.add(name=b"relu")  # V1 files call training's and testing's layers alike
    net.layer.add(name=b"scalar").blobs.add(data=[np.float32([5]).tobytes()])
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net.SerializeToString() + b"\x0a\x02hi\x18\x07\x25abcd\x21abcdefgh")  # and fields nobody knows
    found = read_caffe(path)
    assert list(found) == ["pieces", "doubles", "scalar"]
    assert found["pieces"][0].tolist() == [1, 2, 3]
    assert torch.equal(found["doubles"][0], torch.tensor([[0.1], [4]]))
    assert found["scalar"][0].shape == ()


@pytest.mark.parametrize(("layout", "legacy"), LAYOUTS)
def test_an_rgb_image_through_our_layer_is_what_opencv_makes_of_the_bgr_image(
    tmp_path: Path, layout: str, legacy: bool
) -> None:
    """OpenCV's own importer reads the same bytes, so the numbers of the fields are the format's."""
    prototxt = b"""
        input: "data" input_dim: 1 input_dim: 3 input_dim: 6 input_dim: 7
        layer { name: "conv1_1" type: "Convolution" bottom: "data" top: "out"
                convolution_param { num_output: 4 kernel_size: 3 } }"""
    path = write_caffemodel(tmp_path / "net.caffemodel", {"conv1_1": convolution(4, 3, 3)}, layout, legacy)
    rgb = torch.randn((1, 3, 6, 7), generator=Generator().manual_seed(1))
    network = cv2.dnn.readNetFromCaffe(np.frombuffer(prototxt, np.uint8), np.fromfile(path, np.uint8))
    network.setInput(rgb.flip(1).numpy())
    expected = torch.from_numpy(network.forward())
    state = to_state(read_caffe(path), {"conv1_1.weight": (4, 3, 3, 3), "conv1_1.bias": (4,)}).tensors
    ours = functional.conv2d(rgb, state["conv1_1.weight"], state["conv1_1.bias"])
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(functional.conv2d(rgb.flip(1), *state.values()), expected, atol=0.1)


# Names


def expected_of(dilations: list[int], widths: Sequence[int] = ()) -> dict[str, tuple[int, ...]]:
    """A narrow network's parameters, by the names of the whole."""
    frontend = Frontend(FrontendConfig(channels=[2, 3, 4, 5, 5], fc_channels=6), 2, Padding.zero)
    context = Context(ContextConfig(dilations=dilations, widths=list(widths)), 2, Generator())
    return {
        f"{part}.{name}": tuple(parameter.shape)
        for part, module in (("frontend", frontend), ("context", context))
        for name, parameter in module.named_parameters()
    }


def released(network: str, widths: Sequence[int] = ()) -> tuple[dict[str, list[Tensor]], dict[str, tuple[int, ...]]]:
    """Random blobs by the names of a released file, in its order, and our network's parameters."""
    rows = [row for row in RELEASED[network].rows() if row.kind == "Convolution"]
    context = [row for row in RELEASED[network].classifier if row.kernel_size == 3]
    expected = expected_of([row.dilation for row in context], widths)
    shapes = [shape for name, shape in expected.items() if name.endswith(".weight")]
    blobs = {
        row.name: convolution(shape[0], shape[1], shape[2], seed)
        for seed, (row, shape) in enumerate(zip(rows, shapes, strict=True))
    }
    return blobs, expected


@pytest.mark.parametrize(("layout", "legacy"), LAYOUTS)
@pytest.mark.parametrize("network", RELEASED)
def test_every_layer_of_a_released_file_lands_in_the_layer_of_its_rank(
    tmp_path: Path, network: str, layout: str, legacy: bool
) -> None:
    blobs, expected = released(network, [2, 2, 4, 8, 16, 32, 32] if network == "voc" else [])
    file = write_caffemodel(
        tmp_path / "net.caffemodel", blobs | {"ctx_upsample": [torch.ones(2, 1, 16, 16)]}, layout, legacy
    )
    taken = to_state(read_caffe(file), expected)
    assert list(taken.states) == list(expected)
    in_order = [tensor for tensors in blobs.values() for tensor in tensors]
    for (name, shape), tensor in zip(expected.items(), in_order, strict=True):
        assert taken.tensors[name].shape == shape
        assert torch.equal(taken.tensors[name], tensor.flip(1) if name == "frontend.conv1_1.weight" else tensor)
        assert taken.states[name] == ("reshaped" if legacy and name.endswith(".bias") else "loaded")
    assert taken.unused == ["ctx_upsample.weight"]


def test_order_in_the_file_does_not_matter() -> None:
    blobs, expected = released("cityscapes")
    backwards = to_state(dict(reversed(blobs.items())), expected)
    forwards = to_state(blobs, expected)
    assert all(torch.equal(backwards.tensors[name], forwards.tensors[name]) for name in expected)


def test_inner_products_become_convolutions_of_the_same_numbers(tmp_path: Path) -> None:
    """As VGG's authors released it: V1, fc6 a matrix in four dimensions, a thousand classes."""
    generator = Generator().manual_seed(0)
    matrix, bias = (torch.randn(shape, generator=generator) for shape in ((6, 5 * 49), (6,)))
    blobs = {"conv5_3": convolution(5, 5, 3), "fc6": [matrix, bias], "fc8": [torch.randn(1000, 6), torch.randn(1000)]}
    found = read_caffe(write_caffemodel(tmp_path / "vgg.caffemodel", blobs, "layers", legacy=True))
    assert found["fc6"][0].shape == (1, 1, 6, 245)
    assert found["fc6"][1].shape == (1, 1, 1, 6)
    taken = to_state(found, expected_of([1, 1]))
    patch = torch.randn(1, 5, 7, 7, dtype=torch.float64, generator=generator)
    weight, own_bias = (taken.tensors[f"frontend.fc6.{kind}"].double() for kind in ("weight", "bias"))
    linear = functional.linear(patch.flatten(1), matrix.double(), bias.double())
    torch.testing.assert_close(functional.conv2d(patch, weight, own_bias).flatten(1), linear)
    assert taken.states["frontend.fc6.weight"] == taken.states["frontend.fc6.bias"] == "reshaped"
    assert taken.unused == ["fc8.weight", "fc8.bias"]


@pytest.mark.parametrize(
    ("given", "wanted", "fits"),
    [
        ((1, 1, 1, 6), (6,), True),
        ((1, 1, 1, 1), (1,), True),
        ((1, 1, 6, 45), (6, 5, 3, 3), True),
        ((1, 1, 1, 45), (1, 5, 3, 3), True),
        ((6, 5), (6, 5, 1, 1), True),
        ((1, 1, 3, 3), (1, 1, 3, 3), True),
        ((5, 6, 3, 3), (6, 5, 3, 3), False),
        ((45, 6), (6, 5, 3, 3), False),
        ((6, 1, 1, 1), (6,), False),
        ((1, 1, 1, 7), (6,), False),
        ((3, 3, 5, 6), (6, 5, 3, 3), False),
    ],
)
def test_only_leading_ones_and_flattened_inputs_are_reshaped(
    given: tuple[int, ...], wanted: tuple[int, ...], fits: bool
) -> None:
    shaped = fitted(torch.arange(math.prod(given)).reshape(given), wanted)
    assert (shaped is not None) == fits
    if shaped is not None:
        assert shaped.shape == wanted
        assert torch.equal(shaped.flatten(), torch.arange(math.prod(given)))


def test_layers_that_the_file_lacks_are_reported_and_move_no_other() -> None:
    """Basic's layers all have one shape: without ctx_conv2_1 the next must not take its place."""
    blobs, expected = released("camvid")
    absent = {"conv3_2", "fc7", "ctx_conv2_1"}
    taken = to_state({name: tensors for name, tensors in blobs.items() if name not in absent}, expected)
    missing = ["frontend.conv3_2", "frontend.fc7", "context.ctx_conv3"]
    assert [name for name in expected if taken.states[name] == "missing"] == [
        f"{layer}.{kind}" for layer in missing for kind in ("weight", "bias")
    ]
    assert torch.equal(taken.tensors["context.ctx_conv4.weight"], blobs["ctx_conv3_1"][0])
    assert torch.equal(taken.tensors["context.ctx_conv7.weight"], blobs["ctx_fc1"][0])
    assert taken.tensors.keys() == {name for name in expected if taken.states[name] == "loaded"}
    report = Report(Pretrained({}, (1, 2, 3), (1, 1, 1), "net.caffemodel"), taken.states, taken.unused)
    assert "  missing: frontend.conv3_2, frontend.fc7, context.ctx_conv3 (6 tensors)" in str(report).splitlines()


def test_a_layer_without_bias_or_with_more_blobs_is_reported() -> None:
    weight, bias = convolution(2, 3, 3)
    expected = {"conv1_1.weight": (2, 3, 3, 3), "conv1_1.bias": (2,)}
    assert to_state({"conv1_1": [weight]}, expected).states["conv1_1.bias"] == "missing"
    with pytest.raises(ValueError, match=r"conv1_1.blob2: \(1,\) in the file, absent in the network"):
        to_state({"conv1_1": [weight, bias, torch.ones(1)]}, expected)


def test_a_front_end_alone_takes_its_part() -> None:
    blobs, expected = released("voc")
    front = {name.removeprefix("frontend."): shape for name, shape in expected.items() if name.startswith("frontend.")}
    taken = to_state(blobs, front)
    assert set(taken.states.values()) == {"loaded"}
    assert torch.equal(taken.tensors["final.weight"], blobs["fc-final"][0])
    assert taken.unused[0] == "ct_conv1_1.weight" and len(taken.unused) == 16


# Refusals


def test_mismatches_are_refused_with_names_and_both_shapes() -> None:
    blobs, expected = released("camvid")
    blobs |= {"conv2_2": convolution(3, 9, 3), "fc6": [torch.ones(6, 245), torch.ones(7)]}
    with pytest.raises(ValueError, match="another network") as told:
        to_state(blobs, expected)
    assert str(told.value).splitlines()[1:] == [
        "  conv2_2.weight: (3, 9, 3, 3) in the file, (3, 3, 3, 3) in the network",
        "  fc6.bias: (7,) in the file, (6,) in the network",
    ]


@pytest.mark.parametrize(
    ("given", "network", "message"),
    [
        ("camvid", "kitti", r"ctx_conv5_1.weight: \(2, 2, 3, 3\) in the file, absent in the network"),
        ("cityscapes", "voc", r"ctx_conv6_1.weight: \(2, 2, 3, 3\) in the file, absent in the network"),
    ],
)
def test_a_longer_context_module_is_another_network(given: str, network: str, message: str) -> None:
    """Every shape would agree."""
    with pytest.raises(ValueError, match=message):
        to_state(released(given)[0], released(network)[1])


def test_other_architectures_are_refused() -> None:
    expected = expected_of([1, 1])
    alexnet = {"conv1": convolution(96, 3, 11), "conv2": convolution(256, 48, 5)}
    with pytest.raises(ValueError, match=r"conv1.weight: \(96, 3, 11, 11\) in the file, absent"):
        to_state(alexnet, expected)
    with pytest.raises(ValueError, match="no name agrees"):
        to_state({"res2a_branch1": convolution(2, 2, 1)}, expected)
    with pytest.raises(ValueError, match=r"conv3_4.weight: .* absent"):  # VGG-19
        to_state({"conv3_3": convolution(4, 4, 3), "conv3_4": convolution(4, 4, 3)}, expected)


def test_two_answers_to_one_question_are_refused() -> None:
    both = {"final": convolution(2, 6, 1), "fc-final": convolution(2, 6, 1)}
    with pytest.raises(ValueError, match="final and fc-final"):
        to_state(both, expected_of([1, 1]))
    both = {"ctx_fc1": convolution(2, 2, 3), "ct_fc1": convolution(2, 2, 3)}
    with pytest.raises(ValueError, match=r"context.ctx_conv2.weight twice"):
        to_state(both, expected_of([1, 1]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"NaN or Inf in frontend.final.bias"):
        to_state({"final": [torch.ones(2, 6, 1, 1), torch.tensor([1, bad])]}, expected_of([1, 1]))


def field(number: int, content: bytes, claimed: int | None = None) -> bytes:
    """A field with a length, which may lie."""
    return varint(number << 3 | 2) + varint(len(content) if claimed is None else claimed) + content


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    groups = [value >> shift & 127 for shift in range(0, max(1, value.bit_length()), 7)]
    return bytes(group | 128 for group in groups[:-1]) + bytes(groups[-1:])


def one_blob(dims: Sequence[int], data: bytes, legacy: bool = False) -> bytes:
    """A file of one layer called x with one blob."""
    axes = b"".join(varint(axis << 3) + varint(size) for axis, size in enumerate(dims, 1))
    shape = axes if legacy else field(7, field(1, b"".join(varint(size) for size in dims)))
    return field(100, field(1, b"x") + field(7, shape + field(5, data)))


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(file, "jpeg")
    return file.getvalue()


def zipped() -> bytes:
    file = io.BytesIO()
    torch.save({"a": torch.ones(3)}, file)
    return file.getvalue()


def nested(depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        content = field(100, content)
    return content


GOOD = caffemodel_bytes({"x": [torch.arange(6.0).reshape(2, 3)]})
MILLION = 1_000_000
HOSTILE = {
    "empty": (b"", "empty"),
    "text": (b"once upon a time there was a butterfly\n" * 100, "no field starts at byte"),
    "prototxt": (b'name: "VGG"\nlayer {\n  name: "conv1_1"\n}\n', "no field starts at byte 0"),
    "prototxt of layers": (b'layer {\n  name: "conv1_1"\n}\n', "no field starts at byte 0"),
    "jpeg": (jpeg(), "starts at byte|are left|no number|no layer"),
    "pickle": (pickle.dumps({"conv1_1": [1.0] * 100}), "starts at byte|are left|no number|no layer"),
    "zip": (zipped(), "starts at byte|are left|no number|no layer"),
    "zeros": (bytes(MILLION), "no field starts at byte 0"),
    "ones": (b"\xff" * MILLION, "no number ends after byte 0"),
    "a terabyte claimed for a layer": (field(100, b"", 1 << 40), f"claims {1 << 40} bytes, 0 are left"),
    "more than 64 bits claimed": (varint(802) + b"\xff" * 9 + b"\x7f", r"claims \d+ bytes, 0 are left"),
    "a gigabyte claimed for a blob": (field(100, field(7, b"abc", 1 << 30)), "claims 1073741824 bytes, 3 are left"),
    "a gigabyte claimed for data": (field(100, field(7, field(5, b"", 1 << 30))), "claims 1073741824 bytes, 0 are"),
    "a blob that ends after its layer": (field(100, field(7, b"", 9)) + bytes(20), "claims 9 bytes, 0 are left"),
    "five million layers": (field(100, b"") * 5 * MILLION, "more than 100000 fields"),
    "five million blobs": (field(100, field(7, b"") * 5 * MILLION), "more than 100000 fields"),
    "five million V1 blobs": (field(2, field(6, b"") * 5 * MILLION), "more than 100000 fields"),
    "five million pieces": (field(100, field(7, field(5, b"") * 5 * MILLION)), "more than 100000 fields"),
    "five million axes": (one_blob([1] * 5 * MILLION, b"abcd"), "more than 32 axes"),
    "fifty thousand loose axes": (field(100, field(7, field(7, b"\x08\x01" * 50_000))), "more than 32 axes"),
    "thirty-three axes": (one_blob([1] * 33, b"abcd"), "up to 32 axes"),
    "fewer numbers than the shape": (
        one_blob([3, 4], bytes(44)),
        r"x, blob 0 has shape \(3, 4\), which is 12 .* holds 11",
    ),
    "more numbers than the shape": (one_blob([3, 4], bytes(52)), "is 12 numbers, but holds 13"),
    "half a number": (one_blob([3, 4], bytes(46)), "is 12 numbers, but holds 11.5"),
    "no numbers": (one_blob([3], b""), "is 3 numbers, but holds 0"),
    "a negative axis": (one_blob([-3, -4], bytes(48)), r"shape \(-3, -4\); .*at least 1"),
    "a negative old axis": (one_blob([1, 1, -3, -4], bytes(48), legacy=True), "at least 1 are required"),
    "an axis of nothing": (one_blob([0, 4], b""), "at least 1 are required"),
    "gigabytes": (one_blob([1 << 40, 1 << 40], bytes(8)), "but holds 2"),
    "a product that overflows to 0": (one_blob([1 << 32, 1 << 32], b""), "but holds 0"),
    "a product that overflows to 4": (one_blob([1 << 32, (1 << 32) + 1, 1 << 32, 4], bytes(16)), "but holds 4"),
    "an axis missing": (field(100, field(7, b"\x08\x03" + field(5, bytes(12)))), r"shape \(3, 0, 0, 0\)"),
    "a long name": (field(100, field(7, b"") + field(1, bytes(2 * MILLION))), "name has 2000000 bytes"),
    "groups a million deep": (b"\x0b" * MILLION, "no field starts at byte 0"),
    "groups in a layer": (field(100, b"\x23" * MILLION), "no field starts at byte 5"),
    "layers a thousand deep": (nested(1000), "no layer with weights"),
    "no layers": (field(1, b"net"), "no layer with weights"),
    "V0": (field(2, field(1, field(1, b"conv1") + field(50, b""))), "no layer with weights"),
    "one name twice": (GOOD + GOOD, "two layers with weights are called x"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_such_file_is_told_at_once(tmp_path: Path, case: str) -> None:
    path = tmp_path / "net.caffemodel"
    content, message = HOSTILE[case]
    path.write_bytes(content)
    start = time.process_time()
    with pytest.raises(ValueError, match=message) as told:
        read_caffe(path)
    assert time.process_time() - start < 1
    assert str(told.value).startswith(f"{path}: not readable as Caffe's weights: ")
    assert len(str(told.value)) < 1000


def test_no_hostile_file_takes_memory(tmp_path: Path) -> None:
    """Each is read with 96 MiB of address space to spare, its own mapping included."""
    for number, (content, _) in enumerate(HOSTILE.values()):
        (tmp_path / f"{number}.caffemodel").write_bytes(content)
    program = """
import resource, sys
from pathlib import Path
from models.caffe import read_caffe
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 96 * 2**20, resource.RLIM_INFINITY))
for path in Path(sys.argv[1]).iterdir():
    try:
        read_caffe(path)
    except ValueError as error:
        print("refused")
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["refused"] * len(HOSTILE)


@pytest.mark.parametrize(("layout", "legacy"), LAYOUTS)
def test_a_file_cut_anywhere_is_refused_or_lacks_whole_layers(tmp_path: Path, layout: str, legacy: bool) -> None:
    blobs = {"a": [torch.randn(2, 3), torch.randn(2)], "b": [torch.randn(3, 1)]}
    whole, path = caffemodel_bytes(blobs, layout, legacy), tmp_path / "net.caffemodel"
    length_of_a = len(caffemodel_bytes({"a": blobs["a"]}, layout, legacy))
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        if length == length_of_a:
            assert list(read_caffe(path)) == ["a"]
            continue
        with pytest.raises(ValueError, match=r"not readable as Caffe's weights"):
            read_caffe(path)


def test_flipped_bytes_never_raise_anything_else(tmp_path: Path) -> None:
    """Of 500 files with one byte changed, each is refused, or read to the shapes that it then claims."""
    generator, path = np.random.default_rng(0), tmp_path / "net.caffemodel"
    for _ in range(500):
        content = bytearray(GOOD)
        content[generator.integers(len(content))] = generator.integers(256)
        path.write_bytes(content)
        try:
            found = read_caffe(path)
        except ValueError:
            continue
        assert all(len(tensors) == 1 and tensors[0].numel() == 6 for tensors in found.values())


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.caffemodel"):
        with pytest.raises(ValueError, match="not readable as Caffe's weights"):
            read_caffe(path)


# model.pretrained


def test_imagenet_weights_start_a_front_end(tmp_path: Path) -> None:
    """VGG-16 without its classes, as the authors' trainer takes it."""
    blobs, _ = released("camvid")
    start = {name: tensors for name, tensors in blobs.items() if name != "final" and not name.startswith("ctx_")}
    path = write_caffemodel(tmp_path / "vgg_conv.caffemodel", start, legacy=True)
    config = ModelConfig(
        frontend=FrontendConfig(channels=[2, 3, 4, 5, 5], fc_channels=6), padding=Padding.zero, pretrained=str(path)
    )
    segmenter, report = build_segmenter(config, 2, (), seed=0)
    assert segmenter.mean_rgb.flatten().tolist() == pytest.approx([122.679, 116.669, 104.007])
    assert segmenter.scale_rgb.flatten().tolist() == [1, 1, 1]
    assert torch.equal(segmenter.frontend.get_parameter("conv1_1.weight"), start["conv1_1"][0].flip(1))
    assert torch.equal(segmenter.frontend.get_parameter("fc7.bias"), start["fc7"][1])
    assert str(report).splitlines()[1:] == [
        "  loaded: conv1_1 ... fc7 (15 tensors)",
        "  reshaped: conv1_1 ... fc7 (15 tensors)",
        "  fresh: final (2 tensors)",
    ]


def test_an_inner_product_starts_fc6_and_the_thousand_classes_are_unused(tmp_path: Path) -> None:
    blobs, _ = released("camvid")
    blobs = {name: tensors for name, tensors in blobs.items() if name.startswith(("conv", "fc"))}
    blobs |= {"fc6": [blobs["fc6"][0].flatten(1), blobs["fc6"][1]], "fc8": [torch.ones(10, 6), torch.ones(10)]}
    target = Frontend(FrontendConfig(channels=[2, 3, 4, 5, 5], fc_channels=6), 2, Padding.zero)
    path = write_caffemodel(tmp_path / "vgg.caffemodel", blobs, "layers", legacy=True)
    report = load_into(target, read_pretrained(str(path)))
    assert torch.equal(target.get_parameter("fc6.weight").flatten(1), blobs["fc6"][0])
    assert report.states["fc6.weight"] == "reshaped"
    assert report.unused == ["fc8.weight", "fc8.bias"]


def test_other_networks_and_files_start_no_front_end(tmp_path: Path) -> None:
    path = write_caffemodel(
        tmp_path / "alexnet.caffemodel", {"conv1": convolution(96, 3, 11), "fc7": convolution(6, 6, 1)}
    )
    with pytest.raises(ValueError, match=rf"model.pretrained={path}: the weights of another network, with conv1, fc7"):
        read_pretrained(str(path))
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=rf"model.pretrained={path}: not readable as Caffe's weights: .*empty"):
        read_pretrained(str(path))
    assert by_our_names({"conv1_1": [torch.zeros(1)]})["conv1_1.weight"].shape == (1,)
