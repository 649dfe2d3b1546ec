"""What a run is: every key with its type, range, unit and default.

Hydra composes the YAML groups beside this file into these dataclasses, so a misspelt key or a value of the wrong type
is refused before anything else happens. Bounds stand in the field's metadata and are checked by `configs.check`.
This file imports nothing of ours and no torch.
"""
# ruff: noqa: RUF009 -- `bounded` and `path` return a dataclass field, a fresh default for each instance

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

VOID = 255  # the label that is neither learned nor scored, in every data set


def bounded(
    default: Any,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    multiple_of: int | None = None,
    lengths: tuple[int, ...] | None = None,
    filled: bool = False,
) -> Any:
    """A field whose value, or every element of whose list, lies within bounds (`above` is exclusive).

    A list has one of `lengths`; a `filled` one has at least one element.
    """
    bounds = {
        "at_least": at_least,
        "at_most": at_most,
        "above": above,
        "multiple_of": multiple_of,
        "lengths": lengths,
        "filled": filled or None,
    }
    metadata = {name: bound for name, bound in bounds.items() if bound is not None}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def path(default: str | None) -> Any:
    """A field that names a file or folder: a leading `~` is the home folder."""
    return field(default=default, metadata={"path": True})


# Enumerations: OmegaConf has no Literal. The member's name is what one types.
class DataName(Enum):
    shapes = "shapes"
    voc = "voc"
    cityscapes = "cityscapes"
    camvid = "camvid"
    kitti = "kitti"
    folder = "folder"


class Padding(Enum):
    """How the front end meets the image's edge."""

    reflect = "reflect"  # the paper: no convolution pads, the image is reflected by the computed margin
    zero = "zero"  # every convolution pads itself: other borders, several times cheaper on small crops


class ContextPadding(Enum):
    """How the context module meets the map's edge: zeros, by every layer's dilation or all at the first layer."""

    each = "each"
    once = "once"


class Head(Enum):
    """How cells become pixels, when answering and in a loss at the pixels."""

    interpolated = "interpolated"  # probabilities (in a loss: logits) between cells; the last cell goes on to the edge
    transposed = "transposed"  # logits through a fixed bilinear transposed convolution: zeros lie beyond the last cell


class OptimizerName(Enum):
    sgd = "sgd"
    adamw = "adamw"


class MomentumForm(Enum):
    """Where the learning rate enters: the two differ for about 1 / (1 - momentum) steps after it changes."""

    pytorch = "pytorch"  # v = m * v + g; w -= lr * v
    caffe = "caffe"  # v = m * v + lr * g; w -= v


class ScheduleName(Enum):
    constant = "constant"
    step = "step"
    poly = "poly"


class LossGrid(Enum):
    """Where the loss is taken: at the cells (labels sampled at the stride, the paper) or at the label's own pixels."""

    cells = "cells"
    pixels = "pixels"


class Mirror(Enum):
    """What `data.augment.mirror` turns around: the image, or the front end's maps and the labels under their cells."""

    pixels = "pixels"
    cells = "cells"


class MapSource(Enum):
    """Where the frozen front end's maps come from: every step anew, or once, of whole images, kept on disk."""

    computed = "computed"
    cached = "cached"


class Protocol(Enum):
    """How an image is answered. Tiles overlap by the front end's margin only, so that their cells abut."""

    whole = "whole"
    tiles = "tiles"  # a smaller image is a smaller tile
    authors = "authors"  # as in the released code: every tile of full size, float32


class Precision(Enum):
    auto = "auto"  # bfloat16 where the processor multiplies it natively, else float32
    float32 = "float32"
    bfloat16 = "bfloat16"


class Device(Enum):
    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"


class Resume(Enum):
    never = "never"
    auto = "auto"


@dataclass
class AugmentConfig:
    """Random changes of a training sample. Each draw is a pure function of (seed, epoch, index)."""

    mirror: bool = True
    scale_min: float = bounded(1.0, above=0, at_most=4)  # 1 and 1: no scaling
    scale_max: float = bounded(1.0, above=0, at_most=4)
    rotation_deg: float = bounded(0.0, at_least=0, at_most=180)  # drawn from [-r, r]
    color: float = bounded(0.0, at_least=0, at_most=1)  # strength of brightness, contrast, saturation and hue


