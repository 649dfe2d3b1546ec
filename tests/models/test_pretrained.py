"""Weights land in the layer of the same rank with the preprocessing they were trained with, or are refused."""

import pickle
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import VGG16_Weights, vgg16

from configs.compose import compose
from configs.schema import WEIGHT_SUFFIXES, FrontendConfig
from models.frontend import Frontend
from models.pretrained import OPTIONS, Pretrained, load_into, read_pretrained
from tests.helpers.networks import NARROW_CHANNELS, narrow_vgg

FEATURES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # torchvision's convolutions


def frontend(num_classes: int = 3, **changes: object) -> Frontend:
    return Frontend(narrow_vgg(**changes), num_classes, "zero")


def torchvision_state(with_classifier: bool = False) -> dict[str, Tensor]:
    """What torchvision would save of a VGG-16 that narrow."""
    generator = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {}
    blocks = zip(NARROW_CHANNELS, (2, 2, 3, 3, 3), strict=True)
    channels = [3, *(width for width, depth in blocks for _ in range(depth))]
    for index, (before, after) in zip(FEATURES, pairwise(channels), strict=True):
        shapes |= {f"features.{index}.weight": (after, before, 3, 3), f"features.{index}.bias": (after,)}
    if with_classifier:
        for index, before, after in ((0, 5 * 49, 6), (3, 6, 6), (6, 6, 10)):
            shapes |= {f"classifier.{index}.weight": (after, before), f"classifier.{index}.bias": (after,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def saved(path: Path, state: object, metadata: dict[str, str] | None = None) -> str:
    if path.suffix == ".safetensors":
        save_file(state, path, metadata)  # type: ignore[arg-type]
    else:
        torch.save(state, path)
    return str(path)


def test_names_and_shapes_are_those_of_torchvisions_own_network() -> None:
    with torch.device("meta"):
        theirs = vgg16().state_dict()
        ours = Frontend(FrontendConfig(), 21, "reflect")
    rank = [name for name in theirs if name.startswith("features.")]
    assert rank == [f"features.{index}.{kind}" for index in FEATURES for kind in ("weight", "bias")]
    expected = [tuple(tensor.shape) for name, tensor in ours.state_dict().items() if name.startswith("conv")]
    assert [tuple(theirs[name].shape) for name in rank] == expected
    assert theirs["classifier.0.weight"].numel() == ours.get_parameter("fc6.weight").numel()


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_every_convolution_gets_the_tensor_of_its_rank(tmp_path: Path, suffix: str) -> None:
    state, target = torchvision_state(), frontend()
    before = target.get_parameter("fc6.weight").clone()
    report = load_into(target, read_pretrained(saved(tmp_path / f"vgg{suffix}", state)))
    layers = [
        f"conv{block}_{number}" for block, depth in enumerate((2, 2, 3, 3, 3), 1) for number in range(1, depth + 1)
    ]
    for layer, index in zip(layers, FEATURES, strict=True):
        for kind in ("weight", "bias"):
            assert torch.equal(target.get_parameter(f"{layer}.{kind}"), state[f"features.{index}.{kind}"])
    assert torch.equal(target.get_parameter("fc6.weight"), before)
    assert list(report.states) == list(target.state_dict())
    assert str(report).splitlines()[1:] == [
        "  loaded: conv1_1 ... conv5_3 (26 tensors)",
        "  fresh: fc6, fc7, final (6 tensors)",
    ]


def test_linear_layers_become_convolutions_of_the_same_numbers(tmp_path: Path) -> None:
    state, target = torchvision_state(with_classifier=True), frontend()
    report = load_into(target, read_pretrained(saved(tmp_path / "vgg.pth", state)))
    patch = torch.randn(1, 5, 7, 7)
    linear = torch.nn.functional.linear(patch.flatten(1), state["classifier.0.weight"], state["classifier.0.bias"])
    fc6 = target.get_submodule("fc6")
    assert isinstance(fc6, nn.Conv2d)
    convolved = torch.nn.functional.conv2d(patch, fc6.weight, fc6.bias)
    torch.testing.assert_close(convolved.flatten(1), linear)
    assert torch.equal(target.get_parameter("fc7.weight").flatten(1), state["classifier.3.weight"])
    assert str(report).splitlines()[1:] == [
        "  loaded: conv1_1 ... fc7 (28 tensors)",
        "  reshaped: fc6, fc7 (2 tensors)",
        "  fresh: final (2 tensors)",
        "  unused: classifier.6 (2 tensors)",
    ]


def test_a_lighter_head_stays_fresh_as_a_whole(tmp_path: Path) -> None:
    """The bias of fc6 would fit, but belongs to a weight that does not."""
    target = frontend(fc6_kernel=3)
    report = load_into(target, read_pretrained(saved(tmp_path / "vgg.pth", torchvision_state(with_classifier=True))))
    assert report.states["fc6.weight"] == report.states["fc6.bias"] == "fresh"
    assert report.states["fc7.weight"] == "reshaped"
    assert report.unused == ["fc6.weight", "fc6.bias", "classifier.6.weight", "classifier.6.bias"]


@pytest.mark.parametrize("prefix", ["", "frontend."])
def test_our_own_names_are_understood_and_other_classes_are_not_loaded(tmp_path: Path, prefix: str) -> None:
    source, target = frontend(num_classes=3), frontend(num_classes=4)
    state = {prefix + name: tensor for name, tensor in source.state_dict().items()}
    state |= {"context.ctx_conv1.weight": torch.zeros(3, 3, 3, 3), "scalar": torch.zeros(())}
    report = load_into(target, read_pretrained(saved(tmp_path / "ours.pt", state)))
    assert torch.equal(target.get_parameter("fc7.weight"), source.get_parameter("fc7.weight"))
    assert [name for name, state in report.states.items() if state == "fresh"] == ["final.weight", "final.bias"]
    assert report.unused == ["final.weight", "final.bias", "context.ctx_conv1.weight", "scalar"]


def test_a_shorter_front_end_takes_the_layers_it_has(tmp_path: Path) -> None:
    state = torchvision_state()
    target = frontend(depths=[2, 2, 3], channels=NARROW_CHANNELS[:3], dilations=[1, 1, 1])
    report = load_into(target, read_pretrained(saved(tmp_path / "vgg.safetensors", state)))
    assert torch.equal(target.get_parameter("conv3_3.weight"), state["features.14.weight"])
    assert set(report.unused) == {f"conv{block}_{i}.{kind}" for block in (4, 5) for i in (1, 2, 3)
                                  for kind in ("weight", "bias")}  # fmt: skip


def test_a_channels_last_front_end_keeps_its_layout(tmp_path: Path) -> None:
    state, target = torchvision_state(), frontend().to(memory_format=torch.channels_last)
    load_into(target, read_pretrained(saved(tmp_path / "vgg.pth", state)))
    weight = target.get_parameter("conv5_3.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(weight, state["features.28.weight"])


def test_half_precision_is_widened(tmp_path: Path) -> None:
    state = {name: tensor.half() for name, tensor in torchvision_state().items()}
    pretrained = read_pretrained(saved(tmp_path / "vgg.safetensors", state))
    assert {tensor.dtype for tensor in pretrained.tensors.values()} == {torch.float32}
    assert torch.equal(pretrained.tensors["conv1_1.weight"], state["features.0.weight"].float())


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("source", ["IMAGENET1K_V1", "IMAGENET1K_FEATURES"])
def test_torchvisions_weights_bring_torchvisions_preprocessing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, by_hand: bool
) -> None:
    """The file lies where torchvision keeps what it has fetched, or is named itself."""
    weights = VGG16_Weights[source]
    path = tmp_path / "hub" / "checkpoints" / Path(weights.url).name
    path.parent.mkdir(parents=True)
    saved(path, torchvision_state(with_classifier=True))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    pretrained = read_pretrained(str(path) if by_hand else source)
    image = torch.rand(1, 3, 224, 224)
    expected = weights.transforms(resize_size=224)(image)
    mean, scale = (torch.tensor(values).view(3, 1, 1) for values in (pretrained.mean_rgb, pretrained.scale_rgb))
    torch.testing.assert_close((255 * image - mean) * scale, expected, rtol=1e-4, atol=1e-4)
    assert ("fc6.weight" in pretrained.tensors) == (source == "IMAGENET1K_V1")  # the other's classifier is void


def test_a_file_may_name_its_mean_and_scale(tmp_path: Path) -> None:
    metadata = {"mean": "[122.5, 116.25,104]", "scale": "0.5,0.25,1", "order": "RGB"}
    pretrained = read_pretrained(saved(tmp_path / "a.safetensors", torchvision_state(), metadata))
    assert (pretrained.mean_rgb, pretrained.scale_rgb) == ((122.5, 116.25, 104.0), (0.5, 0.25, 1.0))
    prose = {"mean": "of ImageNet", "scale": "0-255 minus mean"}
    pretrained = read_pretrained(saved(tmp_path / "b.safetensors", torchvision_state(), prose))
    assert (pretrained.mean_rgb, pretrained.scale_rgb) == ((122.679, 116.669, 104.007), (1.0, 1.0, 1.0))


def test_weights_for_other_channel_orders_are_refused(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.safetensors", torchvision_state(), {"order": "BGR"})
    with pytest.raises(ValueError, match="made for BGR images"):
        read_pretrained(source)


def test_another_width_is_refused_with_both_shapes_and_nothing_is_changed(tmp_path: Path) -> None:
    pretrained = read_pretrained(saved(tmp_path / "vgg.safetensors", torchvision_state()))
    target = frontend(channels=[2, 3, 4, 5, 7])
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(ValueError, match=r"conv5_1.weight has shape \(5, 5, 3, 3\).*\(7, 5, 3, 3\).*frontend.width=1"):
        load_into(target, pretrained)
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())


def test_weights_of_something_else_are_refused() -> None:
    tensors = {"layer1.0.conv1.weight": torch.zeros(2, 2, 3, 3), "fc6.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"none of its tensors \(layer1.0.conv1, fc6\) fits .*conv1_1 ... final"):
        load_into(frontend(), Pretrained(tensors, (0, 0, 0), (1, 1, 1), "resnet.pth"))


def test_weights_that_are_no_numbers_are_refused() -> None:
    tensors = {"conv1_1.weight": torch.full((2, 3, 3, 3), float("nan"))}
    with pytest.raises(ValueError, match=r"conv1_1.weight holds NaN"):
        load_into(frontend(), Pretrained(tensors, (0, 0, 0), (1, 1, 1), "bad.pth"))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_refused_by_name(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"vgg{suffix}"
    whole = Path(saved(path, torchvision_state())).read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ValueError, match=rf"model.pretrained={path}: not readable as weights"):
        read_pretrained(str(path))


def test_a_flipped_bit_in_a_zipped_tensor_is_found(tmp_path: Path) -> None:
    path = Path(saved(tmp_path / "vgg.pth", {"features.0.weight": torch.zeros(2, 3, 3, 3)}))
    content = bytearray(path.read_bytes())
    position = content.index(bytes(2 * 27 * 4))
    content[position] = 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged"):
        read_pretrained(str(path))


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {}}, {"step": 3}, torch.zeros(3)])
def test_a_file_of_other_things_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(ValueError, match=r"other things than tensors; .*init.checkpoint"):
        read_pretrained(saved(tmp_path / "last.pt", content))


