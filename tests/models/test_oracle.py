"""The four named networks are the authors': OpenCV's importer of Caffe's files gives the same numbers and labels."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from configs.compose import composed
from configs.schema import AnalyzeConfig, ModelConfig, ValidationConfig
from engine.evaluation.answers import probabilities
from engine.evaluation.grid import upsample
from models.build import build_context, read_released
from models.frontend import Frontend
from tests.helpers.caffe_files import write_caffemodel
from tests.helpers.released_networks import MARGIN_PX, RELEASED, Network, prototxt, random_blobs

NARROW = 1 / 16  # of VGG's channels: every layer and every border as at full width, 1/256 of the work
LAYOUTS = {  # each way to write a file once
    "voc": ("layers", True),
    "camvid": ("layer", False),
    "kitti": ("layers", False),
    "cityscapes": ("layer", True),
}
REFLECT_101 = cv2.BORDER_REFLECT_101
LOGIT_ERROR = 1e-4  # of the largest magnitude
TIE = 1e-4  # two classes whose probabilities differ by less

Picture = NDArray[np.uint8]  # BGR (H, W, 3), as OpenCV reads files
Maps = NDArray[np.float32]  # (K, H, W)


class Pair:
    """One network in both implementations, with random weights out of one file."""

    def __init__(self, name: str, folder: Path, width: float) -> None:
        self.network = RELEASED[name]
        self.rows = self.network.rows(width)
        self.file = write_caffemodel(folder / f"{name}.caffemodel", random_blobs(self.rows, seed=0), *LAYOUTS[name])
        config = named_config(self.network, f"model.frontend.width={width}")
        # Ours for both: it may lack their last digits, which layers of random weights would magnify.
        self.mean_bgr = np.array(config.mean_rgb[::-1], np.float32)
        self.ours = read_released(self.file, config, self.network.num_classes)[0].eval()

    def opencv(self, input_px: tuple[int, int]) -> cv2.dnn.Net:
        """A network for inputs of this height and width."""
        deploy = self.file.with_suffix(".prototxt")
        deploy.write_text(prototxt(self.rows, input_px))
        net = cv2.dnn.readNetFromCaffe(str(deploy), str(self.file))
        net.enableWinograd(False)  # a faster convolution with ten times the rounding error
        return net

    def error_of_the_logits(self, inputs: Picture) -> float:
        """Largest difference, as a share of OpenCV's largest magnitude; the margin belongs to the inputs."""
        theirs = answer(self.opencv(inputs.shape[:2]), inputs - self.mean_bgr, self.network.last)
        with torch.no_grad():
            logits_BKhw: Tensor = self.ours(as_batch(inputs))
        if self.ours.head == "transposed":
            size = (8 * logits_BKhw.shape[-2], 8 * logits_BKhw.shape[-1])
            logits_BKhw = upsample(logits_BKhw, size, 8, self.ours.node_offset_px, self.ours.head)
        ours = logits_BKhw[0].numpy()
        assert ours.shape == theirs.shape
        return float(np.abs(ours - theirs).max() / np.abs(theirs).max())

    def agreement_of_the_labels(self, picture: Picture, tile_px: list[int]) -> float:
        """Share of the pixels without a tie that get one label from both."""
        theirs = authors_probabilities(self, picture, tile_px)
        config = ValidationConfig(protocol="authors", tile_px=tile_px)
        with torch.no_grad():
            ours = probabilities(self.ours, config, as_batch(picture))[0].numpy()
        second, first = np.sort(theirs, axis=0)[-2:]
        clear = first - second > TIE
        assert clear.mean() > 0.99, "hardly a pixel is a tie"
        assert len(np.unique(theirs.argmax(0))) > 2, "the picture has patches of several classes"
        return float((ours.argmax(0) == theirs.argmax(0))[clear].mean())


def named_config(network: Network, *overrides: str) -> ModelConfig:
    return composed(AnalyzeConfig, [f"model={network.model}", *overrides]).model


def as_batch(picture: Picture) -> Tensor:
    return torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1)[None]


def answer(net: cv2.dnn.Net, inputs: NDArray[np.float32], layer: str = "prob") -> Maps:
    net.setInput(inputs.transpose(2, 0, 1)[None].copy())
    maps: Maps = net.forward(layer)[0]
    return maps