@dataclass
class ShapesConfig:
    """The built-in scenes; they are drawn, so a 'set' of them is only a count and a seed."""

    size_px: int = bounded(256, at_least=192, at_most=2048)
    num_train: int = bounded(402, at_least=1)
    num_val: int = bounded(102, at_least=1)


@dataclass
class FolderConfig:
    """Where the files of one's own data set lie and what the ids in its labels mean.

    `{split}` in a pattern is replaced by the split's name. Image and label belong together when their paths below the
    two folders agree up to `image_suffix` and `label_suffix`, whatever the case of the suffixes. A name in `list_file`
    may have its extension, and must where two images share the name.
    """

    images: str = "{split}/images"
    labels: str = "{split}/labels"
    image_suffix: str = ""  # what follows the common part of the name; empty: any image extension
    label_suffix: str = ".png"
    list_file: str = ""  # e.g. "{split}.txt": one sample name a line, or "image label"; empty: all files
    class_names: list[str] = field(default_factory=list)
    palette: list[list[int]] = field(default_factory=list)  # one [r, g, b] a class; empty: clear ones, made up
    label_ids: list[int] = field(default_factory=list)  # raw id of each class in the files; empty: 0, 1, 2, ...
    ignore_ids: list[int] = field(default_factory=lambda: [255])  # raw ids that mean void
    rgb_labels: bool = False  # labels are colours of `palette` and `void_colors`, not ids
    void_colors: list[list[int]] = field(default_factory=list)  # [r, g, b] each; of rgb_labels, what means void


@dataclass
class DataConfig:
    name: DataName = DataName.shapes
    root: str | None = path(None)  # folder of the data set; the built-in scenes need none
    sbd_root: str | None = path(None)  # VOC only: the Semantic Boundaries Dataset, for train_split=train_aug
    train_split: str = "train"
    val_split: str = "val"
    download: bool = False  # VOC only: fetch it through torchvision if it is not there
    limit: int | None = bounded(None, at_least=1)  # use only the first so many samples of each split
    # Of the training pixels; used if the weights set none.
    mean_rgb: list[float] = bounded([], at_least=0, at_most=255, lengths=(0, 3))
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    shapes: ShapesConfig = field(default_factory=ShapesConfig)
    folder: FolderConfig = field(default_factory=FolderConfig)


@dataclass
class FrontendConfig:
    """A VGG-like front end: blocks of 3x3 convolutions, 2x2 pooling after the first three, fc6, fc7, classes."""

    depths: list[int] = bounded([2, 2, 3, 3, 3], at_least=1, at_most=8, filled=True)  # convolutions in each block
    channels: list[int] = bounded([64, 128, 256, 512, 512], at_least=1, filled=True)
    dilations: list[int] = bounded([1, 1, 1, 1, 2], at_least=1, filled=True)
    fc6_kernel: int = bounded(7, at_least=1, at_most=15)
    fc6_dilation: int = bounded(4, at_least=1)
    fc_channels: int = bounded(4096, at_least=1)
    width: float = bounded(1.0, above=0, at_most=4)  # multiplies every channel count
    dropout: float = bounded(0.5, at_least=0, at_most=0.95)


@dataclass
class ContextConfig:
    """Context module: a 3x3 convolution with ReLU for each dilation, then a 1x1."""

    dilations: list[int] = bounded([1, 1, 2, 4, 8, 16, 1], at_least=1, at_most=512, filled=True)
    # Channels of each 3x3 as multiples of C; empty: Basic, all 1.
    widths: list[int] = bounded([], at_least=1, at_most=64)
    noise_std: float = bounded(0.0, at_least=0, at_most=1)  # of the identity filler; scaled by C/c_out in each layer
    padding: ContextPadding = ContextPadding.each


