"""Every tensor of Caffe's files lands in its layer, or the file is refused as another network."""

import math
from pathlib import Path

import pytest
import torch
from torch import Generator
from torch.nn import functional

from models.caffe import read_caffe
from models.matching import fitted, to_state
from models.pretrained import Pretrained, Report
from tests.helpers.caffe_files import LAYOUTS, write_caffemodel
from tests.helpers.networks import narrow_blobs, narrow_shapes, random_convolution
from tests.helpers.released_networks import RELEASED


@pytest.mark.parametrize(("layout", "legacy"), LAYOUTS)
@pytest.mark.parametrize("network", RELEASED)
def test_every_layer_of_a_released_file_lands_in_the_layer_of_its_rank(
    tmp_path: Path, network: str, layout: str, legacy: bool
) -> None:
    blobs, expected = narrow_blobs(network, [2, 2, 4, 8, 16, 32, 32] if network == "voc" else [])
    file = write_caffemodel(
        tmp_path / "net.caffemodel", blobs | {"ctx_upsample": [torch.ones(2, 1, 16, 16)]}, layout, legacy
    )
    matched = to_state(read_caffe(file), expected)
    assert list(matched.states) == list(expected)
    in_order = [tensor for tensors in blobs.values() for tensor in tensors]
    for (name, shape), tensor in zip(expected.items(), in_order, strict=True):
        assert matched.tensors[name].shape == shape
        assert torch.equal(matched.tensors[name], tensor.flip(1) if name == "frontend.conv1_1.weight" else tensor)
        assert matched.states[name] == ("reshaped" if legacy and name.endswith(".bias") else "loaded")
    assert matched.unused == ["ctx_upsample.weight"]


def test_order_in_the_file_does_not_matter() -> None:
    blobs, expected = narrow_blobs("cityscapes")
    backwards = to_state(dict(reversed(blobs.items())), expected)
    forwards = to_state(blobs, expected)
    assert all(torch.equal(backwards.tensors[name], forwards.tensors[name]) for name in expected)


def test_inner_products_become_convolutions_of_the_same_numbers(tmp_path: Path) -> None:
    """As VGG's authors released it: V1, fc6 a matrix in four dimensions, a thousand classes."""
    generator = Generator().manual_seed(0)
    matrix, bias = (torch.randn(shape, generator=generator) for shape in ((6, 5 * 49), (6,)))
    blobs = {
        "conv5_3": random_convolution(5, 5, 3),
        "fc6": [matrix, bias],
        "fc8": [torch.randn(1000, 6), torch.randn(1000)],
    }
    layers = read_caffe(write_caffemodel(tmp_path / "vgg.caffemodel", blobs, "layers", legacy=True))
    assert layers["fc6"][0].shape == (1, 1, 6, 245)
    assert layers["fc6"][1].shape == (1, 1, 1, 6)
    matched = to_state(layers, narrow_shapes([1, 1]))
    patch = torch.randn(1, 5, 7, 7, dtype=torch.float64, generator=generator)
    weight, own_bias = (matched.tensors[f"frontend.fc6.{kind}"].double() for kind in ("weight", "bias"))
    linear = functional.linear(patch.flatten(1), matrix.double(), bias.double())
    torch.testing.assert_close(functional.conv2d(patch, weight, own_bias).flatten(1), linear)
    assert matched.states["frontend.fc6.weight"] == matched.states["frontend.fc6.bias"] == "reshaped"
    assert matched.unused == ["fc8.weight", "fc8.bias"]


@pytest.mark.parametrize(
    ("shape", "expected", "fits"),
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
    shape: tuple[int, ...], expected: tuple[int, ...], fits: bool
) -> None:
    shaped = fitted(torch.arange(math.prod(shape)).reshape(shape), expected)
    assert (shaped is not None) == fits
    if shaped is not None:
        assert shaped.shape == expected
        assert torch.equal(shaped.flatten(), torch.arange(math.prod(shape)))


