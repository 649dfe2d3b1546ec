"""The four networks as the authors deployed them, row for row, and random weights for them.

The rows were read in the released deploy files and owe nothing to our layer tables, so what OpenCV makes of them is an
answer of its own.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Generator, Tensor, randn

MARGIN_PX = 186  # of the image around what is scored


class Row(NamedTuple):
    """A layer of a deploy file, its settings by the format's names; dropout, idle there, has no row."""

    name: str
    num_output: int
    kernel_size: int
    dilation: int = 1
    pad: int = 0

    @property
    def kind(self) -> str:
        if self.name.startswith("pool"):
            return "Pooling"
        return "Deconvolution" if self.name.endswith("upsample") else "Convolution"

    @property
    def has_relu(self) -> bool:
        return self.kind == "Convolution" and not self.name.endswith("final")


VGG16 = (
    Row("conv1_1", 64, 3),
    Row("conv1_2", 64, 3),
    Row("pool1", 64, 2),
    Row("conv2_1", 128, 3),
    Row("conv2_2", 128, 3),
    Row("pool2", 128, 2),
    Row("conv3_1", 256, 3),
    Row("conv3_2", 256, 3),
    Row("conv3_3", 256, 3),
    Row("pool3", 256, 2),
    Row("conv4_1", 512, 3),
    Row("conv4_2", 512, 3),
    Row("conv4_3", 512, 3),
    Row("conv5_1", 512, 3, dilation=2),
    Row("conv5_2", 512, 3, dilation=2),
    Row("conv5_3", 512, 3, dilation=2),
    Row("fc6", 4096, 7, dilation=4),
    Row("fc7", 4096, 1),
)


def basic(num_classes: int, **dilations: int) -> tuple[Row, ...]:
    """From `final` on: all layers of C channels, each padded by its dilation."""
    convolutions = (Row(f"ctx_{name}", num_classes, 3, dilation, dilation) for name, dilation in dilations.items())
    return (Row("final", num_classes, 1), *convolutions, Row("ctx_final", num_classes, 1))


LARGE_VOC = (
    Row("fc-final", 21, 1),
    Row("ct_conv1_1", 42, 3, pad=33),
    Row("ct_conv1_2", 42, 3),
    Row("ct_conv2_1", 84, 3, dilation=2),
    Row("ct_conv3_1", 168, 3, dilation=4),
    Row("ct_conv4_1", 336, 3, dilation=8),
    Row("ct_conv5_1", 672, 3, dilation=16),
    Row("ct_fc1", 672, 3),
    Row("ct_final", 21, 1),
)
BASIC_CAMVID = basic(11, conv1_1=1, conv1_2=1, conv2_1=2, conv3_1=4, conv4_1=8, conv5_1=16, fc1=1)
BASIC_KITTI = basic(11, conv1_1=1, conv1_2=1, conv2_1=2, conv3_1=4, conv4_1=8, fc1=1)
BASIC_CITYSCAPES = (
    *basic(19, conv1_1=1, conv1_2=1, conv2_1=2, conv3_1=4, conv4_1=8, conv5_1=16, conv6_1=32, conv7_1=64, fc1=1),
    Row("ctx_upsample", 19, 16, pad=4),
)


class Network(NamedTuple):
    """What a deploy file and the data set's settings beside it say."""

    model: str  # ours: model=...
    num_classes: int
    classifier: tuple[Row, ...]  # the rows after fc7
    input_px: tuple[int, int]  # height, width
    mean_bgr: tuple[float, float, float]

    def rows(self, width: float = 1.0) -> list[Row]:
        """All layers, VGG's with `width` times their channels."""
        return [*(row._replace(num_output=round(row.num_output * width)) for row in VGG16), *self.classifier]

    @property
    def tile_px(self) -> list[int]:
        """Height, width of the scored part of an input."""
        return [side - 2 * MARGIN_PX for side in self.input_px]

    @property
    def last(self) -> str:
        """Whose output the softmax takes."""
        return self.classifier[-1].name


RELEASED = {
    "voc": Network("dilation8_voc", 21, LARGE_VOC, (900, 900), (102.93, 111.36, 116.52)),
    "camvid": Network("dilation8_camvid", 11, BASIC_CAMVID, (900, 1100), (110.70313206, 108.77808759, 105.41212523)),
    "kitti": Network("dilation7_kitti", 11, BASIC_KITTI, (852, 1640), (96.19429688, 95.55136972, 91.34692262)),
    "cityscapes": Network("dilation10_cityscapes", 19, BASIC_CITYSCAPES, (1396, 1396), (72.39, 82.91, 73.16)),
}


def prototxt(rows: Sequence[Row], input_px: tuple[int, int]) -> str:
    """The text of a deploy file that takes inputs of this height and width and ends in a softmax, `prob`."""
    lines = [f'input: "data" input_shape {{ dim: 1 dim: 3 dim: {input_px[0]} dim: {input_px[1]} }}']
    bottom = "data"

    def add(name: str, kind: str, top: str, settings: str = "") -> None:
        lines.append(f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {settings} }}')

    for row in rows:
        size, section = f"kernel_size: {row.kernel_size} pad: {row.pad}", "convolution_param"
        if row.kind == "Pooling":
            section, own = "pooling_param", f"pool: MAX {size} stride: 2"
        elif row.kind == "Convolution":
            own = f"num_output: {row.num_output} {size} dilation: {row.dilation}"
        else:
            own = f"num_output: {row.num_output} {size} stride: 8 group: {row.num_output} bias_term: false"
        add(row.name, row.kind, row.name, f"{section} {{ {own} }}")
        bottom = row.name
        if row.has_relu:
            add(f"relu_{row.name}", "ReLU", row.name)
    add("prob", "Softmax", "prob")
    return "\n".join(lines)


def random_blobs(rows: Sequence[Row], seed: int) -> dict[str, list[Tensor]]:
    """Weights under which signals neither die nor explode, and class maps have patches of every class.

    Filters sum to 0: what ReLU makes of all channels alike would otherwise outgrow what differs between places. A bias
    of 0.5 lets ReLU cut a third of a normal signal and leave 0.55 of its variance; by cutting half, every layer would
    widen the rounding errors. Half of a filter is its centre, so that a layer on a map smaller than its dilation still
    hands on what it gets. The first layer takes pixels to about 1.
    """
    generator, in_channels = Generator().manual_seed(seed), 3
    blobs: dict[str, list[Tensor]] = {}
    for row in rows:
        size = row.kernel_size
        if row.kind == "Convolution":
            weight = randn(row.num_output, in_channels, size, size, generator=generator)
            weight[:, :, size // 2, size // 2] *= size
            weight -= weight.mean((1, 2, 3), keepdim=True)
            gain = 0.02 if row.name == "conv1_1" else 1 if row.has_relu else 3
            weight *= gain / (0.55 * weight.square().sum((1, 2, 3)).mean()) ** 0.5
            blobs[row.name] = [weight, 0.5 * row.has_relu + 0.1 * randn(row.num_output, generator=generator)]
        elif row.kind == "Deconvolution":
            taps = bilinear_taps(size)
            blobs[row.name] = [(taps[:, None] * taps).expand(row.num_output, 1, -1, -1).contiguous()]
        in_channels = row.num_output
    return blobs


def bilinear_taps(kernel_size: int) -> Tensor:
    """Caffe's bilinear filler along one axis, for an even kernel: 1/16, 3/16, ... 15/16, 15/16, ... 1/16 for 16."""
    odd = [2 * tap + 1 for tap in range(kernel_size // 2)]
    return Tensor([*odd, *reversed(odd)]) / kernel_size
