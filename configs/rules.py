"""Settings that cannot go together, files that are not there: what a config can have wrong though every value fits."""

import importlib.util
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo

from configs.files import options_of
from configs.keys import did_you_mean, known_keys, unknown_key
from configs.paths import missing_file, missing_folder, missing_input, missing_path, unknown_weights, unloggable
from configs.schema import (
    CAFFE_SUFFIX,
    NUM_POOLED_BLOCKS,
    STAGES,
    WITH_COCO,
    AnalyzeConfig,
    Config,
    ContextConfig,
    DataConfig,
    EvalConfig,
    ExportConfig,
    FrontendConfig,
    LossGrid,
    ModelConfig,
    PredictConfig,
    ReportConfig,
    ResizeConfig,
    StageConfig,
    SubmissionName,
    ValidationConfig,
)
from configs.validation import shown

MOST_RUNS = 8  # side by side in a report
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")  # of the extra `export`
TRANSPOSED_OFFSET_PX = 3.5  # (kernel - 1) / 2 - padding = 15 / 2 - 4


def broken_rules(config: Any) -> list[str]:
    """One message for everything that is wrong with the config of an entry point; empty if all is well.

    Looks whether files and folders exist, but opens none.
    """
    problems: list[str] = []
    if getattr(config, "output", None) == "":  # as of output=$OUT where no such variable is set
        problems.append("output=: the place of the results is required; write output=DIR, or leave it out")
    if isinstance(config, Config):
        problems += _stages(config)
        for name in STAGES:
            problems += _stage(f"stage.{name}", getattr(config.stage, name), config.data)
        problems += _loss_grids(config) + _mirrors(config) + _kept_maps(config)
        problems += _frontend(config.model.frontend) + _context(config.model.context)
        problems += _data(config.data) + unknown_weights(config.model.pretrained)
        problems += missing_file("init.checkpoint", config.init.checkpoint)
        problems += _head(config.model) + _resume_changes(config)
        if config.validation.protocol == "authors":
            problems += authors_problems(config.model, config.validation)
    if isinstance(config, EvalConfig):
        problems += _evaluation(config)
    if isinstance(config, PredictConfig):
        problems += _network_file(config) + missing_input(config.input) + _resize(config.resize)
    if isinstance(config, ExportConfig):
        problems += _network_file(config) + missing_file("image", config.image) + _exported(config)
    if isinstance(config, AnalyzeConfig):
        problems += _frontend(config.model.frontend) + _context(config.model.context)
        if config.runs is not None:
            problems += missing_folder("runs", config.runs, "the sweep")
    if isinstance(config, ReportConfig):
        problems += _report(config)
    return problems


def _evaluation(config: EvalConfig) -> list[str]:
    problems = _network_file(config) if config.verify is None else _verification(config)
    for key in sorted(config.data.model_fields_set & {"root", "sbd_root", "coco_root"}):
        problems += missing_folder(f"data.{key}", getattr(config.data, key))
    return problems


def _verification(config: EvalConfig) -> list[str]:
    key, problems = f"verify={config.verify}", missing_path("verify", config.verify)
    if config.submission is None:
        options = ", ".join(get_args(SubmissionName))
        problems.append(f"{key}: which server the files are for is required; add submission=NAME; options: {options}")
    if config.checkpoint:
        problems.append(
            f"{key}: it checks files and needs no network; leave out checkpoint={config.checkpoint}, or verify"
        )
    return problems


def _report(config: ReportConfig) -> list[str]:
    if not config.runs:
        return ["runs=: the folder of a run or of a sweep is required; write runs=runs/NAME, or runs=[DIR,DIR]"]
    problems = [problem for run in config.runs for problem in missing_folder("runs", run, "a run or a sweep")]
    if len(config.runs) > MOST_RUNS:
        problems.append(
            f"runs: at most {MOST_RUNS} runs side by side are required, which lines of a chart can tell apart; got "
            f"{len(config.runs)}; give the folder that holds them all"
        )
    if len(config.runs) > 1 and config.against:
        problems.append(
            f"against={shown(config.against)}: runs side by side are compared with the first of them; leave it out"
        )
    for key in sorted(config.data.model_fields_set & {"root", "sbd_root", "coco_root"}):
        problems += missing_folder(f"data.{key}", getattr(config.data, key))
    return problems