def test_a_compressed_archive_is_refused_before_it_grows(tmp_path: Path) -> None:
    good = Path(saved(tmp_path / "good.pth", {"features.0.weight": torch.zeros(2, 3, 3, 3)}))
    with zipfile.ZipFile(good) as archive, zipfile.ZipFile(tmp_path / "vgg.pth", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in archive.namelist():
            packed.writestr(name, archive.read(name))
    with pytest.raises(ValueError, match="its records are compressed"):
        read_pretrained(str(tmp_path / "vgg.pth"))


@pytest.mark.parametrize("suffix", WEIGHT_SUFFIXES)
def test_every_kind_of_file_that_is_offered_is_accepted_by_the_config(tmp_path: Path, suffix: str) -> None:
    assert suffix in OPTIONS
    (tmp_path / f"vgg{suffix}").touch()
    assert compose([f"model.pretrained={tmp_path}/vgg{suffix}"]).model.pretrained == f"{tmp_path}/vgg{suffix}"


class Payload:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_payload_is_refused_and_not_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path, trace = tmp_path / "vgg.pth", tmp_path / "executed"
    content = {"features.0.weight": Payload(trace)}
    if zipped:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(ValueError, match="holds code or foreign objects") as caught:
        read_pretrained(str(path))
    assert "weights_only" not in str(caught.value)  # torch's advice would be to execute it
    assert not trace.exists()


@pytest.mark.parametrize("source", ["imagenet", "weights.pth", "vgg.ckpt", "none.caffemodel", "", "folder.pth"])
def test_unknown_sources_name_the_key_and_the_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(ValueError, match=rf"model.pretrained={source}: there is no such file; .*IMAGENET1K_V1.*\.pth"):
        read_pretrained(source)


def test_without_a_network_torchvisions_weights_ask_for_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(ValueError, match=r"model.pretrained=IMAGENET1K_V1: no weights from https://.*fetched by hand"):
        read_pretrained("IMAGENET1K_V1")
