"""Settings that cannot go together, files that are not there: what a config can have wrong though every value fits."""

import importlib.util
from pathlib import Path
from typing import Any, get_args

from configs.data_rules import data_problems, resize_problems
from configs.files import options_of
from configs.model_rules import authors_problems, context_problems, frontend_problems, head_problems
from configs.paths import missing_file, missing_folder, missing_input, missing_path, unknown_weights
from configs.schema import (
    CAFFE_SUFFIX,
    AnalyzeConfig,
    Config,
    DataConfig,
    EvalConfig,
    ExportConfig,
    ModelConfig,
    PredictConfig,
    ReportConfig,
    SubmissionName,
)
from configs.training_rules import resume_problems, training_problems
from configs.validation import shown

MOST_RUNS = 8  # side by side in a report
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")  # of the extra `export`


def broken_rules(config: Any) -> list[str]:
    """One message for everything that is wrong with the config of an entry point; empty if all is well.

    Looks whether files and folders exist, but opens none.
    """
    problems: list[str] = []
    if getattr(config, "output", None) == "":  # as of output=$OUT where no such variable is set
        problems.append("output=: the place of the results is required; write output=DIR, or leave it out")
    if isinstance(config, Config):
        problems += training_problems(config)
        problems += frontend_problems(config.model.frontend) + context_problems(config.model.context)
        problems += data_problems(config.data) + unknown_weights(config.model.pretrained)
        problems += missing_file("init.checkpoint", config.init.checkpoint)
        problems += head_problems(config.model) + resume_problems(config)
        if config.validation.protocol == "authors":
            problems += authors_problems(config.model, config.validation, config.data.resize)
    if isinstance(config, EvalConfig):
        problems += _evaluation(config)
    if isinstance(config, PredictConfig):
        problems += _network_file(config) + missing_input(config.input)
        problems += resize_problems("resize", config.resize)
    if isinstance(config, ExportConfig):
        problems += _network_file(config) + missing_file("image", config.image) + _exported(config)
    if isinstance(config, AnalyzeConfig):
        problems += frontend_problems(config.model.frontend) + context_problems(config.model.context)
        if config.runs is not None:
            problems += missing_folder("runs", config.runs, "the sweep")
    if isinstance(config, ReportConfig):
        problems += _report(config)
    return problems


def _evaluation(config: EvalConfig) -> list[str]:
    problems = _network_file(config) if config.verify is None else _verification(config)
    return problems + _changed_data(config.data)


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
    return problems + _changed_data(config.data)


def _changed_data(data: DataConfig) -> list[str]:
    """Of the changes to a checkpoint's data section, what can be judged without it."""
    problems = resize_problems("data.resize", data.resize)
    for key in sorted(data.model_fields_set & {"root", "sbd_root", "coco_root"}):
        problems += missing_folder(f"data.{key}", getattr(data, key))
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
        problems += (
            frontend_problems(config.model.frontend)
            + context_problems(config.model.context)
            + head_problems(config.model)
        )
    return problems