def _exported(config: ExportConfig) -> list[str]:
    problems = []
    if config.protocol != "whole":
        problems.append(
            f"protocol={config.protocol}: exported networks answer an image as a whole, protocol=whole; a program that "
            "calls them may cut it into tiles; leave protocol out"
        )
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if "onnx" in config.formats and missing:
        others = [name for name in config.formats if name != "onnx"] or ["safetensors", "pt2"]
        problems.append(
            f"formats={shown(config.formats)}: onnx needs {', '.join(missing)}, which this Python has not; install by "
            f'pip install ".[export]", or write formats={shown(others)}'
        )
    return problems


def authors_problems(model: ModelConfig, validation: ValidationConfig) -> list[str]:
    """What keeps a network from answering by the authors' protocol; empty if nothing does."""
    problems = []
    if model.padding != "reflect":
        problems.append(
            "protocol=authors: it reflects the image by the front end's margin, and with model.padding=zero there is "
            "none; use whole or tiles"
        )
    if validation.flip or validation.scales != [1.0]:
        problems.append(
            f"protocol=authors: one view of the image, not flip={shown(validation.flip)} and "
            f"scales={shown(validation.scales)}; set flip=false and scales=[1], or use whole or tiles"
        )
    return problems


def _resume_changes(config: Config) -> list[str]:
    names, known = config.resume_changes, known_keys(Config)
    key = f"resume_changes={shown(names)}"
    if names and config.resume == "never":
        return [f"{key}: it names what may differ when a run goes on; add resume=auto, or leave it out"]
    problems = [f"{key}: {unknown_key(name, known)}" for name in names if name not in known]
    return problems + [
        f"{key}: {name} cannot change while a run goes on; single keys of stage and data.augment can, for example "
        "stage.joint.lr"
        for name in names
        if name in known
        and (not name.startswith(("stage.", "data.augment.")) or not isinstance(known[name], FieldInfo))
    ]


def _head(model: ModelConfig) -> list[str]:
    if model.head == "interpolated" or model.node_offset_px == TRANSPOSED_OFFSET_PX:
        return []
    return [
        f"model.node_offset_px={shown(model.node_offset_px)}: the transposed convolution puts cell i at pixel "
        f"8i + {TRANSPOSED_OFFSET_PX}; set model.node_offset_px={TRANSPOSED_OFFSET_PX}, or model.head=interpolated"
    ]


def _network_file(config: EvalConfig | ExportConfig | PredictConfig) -> list[str]:
    """Whether the file is there, and what network it holds: our own files say so, Caffe's need `model=NAME`."""
    if not config.checkpoint:
        return ["checkpoint=: the file of a network is required; write checkpoint=runs/NAME/best.pt"]
    problems = missing_file("checkpoint", config.checkpoint)
    key, is_caffe = f"checkpoint={config.checkpoint}", Path(config.checkpoint).suffix == CAFFE_SUFFIX
    if is_caffe and config.model.classes_of is None:
        problems.append(
            f"{key}: Caffe's weights do not say what network they are of; add model=NAME; names: "
            + ", ".join(options_of("model"))
        )
    if not is_caffe and config.model != ModelConfig():
        problems.append(f"{key}: it knows its own network, so model.* says nothing; leave it out")
    if is_caffe:
        problems += _frontend(config.model.frontend) + _context(config.model.context) + _head(config.model)
    return problems


def _resize(config: ResizeConfig) -> list[str]:
    chosen = config.model_dump(exclude_none=True)
    if len(chosen) < 2:
        return []
    listing = " and ".join(f"resize.{key}={shown(value)}" for key, value in chosen.items())
    return [f"{listing}: an image has one size; leave all but one of long_px, short_px and factor out"]