@dataclass
class ModelConfig:
    frontend: FrontendConfig = field(default_factory=FrontendConfig)
    context: ContextConfig = field(default_factory=ContextConfig)
    padding: Padding = Padding.reflect
    head: Head = Head.interpolated
    node_offset_px: float = bounded(0.0, at_least=0, at_most=7)  # cell i stands for pixel 8i + this
    # IMAGENET1K_V1, IMAGENET1K_FEATURES, or a .pth, .safetensors or .caffemodel file.
    pretrained: str | None = path(None)
    # Empty: the mean of the weights, else of the data.
    mean_rgb: list[float] = bounded([], at_least=0, at_most=255, lengths=(0, 3))
    # Multiplies (pixel - mean); empty: the scale of the weights.
    scale_rgb: list[float] = bounded([], above=0, lengths=(0, 3))
    # Of the released networks only: whose classes they answer with, and the height, width of the scored part of a tile.
    classes_of: DataName | None = None
    tile_px: list[int] = bounded([], at_least=8, lengths=(0, 2))


@dataclass
class OptimizerConfig:
    name: OptimizerName = OptimizerName.sgd
    momentum: float = bounded(0.9, at_least=0, at_most=0.9999)  # SGD only
    momentum_form: MomentumForm = MomentumForm.pytorch  # SGD only
    weight_decay: float = bounded(5e-4, at_least=0, at_most=1)  # never on biases
    bias_lr_factor: float = bounded(2.0, above=0, at_most=10)  # learning rate of biases over that of weights
    backbone_lr_factor: float = bounded(1.0, at_least=0, at_most=10)  # of conv1_1 ... conv5_3 over that of the rest


@dataclass
class ScheduleConfig:
    """Learning rate as a pure function of the step."""

    name: ScheduleName = ScheduleName.constant
    every_steps: int = bounded(100_000, at_least=1)  # step only
    factor: float = bounded(0.1, above=0, at_most=1)  # step only
    power: float = bounded(0.9, above=0)  # poly only
    warmup_steps: int = bounded(0, at_least=0)  # linear from lr / warmup_steps


@dataclass
class LossConfig:
    grid: LossGrid = LossGrid.cells
    class_weights: list[float] = bounded([], at_least=0)  # empty: all 1


@dataclass
class StageConfig:
    steps: int = bounded(1000, at_least=1)
    lr: float = bounded(1e-3, above=0, at_most=10)
    batch: int = bounded(8, at_least=1)  # images in a step
    accumulation: int = bounded(1, at_least=1)  # forward-backward passes in a step; divides batch
    # Height, width of the SCORED region; the margin is added to it.
    crop_px: list[int] = bounded([256, 256], at_least=8, multiple_of=8, lengths=(2,))
    mirror: Mirror = Mirror.pixels  # cells: context stage only
    maps: MapSource = MapSource.computed  # cached: context stage only; mirror is then the only augmentation
    validate_steps: int = bounded(500, at_least=1)  # validate and save every so many steps, and at the end
    frozen_blocks: int = bounded(0, at_least=0, at_most=8)  # the first blocks (conv1, conv2, ...) do not learn
    clip_norm: float | None = bounded(None, above=0)  # largest 2-norm of the whole gradient
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    loss: LossConfig = field(default_factory=LossConfig)


@dataclass
class StagesConfig:
    frontend: StageConfig = field(default_factory=StageConfig)
    context: StageConfig = field(default_factory=StageConfig)
    joint: StageConfig = field(default_factory=StageConfig)


@dataclass
class ValidationConfig:
    protocol: Protocol = Protocol.whole
    # Height, width of the scored part of a tile; tiles advance by whole cells.
    tile_px: list[int] = bounded([512, 512], at_least=8, lengths=(2,))
    batch: int = bounded(1, at_least=1)  # images of one size scored at once
    flip: bool = False  # average with the mirrored image
    scales: list[float] = bounded([1.0], above=0, at_most=4, filled=True)  # average over these sizes


@dataclass
class RuntimeConfig:
    device: Device = Device.auto
    precision: Precision = Precision.auto
    threads: int = bounded(0, at_least=0)  # 0: as many as there are cores
    workers: int = bounded(2, at_least=0)  # processes that read and augment


