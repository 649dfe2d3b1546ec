"""What a run is: every key with its type, range, unit and default.

Hydra composes the YAML groups beside this file, and these models judge what it composed: a misspelt key, a value of
the wrong type or out of its bounds is refused before anything else happens. This file imports nothing of ours and no
torch.
"""

import os
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, PlainValidator, Tag
from pydantic_core import PydanticCustomError

VOID = 255  # the label that is neither trained on nor scored, in every data set
WITH_COCO = {"train_coco": "train", "train_aug_coco": "train_aug"}  # splits of VOC and COCO: VOC's part
NUM_POOLED_BLOCKS = 3  # of the front end; pool4 and pool5 are removed, so the output stride is 8

# What `model.pretrained` may name: weights that torchvision fetches, or a file by its extension.
TORCHVISION_WEIGHTS = ("IMAGENET1K_V1", "IMAGENET1K_FEATURES")
SAFETENSORS_SUFFIX, CAFFE_SUFFIX = ".safetensors", ".caffemodel"
WEIGHT_SUFFIXES = (".pth", ".pt", SAFETENSORS_SUFFIX, CAFFE_SUFFIX)


class Section(BaseModel):
    """A part of a config. What was not given is not in `model_fields_set`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def none_or(length: int) -> AfterValidator:
    """A list is empty, or has `length` values."""

    def check(values: list[float]) -> list[float]:
        if len(values) not in (0, length):
            raise PydanticCustomError("none_or", "none or {length} values are required", {"length": length})
        return values

    return AfterValidator(check)


def group_pattern(text: str) -> str:
    """A regular expression with parentheses; empty: none."""
    try:
        num_groups = re.compile(text).groups
    except (re.error, OverflowError, RecursionError):
        num_groups = 0
    if text and num_groups == 0:
        raise PydanticCustomError("group_pattern", "a regular expression with parentheses, such as ^([^_]+)_,")
    return text


def set_name(text: str) -> str:
    """The first part of a path."""
    if not re.fullmatch(r"\w[\w.-]*", text):
        raise PydanticCustomError("set_name", "a name of letters, digits and _ . - for each set")
    return text


def texts(value: object) -> object:
    """One text, or a list of them, as a list; what looks like a number, patient 12, arrives as one."""
    parts = value if isinstance(value, list) else [] if value is None else [value]
    return [str(part) if type(part) is int else part for part in parts]


FilePath = Annotated[str, AfterValidator(os.path.expanduser)]  # a file or folder: a leading `~` is the home folder


def one_or_more(value: object) -> list[str]:
    """A path, or a list of paths, as a list.

    A list whose paths hold signs of Hydra's, as the folders of a sweep's jobs do (`[a=1,a=2]`), arrives as one text.
    """
    if isinstance(value, str) and value.startswith("[") and value.endswith("]"):
        value = [part.strip(" '\"") for part in value[1:-1].split(",")]
    paths = value if isinstance(value, list) else [value]
    if not all(isinstance(path, str) for path in paths):
        raise PydanticCustomError("paths", "a folder, or a list of folders,")
    return [os.path.expanduser(str(path)) for path in paths if path]


Positive = Annotated[int, Field(ge=1)]
Channels = Annotated[int, Field(ge=1, le=2**24)]
Scale = Annotated[float, Field(gt=0, le=4)]
# Height and width of what is scored, in pixels.
Size = Annotated[list[Annotated[int, Field(ge=8)]], Field(min_length=2, max_length=2)]
OptionalSize = Annotated[list[Annotated[int, Field(ge=8)]], none_or(2)]
CROP_MULTIPLE_PX = 8
CropSize = Annotated[
    list[Annotated[int, Field(ge=CROP_MULTIPLE_PX, multiple_of=CROP_MULTIPLE_PX)]], Field(min_length=2, max_length=2)
]
MeanRgb = Annotated[list[Annotated[float, Field(ge=0, le=255)]], none_or(3)]

CocoSplit = Literal["train2014", "val2014", "train2017", "val2017"]
DataName = Literal["shapes", "voc", "cityscapes", "camvid", "kitti", "folder"]
# How the front end meets the image's edge. reflect: the paper, no convolution pads, the image is reflected by the
# computed margin; zero: every convolution pads itself, other borders, several times cheaper on small crops.
Padding = Literal["reflect", "zero"]
# How the context module meets the map's edge: zeros, by every layer's dilation or all at the first layer.
ContextPadding = Literal["each", "once"]
# How cells become pixels, when answering and in a loss at the pixels. interpolated: probabilities (in a loss: logits)
# between cells, the last cell goes on to the edge; transposed: logits through a fixed bilinear transposed convolution,
# zeros lie beyond the last cell.
Head = Literal["interpolated", "transposed"]
OptimizerName = Literal["sgd", "adamw"]
# Where the learning rate enters: v = m * v + g; w -= lr * v, or v = m * v + lr * g; w -= v. The two differ for about
# 1 / (1 - momentum) steps after it changes.
MomentumForm = Literal["pytorch", "caffe"]
ScheduleName = Literal["constant", "step", "poly"]
# Where the loss is taken: at the cells (labels sampled at the stride, the paper) or at the label's own pixels.
LossGrid = Literal["cells", "pixels"]
# What `data.augment.mirror` turns around: the image, or the front end's maps and the labels under their cells.
Mirror = Literal["pixels", "cells"]
# Where the frozen front end's maps come from: every step anew, or once, of whole images, kept on disk.
MapSource = Literal["computed", "cached"]
MapPrecision = Literal["auto", "float32", "bfloat16", "float16"]
# How an image is answered. Tiles overlap by the front end's margin only, so that their cells abut. tiles: a smaller
# image is a smaller tile; authors: as in the released code, every tile of full size, float32.
Protocol = Literal["whole", "tiles", "authors"]
# From the shares f of the classes among the training pixels: 1 / f or 1 / sqrt(f), scaled so that the mean over these
# pixels is 1, none above 10 (engine/training/losses.py); none: all 1, as [].
WeightRule = Literal["none", "inverse", "sqrt_inverse"]
ClassWeights = Annotated[
    Annotated[WeightRule, Tag("rule")] | Annotated[list[Annotated[float, Field(ge=0)]], Tag("list")],
    Discriminator(lambda value: "rule" if isinstance(value, str) else "list"),
]
Precision = Literal["auto", "float32", "bfloat16"]  # auto: bfloat16 where it is clearly faster
Device = Literal["auto", "cpu", "gpu"]
OnError = Literal["raise", "skip"]
Resume = Literal["never", "auto"]
# The evaluation server that label maps are written for (data/servers.py). voc: comp6, any training data; voc_comp5: a
# network that was trained on VOC's own data alone, without ImageNet and SBD.
SubmissionName = Literal["voc", "voc_comp5", "cityscapes"]
# What `predict.py` writes of an image, each kind in a folder of its own. ids: a palette PNG; overlays: the image with
# the classes' colours and a legend, JPEG; confidence, entropy: gray PNGs of the answer's probability and of how much
# the classes share it.
ResultKind = Literal["ids", "overlays", "confidence", "entropy"]
# What the values of `ids` are. train: the classes' positions, 0, 1, 2, ...; raw: the data set's own ids (or colours).
IdKind = Literal["train", "raw"]
# The id in the label files that means a class, or a list of all that do; of colours likewise, [r, g, b].
ClassIds = Annotated[
    Annotated[int, Tag("one")] | Annotated[list[int], Tag("several")],
    Discriminator(lambda value: "several" if isinstance(value, list) else "one"),
]
ClassColors = Annotated[
    Annotated[list[int], Tag("one")] | Annotated[list[list[int]], Tag("several")],
    Discriminator(
        lambda value: "several" if value and isinstance(value, list) and isinstance(value[0], list) else "one"
    ),
]
ExportFormat = Literal["safetensors", "onnx", "pt2"]  # weights for this project; programs for others


class AugmentConfig(Section):
    """Random changes of a training sample. Each draw is a pure function of (seed, epoch, index).

    From `vertical_mirror` on, each option draws from a stream of its own and moves nothing that the others draw. What
    is a factor is drawn evenly on a logarithmic scale: as likely f as 1 / f.
    """

    mirror: bool = True
    scale_min: float = Field(1.0, gt=0, le=4)  # 1 and 1: no scaling
    scale_max: float = Field(1.0, gt=0, le=4)
    rotation_deg: float = Field(0.0, ge=0, le=180)  # drawn from [-r, r]
    color: float = Field(0.0, ge=0, le=1)  # strength of brightness, contrast, saturation and hue
    # Pictures without an up and a down. Quarter turns turn the whole image, before it is cut to a crop of any shape.
    vertical_mirror: bool = False
    quarter_turns: bool = False
    # Cameras that meet dusk, rain and lamps. Street scenes still look like photographs with gamma and brightness 0.4,
    # white_balance 0.2, shade 0.6, blur_px 1, noise 0.03, all at once.
    gamma: float = Field(0.0, ge=0, le=3)  # exponent from 1 / (1 + g) to 1 + g; above 1 darkens what is not white
    brightness: float = Field(0.0, ge=0, le=3)  # factor from 1 / (1 + b) to 1 + b
    white_balance: float = Field(0.0, ge=0, le=1)  # factor of red, its inverse of blue, from 1 / (1 + w) to 1 + w
    shade: float = Field(0.0, ge=0, le=3)  # light from one side: up to 1 + s at one corner, 1 / (1 + s) at the other
    # Lenses and sensors.
    blur_px: float = Field(0.0, ge=0, le=16)  # standard deviation of a Gaussian, drawn from [0, b]
    noise: float = Field(0.0, ge=0, le=1)  # standard deviation in shares of white, drawn from [0, n]
    # Share of the samples for which first a class is drawn, evenly, then an image that has it, then a crop that holds
    # it; the others are drawn as without it. Reads every training label once.
    class_balance: float = Field(0.0, ge=0, le=1)


class ShapesConfig(Section):
    """The built-in scenes; they are drawn, so a 'set' of them is only a count and a seed."""

    size_px: int = Field(256, ge=192, le=2048)
    num_train: int = Field(402, ge=1)
    num_val: int = Field(102, ge=1)


class FolderSetConfig(Section):
    """One of the sets of a `FolderConfig`: where it lies, and what differs there. Null: as in `FolderConfig`."""

    root: FilePath  # relative: below data.root
    splits: list[str] = []  # that have its images; empty: all
    images: str | None = None
    labels: str | None = None
    image_suffix: str | None = None
    label_suffix: str | None = None
    list_file: str | None = None
    palette: list[ClassColors] | None = None
    label_ids: list[ClassIds] | None = None
    ignore_ids: list[int] | None = None
    rgb_labels: bool | None = None
    void_colors: list[list[int]] | None = None


class FolderConfig(Section):
    """Where the files of one's own data set lie and what the ids in its labels mean.

    `{split}` in a pattern is replaced by the split's name. Image and label belong together when their paths below the
    two folders agree up to `image_suffix` and `label_suffix`, whatever the case of the suffixes. A name in `list_file`
    may have its extension, and must where two images share the name.
    """

    images: str = "{split}/images"
    labels: str = "{split}/labels"
    image_suffix: str = ""  # what follows the common part of the name; empty: any image extension
    label_suffix: str = ".png"
    # E.g. "{split}.txt": one sample name a line, or "image label", with blanks in quotes; empty: all files.
    list_file: str = ""
    class_names: list[str] = []
    # One [r, g, b] a class; of rgb_labels, a list of them where several mean it; empty: clear ones, made up.
    palette: list[ClassColors] = []
    # Raw id of each class in the files, 0 to 65535, or a list of all that mean it; empty: 0, 1, 2, ...
    label_ids: list[ClassIds] = []
    ignore_ids: list[int] = [255]  # raw ids that mean void
    rgb_labels: bool = False  # labels are colours of `palette` and `void_colors`, not ids
    void_colors: list[list[int]] = []  # [r, g, b] each; of rgb_labels, what means void
    # Searched for in every sample's name (its path, without suffix): what its first parentheses hold names the group
    # of the sample, a drive, a patient, a camera. E.g. ^([^_]+)_; empty: no groups.
    group: Annotated[str, AfterValidator(group_pattern)] = ""
    # Where there is no validation split: the share of train_split that becomes it, chosen by a hash of the names, or of
    # the groups where there are some, so that files that are added move no others.
    val_share: float = Field(0.0, ge=0, le=0.9)
    # Several sets as one, each under a name that its samples' names begin with: night/000001. Empty: one set in
    # data.root. E.g. {day: {root: day}, night: {root: night, label_ids: [7, 11]}}
    sets: dict[Annotated[str, AfterValidator(set_name)], FolderSetConfig] = {}


class ResizeConfig(Section):
    """At what size the network sees an image, trained, scored or labelled; answers are at the image's own size.

    At most one key is set; none, and a factor of 1, leave images as they are. An image is enlarged at most 4 times.
    """

    long_px: int | None = Field(None, ge=8, le=65_536)  # of the longer side
    short_px: int | None = Field(None, ge=8, le=65_536)  # of the shorter side
    factor: Scale | None = None


class DataConfig(Section):
    name: DataName = "shapes"
    root: FilePath | None = None  # folder of the data set; the built-in scenes need none
    sbd_root: FilePath | None = None  # VOC only: the Semantic Boundaries Dataset, for train_split=train_aug
    coco_root: FilePath | None = None  # VOC only: COCO, for train_split=train_aug_coco or train_coco
    coco_splits: list[CocoSplit] = Field(["train2014", "val2014"], min_length=1)  # of one year
    train_split: str = "train"
    val_split: str = "val"
    download: bool = False  # VOC only: fetch it through torchvision if it is not there
    # Groups of train_split (drives of CamVid, data.folder.group) that are not trained on; they become val_split.
    hold_out: Annotated[list[str], BeforeValidator(texts)] = []
    limit: int | None = Field(None, ge=1)  # use only the first so many samples of each split
    # Of samples in files that cannot be read, or do not fit. raise: the run ends there. skip: every sample is read once
    # at the start, and at most max_skipped of a split are left out, by name.
    on_error: OnError = "raise"
    max_skipped: int = Field(10, ge=0)
    # Of the training pixels; used if the weights set none.
    mean_rgb: MeanRgb = []
    # Of images, and of labels to train on, before all else: crop_px and tile_px are pixels of resized images, and
    # augment.scale_* and validation.scales multiply their size. Scores count the pixels of the labels as they are.
    resize: ResizeConfig = ResizeConfig()
    augment: AugmentConfig = AugmentConfig()
    shapes: ShapesConfig = ShapesConfig()
    folder: FolderConfig = FolderConfig()


class FrontendConfig(Section):
    """A VGG-like front end: blocks of 3x3 convolutions, 2x2 pooling after the first three, fc6, fc7, classes."""

    depths: list[Annotated[int, Field(ge=1, le=8)]] = Field([2, 2, 3, 3, 3], min_length=1)  # convolutions in each block
    channels: list[Channels] = Field([64, 128, 256, 512, 512], min_length=1)
    dilations: list[Positive] = Field([1, 1, 1, 1, 2], min_length=1)
    fc6_kernel: int = Field(7, ge=1, le=15)
    fc6_dilation: int = Field(4, ge=1)
    fc_channels: Channels = 4096
    width: float = Field(1.0, gt=0, le=4)  # multiplies every channel count
    dropout: float = Field(0.5, ge=0, le=0.95)


class ContextConfig(Section):
    """Context module: a 3x3 convolution with ReLU for each dilation, then a 1x1."""

    dilations: list[Annotated[int, Field(ge=1, le=512)]] = Field([1, 1, 2, 4, 8, 16, 1], min_length=1)
    # Channels of each 3x3 as multiples of C; empty: Basic, all 1.
    widths: list[Annotated[int, Field(ge=1, le=64)]] = []
    noise_std: float = Field(0.0, ge=0, le=1)  # of the identity filler; scaled by C/c_out in each layer
    padding: ContextPadding = "each"


class ModelConfig(Section):
    frontend: FrontendConfig = FrontendConfig()
    context: ContextConfig = ContextConfig()
    padding: Padding = "reflect"
    head: Head = "interpolated"
    node_offset_px: float = Field(0.0, ge=0, le=7)  # cell i stands for pixel 8i + this
    # IMAGENET1K_V1, IMAGENET1K_FEATURES, or a .pth, .safetensors or .caffemodel file.
    pretrained: FilePath | None = None
    # Empty: the mean of the weights, else of the data.
    mean_rgb: MeanRgb = []
    # Multiplies (pixel - mean); empty: the scale of the weights.
    scale_rgb: Annotated[list[Annotated[float, Field(gt=0)]], none_or(3)] = []
    # Of the released networks only: whose classes they answer with, and the height, width of the scored part of a tile.
    classes_of: DataName | None = None
    tile_px: OptionalSize = []


class OptimizerConfig(Section):
    name: OptimizerName = "sgd"
    momentum: float = Field(0.9, ge=0, le=0.9999)  # SGD only
    momentum_form: MomentumForm = "pytorch"  # SGD only
    weight_decay: float = Field(5e-4, ge=0, le=1)  # never on biases
    bias_lr_factor: float = Field(2.0, gt=0, le=10)  # learning rate of biases over that of weights
    backbone_lr_factor: float = Field(1.0, ge=0, le=10)  # of conv1_1 ... conv5_3 over that of the rest
    # Score and keep the moving average of the weights over about the last 1 / (1 - this) steps, fewer at first; 0: the
    # weights themselves. last.pt, for resuming, has both.
    ema_decay: float = Field(0.0, ge=0, lt=1)


class ScheduleConfig(Section):
    """Learning rate as a pure function of the step."""

    name: ScheduleName = "constant"
    every_steps: int = Field(100_000, ge=1)  # step only
    factor: float = Field(0.1, gt=0, le=1)  # step only
    power: float = Field(0.9, gt=0)  # poly only
    warmup_steps: int = Field(0, ge=0)  # linear from lr / warmup_steps


class LossConfig(Section):
    grid: LossGrid = "cells"
    class_weights: ClassWeights = []  # a rule, or one number for each class; empty: all 1


class StageConfig(Section):
    steps: int = Field(1000, ge=1)
    lr: float = Field(1e-3, gt=0, le=10)
    batch: int = Field(8, ge=1)  # images in a step
    accumulation: int = Field(1, ge=1)  # forward-backward passes in a step; divides batch
    # Keep only the input of every block for the backward pass and compute the rest again there; the same bits.
    checkpoint_activations: bool = False
    # Height, width of the SCORED region; the margin is added to it.
    crop_px: CropSize = [256, 256]
    mirror: Mirror = "pixels"  # cells: context stage only
    # cached: of layers that do not learn, kept on disk: in the context stage of the whole front end, else of
    # frozen_blocks (3 or more). Mirror and the crop's place are then the only augmentation, or see kept_versions.
    maps: MapSource = "computed"
    # With maps=cached: of so many versions of every image, drawn once as data.augment says; 0: of the image as it is,
    # and of its mirror image. class_balance applies to both.
    kept_versions: int = Field(0, ge=0, le=64)
    validate_steps: int = Field(500, ge=1)  # validate and save every so many steps, and at the end
    frozen_blocks: int = Field(0, ge=0, le=8)  # the first blocks (conv1, conv2, ...) do not learn
    clip_norm: float | None = Field(None, gt=0)  # largest 2-norm of the whole gradient
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    loss: LossConfig = LossConfig()


class StagesConfig(Section):
    frontend: StageConfig = StageConfig()
    context: StageConfig = StageConfig()
    warmup: StageConfig = StageConfig()  # front end and context together, as joint, usually on kept maps
    joint: StageConfig = StageConfig()


STAGES = tuple(StagesConfig.model_fields)  # in the order in which they are trained


class ValidationConfig(Section):
    protocol: Protocol = "whole"
    # Height, width of the scored part of a tile; tiles advance by whole cells.
    tile_px: Size = [512, 512]
    batch: int = Field(1, ge=1)  # images of one size scored at once
    flip: bool = False  # average with the mirrored image
    scales: list[Scale] = Field([1.0], min_length=1)  # average over these sizes


class RuntimeConfig(Section):
    device: Device = "auto"
    precision: Precision = "auto"
    threads: int = Field(0, ge=0)  # 0: as many as there are cores
    workers: int = Field(2, ge=0)  # processes that read and augment


class CacheConfig(Section):
    """What runs share on disk: front ends, maps (stage.*.maps=cached), images, class counts, this machine's speed.

    Safe to remove.
    """

    root: FilePath = "runs/cache"
    frontend: bool = False  # take the front end that a run with the same settings has trained; -m sets it
    # Keep the training images decoded and resized, with their labels, and read those: 4 bytes a pixel. Pays where
    # training waits for images, which its log says, as with photographs of many megapixels; it changes no sample.
    images: bool = False
    max_gb: float = Field(20.0, gt=0)  # of all maps and images that are kept there
    # Of the maps of frozen blocks. auto: as they are computed, so nothing is lost; class maps are always float32.
    precision: MapPrecision = "auto"


class RunConfig(Section):
    root: FilePath = "runs"
    dir: FilePath | None = None  # the run's own folder; none: a fresh one below root
    log_steps: int = Field(20, ge=1)  # a scalar point, and a line where there is no terminal
    num_pictures: int = Field(4, ge=0)  # drawn into TensorBoard: samples of a stage's first batch, validation images
    save_steps: int = Field(500, ge=1)  # last.pt at least so often; validations save, too


class InitConfig(Section):
    checkpoint: FilePath | None = None  # weights of another run to start the first stage from


class Config(Section):
    experiment: str = "custom"
    seed: int = Field(0, ge=0, le=2**32 - 1)
    stages: list[str] = Field(["frontend", "context", "joint"], min_length=1)
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    stage: StagesConfig = StagesConfig()
    validation: ValidationConfig = ValidationConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    run: RunConfig = RunConfig()
    cache: CacheConfig = CacheConfig()
    init: InitConfig = InitConfig()
    resume: Resume = "never"
    # With resume=auto: keys of stage.* and data.augment.* that may differ from the run's so far, e.g. [stage.joint.lr].
    resume_changes: list[str] = []


class AuditConfig(Config):
    """What `audit.py` takes: the settings of the run to come, and two of its own."""

    pictures: int = Field(0, ge=0, le=1000)  # training samples to draw, as the network gets them
    output: FilePath = "runs/audit"  # folder of audit.json and the pictures


class EvalConfig(Section):
    """What `eval.py` takes. Null means: as the checkpoint says."""

    checkpoint: FilePath = ""
    model: ModelConfig = ModelConfig()  # of a .caffemodel; our own checkpoints know theirs
    split: str = "val"
    output: FilePath | None = None  # default: eval-<split>/ beside the checkpoint
    # Changes to the checkpoint's data section, e.g. data.root=DIR: any keys of DataConfig.
    data: DataConfig = DataConfig()
    protocol: Protocol | None = None
    tile_px: OptionalSize = []  # empty: as the checkpoint says
    batch: int | None = Field(None, ge=1)
    flip: bool | None = None
    scales: list[Scale] = []  # empty: as the checkpoint says
    precision: Precision | None = None
    device: Device = "auto"
    threads: int = Field(0, ge=0)
    workers: int = Field(2, ge=0)
    num_pictures: int = Field(4, ge=0)  # of the first images: input | truth | prediction | errors
    submission: SubmissionName | None = None  # also write the split's label maps, and their archive, for this server
    verify: FilePath | None = None  # compute nothing, check this: an archive for a server, or a folder with one


class PredictConfig(Section):
    """What `predict.py` takes. Null and [] mean: as the checkpoint says."""

    checkpoint: FilePath = ""
    model: ModelConfig = ModelConfig()  # of a .caffemodel; our own checkpoints know theirs
    input: FilePath = ""  # an image, a video, a folder of them, a pattern such as "photos/**/*.jpg", or a list (.txt)
    output: FilePath = "predictions"  # gets a folder for each of `outputs`; they are no input themselves
    outputs: list[ResultKind] = Field(["ids", "overlays"], min_length=1)
    ids: IdKind = "train"
    resize: ResizeConfig = ResizeConfig()  # one key replaces the checkpoint's data.resize; factor=1: as the image is
    overwrite: bool = False  # label anew what is there already
    protocol: Protocol | None = None
    tile_px: OptionalSize = []
    flip: bool | None = None
    scales: list[Scale] = []
    precision: Precision | None = None
    device: Device = "auto"
    threads: int = Field(0, ge=0)


class ExportConfig(Section):
    """What `export.py` takes."""

    checkpoint: FilePath = ""
    model: ModelConfig = ModelConfig()  # of a .caffemodel; our own files know theirs
    output: FilePath = "exported"  # folder of model.safetensors, model.onnx, model.pt2 and export.json
    formats: list[ExportFormat] = Field(["safetensors", "onnx", "pt2"], min_length=1)
    probabilities: bool = False  # whether onnx and pt2 answer with class probabilities beside the ids
    image: FilePath | None = None  # photograph that the files are compared on; none: a built-in scene
    opset: int = Field(18, ge=18, le=23)  # of model.onnx
    protocol: Protocol = "whole"  # the only one: a program of tensors cuts no image into tiles
    threads: int = Field(0, ge=0)


class AnalyzeConfig(Section):
    """What `analyze.py` takes."""

    model: ModelConfig = ModelConfig()
    num_classes: int = Field(21, ge=1, le=VOID)
    # Height, width of the SCORED region; the front end's margin is added to it.
    crop_px: CropSize = [512, 512]
    batch: Positive = 1  # images that are trained on at once, for the memory that training takes
    memory_gib: float | None = Field(None, gt=0)  # the cheapest crop to train on in so much memory is looked for
    output: FilePath = "runs/analysis"  # folder of analysis.json and coverage.png
    runs: FilePath | None = None  # a folder of runs, e.g. of a sweep: its leaderboard is written anew, nothing else
    against: list[Positive] = []  # dilations that all of `runs` are compared with; empty: the best


class ReportConfig(Section):
    """What `report.py` takes."""

    # A run, several side by side ([DIR,DIR]: the first is what the others are compared with), or a folder of runs.
    runs: Annotated[str | list[str], PlainValidator(one_or_more)] = []
    # A file that ends in .html, or a folder for report.html; default: the folder of `runs`, of several: runs/.
    output: FilePath | None = None
    against: list[Positive] = []  # of a folder of runs: dilations that all are compared with; empty: the best
    num_pictures: int = Field(4, ge=0, le=24)  # validation images that are answered anew; 0: none
    # Changes to the checkpoints' data section, e.g. data.root=DIR: any keys of DataConfig.
    data: DataConfig = DataConfig()
    device: Device = "auto"
    threads: int = Field(0, ge=0)