def _stages(config: Config) -> list[str]:
    stages, key = config.stages, f"stages={shown(config.stages)}"
    unknown = [name for name in stages if name not in STAGES]
    if unknown:
        hint = did_you_mean(unknown[0], STAGES)
        position = stages.index(unknown[0])
        return [f'{key}: there is no stage "{unknown[0]}" (position {position}); {hint}stages: {", ".join(STAGES)}']
    ordered = [name for name in STAGES if name in stages]
    if stages != ordered:
        return [f"{key}: each stage once and in this order is required: {', '.join(STAGES)}; write {shown(ordered)}"]
    if stages and stages[0] != "frontend" and config.init.checkpoint is None:
        return [
            f"{key}: {stages[0]} without frontend starts from trained weights; set init.checkpoint=FILE, "
            f"or add frontend to stages"
        ]
    return []


def _stage(key: str, stage: StageConfig, data: DataConfig) -> list[str]:
    problems = []
    if stage.accumulation >= 1 and stage.batch % stage.accumulation:
        divisors = [str(n) for n in range(1, max(stage.batch, 0) + 1) if stage.batch % n == 0]
        problems.append(
            f"{key}.accumulation={stage.accumulation}: a divisor of {key}.batch={stage.batch} is required; "
            f"one of {', '.join(divisors)}"
        )
    weights, num_names = stage.loss.class_weights, len(data.folder.class_names)
    if isinstance(weights, str):
        return problems
    if weights and not any(weights):
        problems.append(
            f"{key}.loss.class_weights={shown(weights)}: one weight above 0 is required; [] means 1 for all"
        )
    if weights and data.name == "folder" and len(weights) != num_names:
        problems.append(
            f"{key}.loss.class_weights={shown(weights)}: one for each of the {num_names} data.folder.class_names "
            f"is required; got {len(weights)}"
        )
    return problems


def _loss_grids(config: Config) -> list[str]:
    """A loss at the cells needs a label under each of them."""
    offset = config.model.node_offset_px
    at_cells = [name for name in config.stages if name in STAGES and _grid(config, name) == "cells"]
    if offset == int(offset) or not at_cells:
        return []
    keys = " ".join(f"stage.{name}.loss.grid=pixels" for name in at_cells)
    return [
        f"model.node_offset_px={offset}: no label lies at half a pixel, and the loss is taken at the cells; set {keys}"
    ]


def _mirrors(config: Config) -> list[str]:
    """Cells can be mirrored where the front end no longer learns and every cell has a label of its own."""
    problems = []
    for name in config.stages:
        if name not in STAGES or getattr(config.stage, name).mirror == "pixels":
            continue
        key, hint = f"stage.{name}.mirror=cells", f"stage.{name}.mirror=pixels"
        if name != "context":
            problems.append(
                f"{key}: the front end learns from mirrored images here, not from mirrored maps; set {hint}"
            )
        elif _grid(config, name) == "pixels":
            problems.append(
                f"{key}: a loss at the cells is required, where each has a label that is mirrored with it, and "
                f"stage.{name}.loss.grid=pixels; set {hint}, or stage.{name}.loss.grid=cells"
            )
        if not config.data.augment.mirror:
            problems.append(f"{key}: data.augment.mirror=false, so there is nothing to mirror; set {hint}")
    return problems


def _kept_maps(config: Config) -> list[str]:
    return [
        f"stage.{name}.maps=cached: the front end learns in this stage, so its maps change with every step; only the "
        f"context stage can keep them; set stage.{name}.maps=computed"
        for name in config.stages
        if name in STAGES and name != "context" and getattr(config.stage, name).maps == "cached"
    ]


def _grid(config: Config, stage: str) -> LossGrid:
    settings: StageConfig = getattr(config.stage, stage)
    return settings.loss.grid


def _frontend(config: FrontendConfig) -> list[str]:
    problems, key = [], "model.frontend"
    lengths = {name: len(getattr(config, name)) for name in ("depths", "channels", "dilations")}
    if len(set(lengths.values())) > 1:
        listing = ", ".join(f"{key}.{name} has {length}" for name, length in lengths.items())
        problems.append(f"{key}: one value for each block is required in every list; {listing}")
    elif 0 < lengths["depths"] < NUM_POOLED_BLOCKS:
        problems.append(
            f"{key}.depths={shown(config.depths)}: at least {NUM_POOLED_BLOCKS} blocks are required, "
            "the stride of 8 comes from the pooling after the first three"
        )
    if config.fc6_kernel % 2 == 0:
        problems.append(
            f"{key}.fc6_kernel={config.fc6_kernel}: an odd kernel is required, so that a cell has a centre; "
            f"write {config.fc6_kernel - 1} or {config.fc6_kernel + 1}"
        )
    return problems