@dataclass
class CacheConfig:
    """What runs share on disk: trained front ends, and their maps (stage.context.maps=cached). Safe to remove."""

    root: str = path("runs/cache")
    frontend: bool = False  # take the front end that a run with the same settings has trained; -m sets it
    max_gb: float = bounded(20.0, above=0)  # of all maps that are kept there


@dataclass
class RunConfig:
    root: str = path("runs")
    dir: str | None = path(None)  # the run's own folder; none: a fresh one below root
    log_steps: int = bounded(20, at_least=1)  # a scalar point, and a line where there is no terminal
    num_pictures: int = bounded(4, at_least=0)  # fixed validation images drawn into TensorBoard
    save_steps: int = bounded(500, at_least=1)  # last.pt at least so often; validations save, too


@dataclass
class InitConfig:
    checkpoint: str | None = path(None)  # weights of another run to start the first stage from


@dataclass
class Config:
    experiment: str = "custom"
    seed: int = bounded(0, at_least=0, at_most=2**32 - 1)
    stages: list[str] = bounded(["frontend", "context", "joint"], filled=True)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    stage: StagesConfig = field(default_factory=StagesConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    run: RunConfig = field(default_factory=RunConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    init: InitConfig = field(default_factory=InitConfig)
    resume: Resume = Resume.never
    # With resume=auto: keys of stage.* and data.augment.* that may differ from the run's so far, e.g. [stage.joint.lr].
    resume_changes: list[str] = field(default_factory=list)


@dataclass
class EvalConfig:
    """What `eval.py` takes. Null means: as the checkpoint says."""

    checkpoint: str = path("")
    model: ModelConfig = field(default_factory=ModelConfig)  # of a .caffemodel; our own checkpoints know theirs
    split: str = "val"
    output: str | None = path(None)  # default: eval-<split>/ beside the checkpoint
    # Changes to the checkpoint's data section, e.g. data.root=DIR: any keys of DataConfig.
    data: dict[str, Any] = field(default_factory=dict, metadata={"keys_of": DataConfig})
    protocol: Protocol | None = None
    tile_px: list[int] = bounded([], at_least=8, lengths=(0, 2))  # empty: as the checkpoint says
    batch: int | None = bounded(None, at_least=1)
    flip: bool | None = None
    scales: list[float] = bounded([], above=0, at_most=4)  # empty: as the checkpoint says
    precision: Precision | None = None
    device: Device = Device.auto
    threads: int = bounded(0, at_least=0)
    workers: int = bounded(2, at_least=0)
    num_pictures: int = bounded(4, at_least=0)  # of the first images: input | truth | prediction | errors


@dataclass
class PredictConfig:
    """What `predict.py` takes. Null and [] mean: as the checkpoint says."""

    checkpoint: str = path("")
    model: ModelConfig = field(default_factory=ModelConfig)  # of a .caffemodel; our own checkpoints know theirs
    input: str = path("")  # an image, or a folder of images
    output: str = path("predictions")  # gets a PNG of class ids for every image, of its size; is no input itself
    protocol: Protocol | None = None
    tile_px: list[int] = bounded([], at_least=8, lengths=(0, 2))
    flip: bool | None = None
    scales: list[float] = bounded([], above=0, at_most=4)
    precision: Precision | None = None
    device: Device = Device.auto
    threads: int = bounded(0, at_least=0)


@dataclass
class AnalyzeConfig:
    """What `analyze.py` takes."""

    model: ModelConfig = field(default_factory=ModelConfig)
    num_classes: int = bounded(21, at_least=1, at_most=VOID)
    # Height, width of the SCORED region; the front end's margin is added to it.
    crop_px: list[int] = bounded([512, 512], at_least=8, multiple_of=8, lengths=(2,))
    output: str = path("runs/analysis")  # folder of analysis.json and coverage.png
    runs: str | None = path(None)  # a folder of runs, e.g. of a sweep: its leaderboard is written anew, nothing else
    against: list[int] = bounded([], at_least=1)  # dilations that all of `runs` are compared with; empty: the best
