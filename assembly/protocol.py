"""How a run stands to the paper and to the authors' code, setting by setting.

What the sources say stands in configs/protocol.yaml, what this project does in its configs alone. A run prints its own
deviations; docs/make_protocol.py writes those of all recipes to docs/protocol.md.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from configs.compose import compose
from configs.files import FOLDER
from configs.schema import WITH_COCO, Config, ModelConfig
from configs.validation import shown
from models import geometry
from models.layers import frontend_layers

NOT_STATED = "not stated"


@dataclass(frozen=True)
class Row:
    """One setting in some stages, or (`stages` empty) of the whole run; all values as text."""

    stages: tuple[str, ...]
    name: str
    paper: str
    code: str
    here: str
    remark: str = ""  # why it deviates

    @property
    def deviates(self) -> bool:
        """From a source that says something; or it fills in what neither says."""
        return {self.paper, self.code} - {NOT_STATED} != {self.here}

    def __str__(self) -> str:
        values = {"paper": self.paper, "code": self.code}
        if self.paper == self.code:
            values = {"paper and code": self.paper}
        stated = [f"{source} {value}" for source, value in values.items() if value != NOT_STATED]
        setting = f"{', '.join(self.stages)} {self.name}".lstrip()
        remark = f" ({self.remark})" if self.remark else ""
        return f"{setting}: {self.here}; {', '.join(stated) or 'neither paper nor code says'}{remark}"


@functools.cache
def sources() -> dict[str, Any]:
    """What protocol.yaml says of paper and code."""
    content: Any = OmegaConf.to_container(OmegaConf.load(FOLDER / "protocol.yaml"))
    return dict(content)


def deviations(config: Config) -> list[str]:
    """Where a run differs from paper or code, or fills in what neither says: a line for each setting.

    It tells the reason, or the recipe's value where the user set another one. A config that is no recipe of the paper
    gets one line that says so.
    """
    if config.experiment in sources()["recipes"]:
        return [str(row) for row in rows(config) if row.deviates]
    recipes = [name for name in sources()["recipes"] if name.startswith(config.data.name)]
    advice = f"; experiment={recipes[0]} does" if recipes else ""
    return [f"{config.experiment} reproduces no result of the paper{advice}"]


def rows(config: Config) -> list[Row]:
    """Every setting of a paper recipe; stages that agree in everything share a row.

    A stage that the paper's recipe does not have is not compared: `stages` tells that it is there.
    """
    own, source = recipe(config.experiment), sources()["recipes"][config.experiment]
    stages = [stage for stage in config.stages if f"{source} {stage}" in sources()["stage"]]
    settings = [("", name) for name in sources()["run"]["every"]]
    settings += [(stage, name) for name in sources()["stage"]["every"] for stage in stages]
    stages_of: dict[Row, tuple[str, ...]] = {}
    for stage, name in settings:
        here, in_recipe = (value_text(_value(each, stage, name)) for each in (config, own))
        row = Row((), name, *_source_values(source, stage, name), here)
        if row.deviates:
            changed = f"changed: the recipe has {in_recipe}"
            row = replace(row, remark=_reason(config.experiment, stage, name) if here == in_recipe else changed)
        stages_of[row] = (*stages_of.get(row, ()), *filter(None, [stage]))
    return [replace(row, stages=stages) for row, stages in stages_of.items()]


@functools.cache
def recipe(name: str) -> Config:
    """An experiment as its YAML files have it. Where files lie plays no part: any of them stand for it."""
    words = [f"experiment={name}", *(f"data.{root}={FOLDER}" for root in ("root", "sbd_root", "coco_root"))]
    file = FOLDER / "experiment" / f"{name}.yaml"
    if OmegaConf.select(OmegaConf.load(file), "init.checkpoint"):
        words.append(f"init.checkpoint={file}")
    return compose(words)


def value_text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.10g}".replace("e-0", "e-")
    if isinstance(value, list):
        return f"[{', '.join(map(value_text, value))}]"
    return "none" if value is None else shown(value)


def with_margin(model: ModelConfig, sides_px: list[int]) -> list[int]:
    return [side + 2 * _margin_px(model) for side in sides_px]


def _source_values(source: str, stage: str, name: str) -> tuple[str, str]:
    """What paper and code say of a setting: the narrowest of the sections that name it."""
    sections = sources()["stage" if stage else "run"]
    order = ("every", stage, f"{source} {stage}") if stage else ("every", source)
    fact = [sections[section][name] for section in order if name in sections.get(section, {})][-1]
    values = fact if isinstance(fact, dict) else {"paper": fact, "code": fact}
    paper, code = (value_text(values[each]) if each in values else NOT_STATED for each in ("paper", "code"))
    return paper, code


def _reason(experiment: str, stage: str, name: str) -> str:
    for recipes, settings, reason in sources()["reasons"]:
        if fnmatch(experiment, recipes) and fnmatch(f"{stage} {name}".lstrip(), settings):
            return str(reason)
    return ""


def _value(config: Config, stage: str, name: str) -> Any:
    """This project's value of a setting; `name` is one of DERIVED or a key."""
    if name in DERIVED:
        return DERIVED[name](config, stage)
    return functools.reduce(getattr, (f"stage.{stage}.{name}" if stage else name).split("."), config)


