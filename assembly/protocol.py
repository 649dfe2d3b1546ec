"""Paper, authors' code and this project side by side: `docs/protocol.md`, and what a run says of its own deviations.

What the sources say stands in protocol.yaml, what this project does in the configs alone.
`python -m assembly.protocol` writes the page again.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from configs.compose import FOLDER, compose, composed, options_of
from configs.rules import POOLED_BLOCKS
from configs.schema import AnalyzeConfig, Config, ModelConfig
from configs.validation import shown

PAGE = FOLDER.parent / "docs" / "protocol.md"
SOURCES: Any = OmegaConf.to_container(OmegaConf.load(FOLDER / "protocol.yaml"))
STRIDE: int = 2**POOLED_BLOCKS
NOT_STATED = "not stated"
INTRODUCTION = """# Protocol

Written by `python -m assembly.protocol` from the configs and [protocol.yaml](../configs/protocol.yaml); a test holds it
to them. *Paper* is the text of Yu and Koltun (ICLR 2016), *code* the authors' release, *here* the recipe as it runs.
**Bold** differs from one of the two, or fills in what neither says; the number leads to the reason. Settings have the
names and units of [schema.py](../configs/schema.py); inputs include the margin. A run prints the bold lines of its own
config when it starts, with what the user changed.

The paper's results on VOC with COCO have no recipe: COCO is not among the data sets."""


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
        said = {"paper": self.paper, "code": self.code}
        if self.paper == self.code:
            said = {"paper and code": self.paper}
        told = [f"{source} {value}" for source, value in said.items() if value != NOT_STATED]
        setting = f"{', '.join(self.stages)} {self.name}".lstrip()
        remark = f" ({self.remark})" if self.remark else ""
        return f"{setting}: {self.here}; {', '.join(told) or 'neither paper nor code says'}{remark}"


def deviations(config: Config) -> list[str]:
    """Where a run differs from paper or code, or fills in what neither says: a line for each setting.

    It tells the reason, or the recipe's value where the user set another one. A config that is no recipe of the paper
    gets one line that says so.
    """
    if config.experiment in SOURCES["recipes"]:
        return [str(row) for row in rows(config) if row.deviates]
    others = [name for name in SOURCES["recipes"] if name.startswith(config.data.name)]
    advice = f"; experiment={others[0]} does" if others else ""
    return [f"{config.experiment} reproduces no result of the paper{advice}"]


def rows(config: Config) -> list[Row]:
    """Every setting of a paper recipe; stages that agree in everything share a row.

    A stage that the paper's recipe does not have is not compared: `stages` tells that it is there.
    """
    own, source = recipe(config.experiment), SOURCES["recipes"][config.experiment]
    stages = [stage for stage in config.stages if f"{source} {stage}" in SOURCES["stage"]]
    settings = [("", name) for name in SOURCES["run"]["every"]]
    settings += [(stage, name) for name in SOURCES["stage"]["every"] for stage in stages]
    found: dict[Row, tuple[str, ...]] = {}
    for stage, name in settings:
        here, planned = (_text(_value(each, stage, name)) for each in (config, own))
        row = Row((), name, *_said(source, stage, name), here)
        if row.deviates:
            changed = f"changed: the recipe has {planned}"
            row = replace(row, remark=_reason(config.experiment, stage, name) if here == planned else changed)
        found[row] = (*found.get(row, ()), *filter(None, [stage]))
    return [replace(row, stages=stages) for row, stages in found.items()]


@functools.cache
def recipe(name: str) -> Config:
    """An experiment as its YAML files have it. Where the data lie plays no part: any folder stands for it."""
    with _outside_hydra():
        return compose([f"experiment={name}", f"data.root={FOLDER}", f"data.sbd_root={FOLDER}"])


def margin_px(model: ModelConfig) -> int:
    """What an unpadded front end eats at each side, (receptive field - stride) / 2; the field from the last layer back.

    `models.geometry` knows it of any stack of layers, but configs import no model.
    """
    if model.padding == "zero":
        return 0
    frontend = model.frontend
    field = 1 + frontend.fc6_dilation * (frontend.fc6_kernel - 1)
    for block in reversed(range(len(frontend.depths))):
        field = (2 * field if block < POOLED_BLOCKS else field) + 2 * frontend.dilations[block] * frontend.depths[block]
    return (field - STRIDE) // 2


@contextmanager
def _outside_hydra() -> Iterator[None]:
    """A run of a sweep is a job of Hydra's, which composes nothing else meanwhile."""
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = running


def _said(source: str, stage: str, name: str) -> tuple[str, str]:
    """What paper and code say of a setting: the narrowest of the sections that name it."""
    sections = SOURCES["stage" if stage else "run"]
    order = ("every", stage, f"{source} {stage}") if stage else ("every", source)
    fact = [sections[section][name] for section in order if name in sections.get(section, {})][-1]
    said = fact if isinstance(fact, dict) else {"paper": fact, "code": fact}
    paper, code = (_text(said[each]) if each in said else NOT_STATED for each in ("paper", "code"))
    return paper, code


def _reason(experiment: str, stage: str, name: str) -> str:
    for recipes, settings, reason in SOURCES["reasons"]:
        if fnmatch(experiment, recipes) and fnmatch(f"{stage} {name}".lstrip(), settings):
            return str(reason)
    return ""