def authors_probabilities(pair: Pair, picture: Picture, tile_px: list[int]) -> Maps:
    """At every pixel, by the authors' steps: reflect, cut, reflect the last tiles about their own edge, join, zoom."""
    height, width = picture.shape[:2]
    inputs_px = (tile_px[0] + 2 * MARGIN_PX, tile_px[1] + 2 * MARGIN_PX)
    net = pair.opencv(inputs_px)
    around = cv2.copyMakeBorder(picture - pair.mean_bgr, MARGIN_PX, MARGIN_PX, MARGIN_PX, MARGIN_PX, REFLECT_101)
    rows = []
    for top in range(0, height, tile_px[0]):
        row = []
        for left in range(0, width, tile_px[1]):
            tile = around[top : top + inputs_px[0], left : left + inputs_px[1]]
            lacking = inputs_px[0] - tile.shape[0], inputs_px[1] - tile.shape[1]
            row.append(answer(net, cv2.copyMakeBorder(tile, 0, lacking[0], 0, lacking[1], REFLECT_101)))
        rows.append(np.concatenate(row, axis=2))
    maps = np.concatenate(rows, axis=1)
    if pair.network.last == "ctx_upsample":
        return maps[:, :height, :width]
    return zoomed(zoomed(maps, width).swapaxes(1, 2), height).swapaxes(1, 2)


def zoomed(maps: Maps, num_pixels: int) -> Maps:
    """Along the last axis: cell i at pixel 8i, a straight line between two cells.

    Past the last cell it is repeated; the released code takes there whatever lies next in memory.
    """
    pixel = np.arange(num_pixels)
    left, share = pixel // 8, np.float32(pixel % 8 / 8)
    right = np.minimum(left + 1, maps.shape[-1] - 1)
    return maps[..., left] * (1 - share) + maps[..., right] * share


def texture(height: int, width: int) -> Picture:
    """Patches, spots and grain, for want of a photograph."""
    generator = np.random.default_rng(0)
    picture = np.full((height, width, 3), 110.0)
    for contrast, size_px in ((40, 150), (30, 50), (25, 15), (15, 5)):
        coarse = generator.standard_normal((height // size_px + 2, width // size_px + 2, 3))
        picture += contrast * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return picture.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module", params=RELEASED)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(request.param, tmp_path_factory.mktemp("narrow"), NARROW)


@pytest.mark.parametrize("name", RELEASED)
def test_our_layers_are_those_of_the_deploy_file(name: str) -> None:
    network, config = RELEASED[name], named_config(RELEASED[name])
    with torch.device("meta"):
        frontend = Frontend(config.frontend, network.num_classes, config.padding)
    context = build_context(config, network.num_classes, seed=0)
    ours = [
        (layer.out_channels, layer.kernel_size[0], layer.dilation[0], layer.padding[0])
        for layer in [*frontend.modules(), *context.modules()]
        if isinstance(layer, nn.Conv2d)
    ]
    assert ours == [row[1:] for row in network.rows() if row.kind == "Convolution"]
    assert frontend.margin_px == MARGIN_PX
    assert config.tile_px == network.tile_px
    assert config.mean_rgb == pytest.approx(network.mean_bgr[::-1], abs=5e-4)
    assert (config.head == "transposed") == (network.last == "ctx_upsample")


@pytest.mark.parametrize("input_px", [(380, 380), (437, 463), (375, 372 + 8 * 66), (372 + 8 * 67 - 3, 377)])
def test_logits_are_opencvs(pair: Pair, input_px: tuple[int, int]) -> None:
    """One cell, some, and along either axis more than the largest dilation, 64; odd sizes tell how pooling rounds."""
    assert pair.error_of_the_logits(texture(*input_px)) < LOGIT_ERROR


@pytest.mark.parametrize(
    ("size", "tile_px"),
    [((64, 88), [64, 88]), ((61, 83), [64, 88]), ((43, 71), [64, 88]), ((75, 150), [64, 88]), ((60, 84), [60, 84])],
    ids=["one tile", "odd", "smaller than a tile", "four tiles", "a tile that ends in half a cell"],
)
def test_labels_are_those_of_the_authors_steps(pair: Pair, size: tuple[int, int], tile_px: list[int]) -> None:
    assert pair.agreement_of_the_labels(texture(*size), tile_px) >= 0.9995


@pytest.mark.slow
@pytest.mark.parametrize("name", RELEASED)
def test_full_networks_agree_at_the_size_of_their_tiles(tmp_path: Path, name: str) -> None:
    """The environment's ORACLE_IMAGE names a photograph; -s shows the figures."""
    photograph = os.environ.get("ORACLE_IMAGE")
    picture = cv2.imread(photograph) if photograph else texture(360, 480)
    assert picture is not None, f"ORACLE_IMAGE={photograph}: an image is required"
    pair = Pair(name, tmp_path, width=1.0)
    height, width = pair.network.input_px
    below, beside = (max(0, side - own) for side, own in zip((height, width), picture.shape[:2], strict=True))
    inputs = cv2.copyMakeBorder(picture, 0, below, 0, beside, REFLECT_101)[:height, :width]
    error = pair.error_of_the_logits(inputs)
    agreement = pair.agreement_of_the_labels(picture, pair.network.tile_px)
    pair.file.unlink()  # half a gigabyte, and pytest keeps what a test leaves
    print(f"\n{name}: logits differ by {error:.1e} of the largest; {agreement:.4%} of {picture.shape[:2]} labels agree")
    assert error < LOGIT_ERROR
    assert agreement >= 0.9995