def _data(config: Config, stage: str) -> str:
    data = config.data
    split = "" if data.train_split == "train" else f" {data.train_split}"
    coco = f" ({', '.join(data.coco_splits)})" if data.train_split in WITH_COCO else ""
    resized = ", ".join(f"resize.{key} {value_text(value)}" for key, value in data.resize if value is not None)
    return ", ".join(filter(None, (data.name + split + coco, f"the first {data.limit}" * bool(data.limit), resized)))


def _margin_px(model: ModelConfig) -> int:
    return geometry.margin(frontend_layers(model.frontend, model.padding))


def _stride(model: ModelConfig) -> int:
    return geometry.stride(frontend_layers(model.frontend, model.padding))


def _input(config: Config, stage: str) -> str:
    """The image with its margin; of the context stage, which learns from the front end's maps, their size."""
    crop_px = getattr(config.stage, stage).crop_px
    if stage == "context":
        return "x".join(str(side // _stride(config.model)) for side in crop_px) + " cells"
    return "x".join(map(str, with_margin(config.model, crop_px))) + " px"


def _labels(config: Config, stage: str) -> str:
    if getattr(config.stage, stage).loss.grid == "pixels":
        return "every pixel"
    return f"every {_stride(config.model)}th from {value_text(config.model.node_offset_px)}"


def _start(config: Config, stage: str) -> str:
    if stage == config.stages[0] and config.init.checkpoint is not None:
        return "init.checkpoint"
    if stage == "frontend":
        return "random weights" if config.model.pretrained is None else "VGG-16"
    return "context stage" if stage == "joint" and "context" in config.stages else "front end, identity"


def _augmentation(config: Config, stage: str) -> str:
    augment = config.data.augment
    scale = [augment.scale_min, augment.scale_max]
    others = {key: value for key, value in augment if key not in ("mirror", "scale_min", "scale_max")}
    settings = {"scale": scale if scale != [1, 1] else 0, **others}
    return ", ".join(f"{name} {value_text(value)}" for name, value in settings.items() if value) or "none"


def _preprocessing(name: str, config: Config, stage: str) -> Any:
    """Mean or scale of the pixels: the model's own, else that of its weights, else of the data (`models.build`)."""
    if config.init.checkpoint:
        inherited = "of init.checkpoint"
    elif config.model.pretrained:
        inherited = f"of {Path(config.model.pretrained).name}"
    else:
        inherited = getattr(config.data, name, "of fresh weights")
    return getattr(config.model, name) or inherited


DERIVED: dict[str, Callable[[Config, str], Any]] = {
    "data": _data,
    "model.pretrained": lambda config, stage: config.model.pretrained and Path(config.model.pretrained).name,
    "margin_px": lambda config, stage: _margin_px(config.model),
    "mean_rgb": functools.partial(_preprocessing, "mean_rgb"),
    "scale_rgb": functools.partial(_preprocessing, "scale_rgb"),
    "other augmentation": _augmentation,
    "tile_input_px": lambda config, stage: with_margin(config.model, config.validation.tile_px),
    "start": _start,
    "input": _input,
    "labels": _labels,
}