def _value(config: Config, stage: str, name: str) -> Any:
    """This project's value of a setting; `name` is one of DERIVED or a key."""
    if name in DERIVED:
        return DERIVED[name](config, stage)
    return functools.reduce(getattr, (f"stage.{stage}.{name}" if stage else name).split("."), config)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.10g}".replace("e-0", "e-")
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return "none" if value is None else shown(value)


def _data(config: Config, stage: str) -> str:
    data = config.data
    split = "" if data.train_split == "train" else f" {data.train_split}"
    return data.name + split + (f", the first {data.limit}" if data.limit else "")


def _with_margin(model: ModelConfig, sides_px: list[int]) -> list[int]:
    return [side + 2 * margin_px(model) for side in sides_px]


def _input(config: Config, stage: str) -> str:
    """The image with its margin; of the context stage, which learns from the front end's maps, their size."""
    crop_px = getattr(config.stage, stage).crop_px
    if stage == "context":
        return "x".join(str(side // STRIDE) for side in crop_px) + " cells"
    return "x".join(map(str, _with_margin(config.model, crop_px))) + " px"


def _labels(config: Config, stage: str) -> str:
    if getattr(config.stage, stage).loss.grid == "pixels":
        return "every pixel"
    return f"every {STRIDE}th from {_text(config.model.node_offset_px)}"


def _start(config: Config, stage: str) -> str:
    if stage == config.stages[0] and config.init.checkpoint is not None:
        return "init.checkpoint"
    if stage == "frontend":
        return "random weights" if config.model.pretrained is None else "VGG-16"
    return "context stage" if stage == "joint" and "context" in config.stages else "front end, identity"


def _augmentation(config: Config, stage: str) -> str:
    augment = config.data.augment
    scale = [augment.scale_min, augment.scale_max]
    told = {"scale": scale if scale != [1, 1] else 0, "rotation_deg": augment.rotation_deg, "color": augment.color}
    return ", ".join(f"{name} {_text(value)}" for name, value in told.items() if value) or "none"


def _preprocessing(name: str, config: Config, stage: str) -> Any:
    """Mean or scale of the pixels: the model's own, else that of its weights, else of the data (`models.build`)."""
    weights = config.init.checkpoint or config.model.pretrained
    inherited = f"of {Path(weights).name}" if weights else getattr(config.data, name, "of fresh weights")
    return getattr(config.model, name) or inherited


DERIVED: dict[str, Callable[[Config, str], Any]] = {
    "data": _data,
    "model.pretrained": lambda config, stage: config.model.pretrained and Path(config.model.pretrained).name,
    "margin_px": lambda config, stage: margin_px(config.model),
    "mean_rgb": functools.partial(_preprocessing, "mean_rgb"),
    "scale_rgb": functools.partial(_preprocessing, "scale_rgb"),
    "other augmentation": _augmentation,
    "tile_input_px": lambda config, stage: _with_margin(config.model, config.validation.tile_px),
    "start": _start,
    "input": _input,
    "labels": _labels,
}


def page() -> str:
    """All of `docs/protocol.md`."""
    fixed = [[fact["name"], fact["says"], fact["by"], f"`{fact['file']}`"] for fact in SOURCES["fixed"]]
    released = {name: _released(name) for name in options_of("model")}
    figures = list(next(iter(released.values())))
    sections = [
        INTRODUCTION,
        *map(_recipe_section, SOURCES["recipes"]),
        "## What no key changes",
        _table(["", "fact", "of", "here the same, in"], fixed),
        "## Not compared",
        "\n".join(f"* `{key}`: {why}" for key, why in SOURCES["not compared"].items()),
        "## The released networks",
        "`eval.py checkpoint=FILE.caffemodel model=NAME` scores them. Their front end is that of the recipes.",
        _table(["", *released], [[figure, *(each[figure] for each in released.values())] for figure in figures]),
    ]
    return "\n\n".join(sections) + "\n"


def _recipe_section(name: str) -> str:
    config = recipe(name)
    reasons: list[str] = []
    lines = []
    for row in rows(config):
        here = row.here
        if row.deviates:
            reasons += [row.remark] if row.remark not in reasons else []
            here = f"**{here}** ({reasons.index(row.remark) + 1})"
        stages = "every" if list(row.stages) == config.stages else ", ".join(row.stages) or "run"
        lines.append([stages, row.name, row.paper, row.code, here])
    listed = "\n".join(f"{number}. {reason}" for number, reason in enumerate(reasons, start=1))
    return f"## {name}\n\n{_table(['stage', 'setting', 'paper', 'code', 'here'], lines)}\n\n{listed}"


def _released(name: str) -> dict[str, str]:
    """A released network in figures."""
    model = composed(AnalyzeConfig, [f"model={name}"]).model
    figures = {
        "classes of": model.classes_of,
        "dilations": model.context.dilations,
        "widths": model.context.widths,
        "context padding": model.context.padding,
        "head": model.head,
        "node_offset_px": model.node_offset_px,
        "mean_rgb": model.mean_rgb,
        "scale_rgb": model.scale_rgb,
        "tile_input_px": _with_margin(model, model.tile_px),
    }
    return {figure: _text(value) for figure, value in figures.items()}


def _table(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *lines])


if __name__ == "__main__":
    PAGE.write_text(page())