def _context(config: ContextConfig) -> list[str]:
    if len(config.widths) in (0, len(config.dilations)):
        return []
    return [
        f"model.context.widths={shown(config.widths)}: none, or one for each of the {len(config.dilations)} dilations "
        f"{shown(config.dilations)} is required; got {len(config.widths)}; model.context.widths=[] makes all 1"
    ]


def _data(data: DataConfig) -> list[str]:
    problems, name, is_voc = [], data.name, data.name == "voc"
    if data.download and not is_voc:
        problems.append(
            f"data.download=true: only voc can be downloaded; set it to false and data.root to the files of {name}"
        )
    problems += scenes_problems(data)
    if data.name != "shapes" and not (is_voc and data.download):
        problems += missing_folder("data.root", data.root, f"the {name} data set") + unloggable("data.root", data.root)
    if is_voc:
        problems += _voc(data)
    if data.name == "folder" and not data.folder.class_names:
        problems.append(
            "data.folder.class_names=[]: the classes of your labels are required, in the order of their ids; "
            "for example data.folder.class_names=[road,house,tree]"
        )
    for set_name, part in data.folder.sets.items() if data.name == "folder" and data.root else ():
        key, root = f"data.folder.sets.{set_name}.root", str(Path(data.root or "", part.root))
        problems += missing_folder(key, root, "this set") + unloggable(key, root)
    problems += split_problems(data)
    augment = data.augment
    if augment.scale_min > augment.scale_max:
        problems.append(
            f"data.augment.scale_min={shown(augment.scale_min)}: at most "
            f"data.augment.scale_max={shown(augment.scale_max)} is required"
        )
    return problems


def _voc(data: DataConfig) -> list[str]:
    """Of the sets that some splits take beside VOC's own files."""
    problems, splits = [], (data.train_split, data.val_split)
    if "train_aug" in [WITH_COCO.get(split, split) for split in splits] and not (data.download and data.sbd_root):
        problems += missing_folder("data.sbd_root", data.sbd_root, "the Semantic Boundaries Dataset")
        problems += unloggable("data.sbd_root", data.sbd_root)
    if not any(split in WITH_COCO for split in splits):
        return problems
    problems += missing_folder("data.coco_root", data.coco_root, "COCO") + unloggable("data.coco_root", data.coco_root)
    years = {split[-4:] for split in data.coco_splits}
    if len(years) > 1 or len({*data.coco_splits}) < len(data.coco_splits):
        problems.append(
            f"data.coco_splits={shown(data.coco_splits)}: splits of one year, each once, are required, because both "
            "years have the same images; write [train2014,val2014] or [train2017,val2017]"
        )
    return problems


def split_problems(data: DataConfig) -> list[str]:
    """What keeps groups from being held out; empty if nothing does."""
    if not data.hold_out:
        return []
    key, is_folder = f"data.hold_out={shown(data.hold_out)}", data.name == "folder"
    if is_folder and data.folder.val_share:
        return [
            f"{key}: data.folder.val_share={shown(data.folder.val_share)} takes another validation split from "
            f"{data.train_split}; there is one; set data.folder.val_share=0, or leave hold_out out"
        ]
    if is_folder and not data.folder.group:
        return [
            f"{key}: it is not known which image is of which group; set data.folder.group to a regular expression "
            "whose parentheses hold the group in an image's name, for example 'data.folder.group=^([^_]+)_'"
        ]
    if not is_folder and data.name != "camvid":
        return [
            f"{key}: the images of {data.name} have no groups; those of camvid have, its drives, and with "
            "data.folder.group one's own; set data.hold_out=[], or use data=camvid or data=folder"
        ]
    return []


def scenes_problems(data: DataConfig) -> list[str]:
    """The built-in scenes are drawn: a place that is named for them would be ignored."""
    if data.name != "shapes" or data.root is None:
        return []
    return [
        f"data.root={data.root}: the built-in scenes (data=shapes) lie in no folder; say which data set this is, for "
        "example experiment=camvid or data=folder (of eval.py: data.name=camvid or data.name=folder)"
    ]