def test_layers_that_the_file_lacks_are_reported_and_move_no_other() -> None:
    """Basic's layers all have one shape: without ctx_conv2_1 the next must not take its place."""
    blobs, expected = narrow_blobs("camvid")
    absent = {"conv3_2", "fc7", "ctx_conv2_1"}
    matched = to_state({name: tensors for name, tensors in blobs.items() if name not in absent}, expected)
    missing = ["frontend.conv3_2", "frontend.fc7", "context.ctx_conv3"]
    assert [name for name in expected if matched.states[name] == "missing"] == [
        f"{layer}.{kind}" for layer in missing for kind in ("weight", "bias")
    ]
    assert torch.equal(matched.tensors["context.ctx_conv4.weight"], blobs["ctx_conv3_1"][0])
    assert torch.equal(matched.tensors["context.ctx_conv7.weight"], blobs["ctx_fc1"][0])
    assert matched.tensors.keys() == {name for name in expected if matched.states[name] == "loaded"}
    report = Report(Pretrained({}, (1, 2, 3), (1, 1, 1), "net.caffemodel"), matched.states, matched.unused)
    assert "  missing: frontend.conv3_2, frontend.fc7, context.ctx_conv3 (6 tensors)" in str(report).splitlines()


def test_a_layer_without_bias_or_with_more_blobs_is_reported() -> None:
    weight, bias = random_convolution(2, 3, 3)
    expected = {"conv1_1.weight": (2, 3, 3, 3), "conv1_1.bias": (2,)}
    assert to_state({"conv1_1": [weight]}, expected).states["conv1_1.bias"] == "missing"
    with pytest.raises(ValueError, match=r"conv1_1.blob2: \(1,\) in the file, absent in the network"):
        to_state({"conv1_1": [weight, bias, torch.ones(1)]}, expected)


def test_a_front_end_alone_takes_its_part() -> None:
    blobs, expected = narrow_blobs("voc")
    front = {name.removeprefix("frontend."): shape for name, shape in expected.items() if name.startswith("frontend.")}
    matched = to_state(blobs, front)
    assert set(matched.states.values()) == {"loaded"}
    assert torch.equal(matched.tensors["final.weight"], blobs["fc-final"][0])
    assert matched.unused[0] == "ct_conv1_1.weight" and len(matched.unused) == 16


def test_mismatches_are_refused_with_names_and_both_shapes() -> None:
    blobs, expected = narrow_blobs("camvid")
    blobs |= {"conv2_2": random_convolution(3, 9, 3), "fc6": [torch.ones(6, 245), torch.ones(7)]}
    with pytest.raises(ValueError, match="another network") as error:
        to_state(blobs, expected)
    assert str(error.value).splitlines()[1:] == [
        "  conv2_2.weight: (3, 9, 3, 3) in the file, (3, 3, 3, 3) in the network",
        "  fc6.bias: (7,) in the file, (6,) in the network",
    ]


@pytest.mark.parametrize(
    ("released_for", "network", "message"),
    [
        ("camvid", "kitti", r"ctx_conv5_1.weight: \(2, 2, 3, 3\) in the file, absent in the network"),
        ("cityscapes", "voc", r"ctx_conv6_1.weight: \(2, 2, 3, 3\) in the file, absent in the network"),
    ],
)
def test_a_longer_context_module_is_another_network(released_for: str, network: str, message: str) -> None:
    """Every shape would agree."""
    with pytest.raises(ValueError, match=message):
        to_state(narrow_blobs(released_for)[0], narrow_blobs(network)[1])


def test_other_architectures_are_refused() -> None:
    expected = narrow_shapes([1, 1])
    alexnet = {"conv1": random_convolution(96, 3, 11), "conv2": random_convolution(256, 48, 5)}
    with pytest.raises(ValueError, match=r"conv1.weight: \(96, 3, 11, 11\) in the file, absent"):
        to_state(alexnet, expected)
    with pytest.raises(ValueError, match="no name agrees"):
        to_state({"res2a_branch1": random_convolution(2, 2, 1)}, expected)
    with pytest.raises(ValueError, match=r"conv3_4.weight: .* absent"):  # VGG-19
        to_state({"conv3_3": random_convolution(4, 4, 3), "conv3_4": random_convolution(4, 4, 3)}, expected)


def test_two_layers_for_one_parameter_are_refused() -> None:
    both = {"final": random_convolution(2, 6, 1), "fc-final": random_convolution(2, 6, 1)}
    with pytest.raises(ValueError, match="final and fc-final"):
        to_state(both, narrow_shapes([1, 1]))
    both = {"ctx_fc1": random_convolution(2, 2, 3), "ct_fc1": random_convolution(2, 2, 3)}
    with pytest.raises(ValueError, match=r"context.ctx_conv2.weight twice"):
        to_state(both, narrow_shapes([1, 1]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"NaN or Inf in frontend.final.bias"):
        to_state({"final": [torch.ones(2, 6, 1, 1), torch.tensor([1, bad])]}, narrow_shapes([1, 1]))
