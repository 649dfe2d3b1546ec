"""Caffe's files as `model.pretrained`."""

from pathlib import Path

import pytest
import torch

from configs.schema import ModelConfig
from models.build import build_segmenter
from models.frontend import Frontend
from models.matching import by_our_names
from models.pretrained import load_into, read_pretrained
from tests.helpers.caffe_files import write_caffemodel
from tests.helpers.networks import narrow_blobs, narrow_vgg, random_convolution


def test_imagenet_weights_start_a_front_end(tmp_path: Path) -> None:
    """VGG-16 without its classes, as the authors' trainer takes it."""
    blobs, _ = narrow_blobs("camvid")
    start = {name: tensors for name, tensors in blobs.items() if name != "final" and not name.startswith("ctx_")}
    path = write_caffemodel(tmp_path / "vgg_conv.caffemodel", start, legacy=True)
    config = ModelConfig(frontend=narrow_vgg(), padding="zero", pretrained=str(path))
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
    blobs, _ = narrow_blobs("camvid")
    blobs = {name: tensors for name, tensors in blobs.items() if name.startswith(("conv", "fc"))}
    blobs |= {"fc6": [blobs["fc6"][0].flatten(1), blobs["fc6"][1]], "fc8": [torch.ones(10, 6), torch.ones(10)]}
    target = Frontend(narrow_vgg(), 2, "zero")
    path = write_caffemodel(tmp_path / "vgg.caffemodel", blobs, "layers", legacy=True)
    report = load_into(target, read_pretrained(str(path)))
    assert torch.equal(target.get_parameter("fc6.weight").flatten(1), blobs["fc6"][0])
    assert report.states["fc6.weight"] == "reshaped"
    assert report.unused == ["fc8.weight", "fc8.bias"]


def test_other_networks_and_files_start_no_front_end(tmp_path: Path) -> None:
    path = write_caffemodel(
        tmp_path / "alexnet.caffemodel", {"conv1": random_convolution(96, 3, 11), "fc7": random_convolution(6, 6, 1)}
    )
    with pytest.raises(ValueError, match=rf"model.pretrained={path}: the weights of another network, with conv1, fc7"):
        read_pretrained(str(path))
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=rf"model.pretrained={path}: not readable as Caffe's weights: .*empty"):
        read_pretrained(str(path))
    assert by_our_names({"conv1_1": [torch.zeros(1)]})["conv1_1.weight"].shape == (1,)
