"""Paper / code / here: every setting of a recipe is compared, and a run tells its own deviations."""

import functools
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from pydantic.fields import FieldInfo

from assembly.protocol import deviations, recipe, rows, sources
from configs.compose import compose
from configs.files import FOLDER
from configs.keys import known_keys
from configs.schema import AugmentConfig, Config, ModelConfig, StageConfig

STAGES = {
    "voc_aug": ["frontend", "context", "joint"],
    "voc_coco": ["frontend"],
    "voc_coco_tune": ["frontend", "context", "joint"],
    "camvid": ["frontend", "joint"],
    "kitti": ["frontend", "joint"],
    "cityscapes": ["frontend", "context", "joint"],
}
# PAPER.md, section 2, typed again: (recipe, stages, setting) -> paper, code.
SOURCE_VALUES = {
    ("voc_aug", "frontend", "lr"): ("0.001", "0.0001"),
    ("voc_aug", "frontend, joint", "input"): ("not stated", "500x500 px"),
    ("voc_aug", "context", "input"): ("66x66 cells", "66x66 cells"),
    ("voc_aug", "context", "batch"): ("not stated", "60"),
    ("voc_aug", "joint", "steps"): ("not stated", "not stated"),
    ("voc_coco", "frontend", "steps"): ("140000", "not stated"),
    ("voc_coco", "frontend", "lr"): ("0.001", "not stated"),
    ("voc_coco", "frontend", "schedule.every_steps"): ("100000", "100000"),
    ("voc_coco", "", "data"): ("VOC and COCO", "not stated"),
    ("voc_coco_tune", "frontend", "steps"): ("50000", "not stated"),
    ("voc_coco_tune", "frontend", "lr"): ("1e-5", "not stated"),
    ("voc_coco_tune", "context", "lr"): ("0.001", "0.001"),
    ("voc_coco_tune", "", "data"): ("VOC", "not stated"),
    ("camvid", "frontend", "optimizer.momentum"): ("0.99", "0.99"),
    ("camvid", "joint", "optimizer.momentum"): ("0.9", "0.9"),
    ("camvid", "", "mean_rgb"): ("not stated", "[105.41213, 108.77809, 110.70313]"),
    ("kitti", "frontend", "steps"): ("10000", "10000"),
    ("kitti", "joint", "input"): ("900x900 px", "900x900 px"),
    ("kitti", "", "model.context.dilations"): ("[1, 1, 2, 4, 8, 1]", "[1, 1, 2, 4, 8, 1]"),
    ("kitti", "", "tile_input_px"): ("not stated", "[852, 1640]"),
    ("cityscapes", "context", "batch"): ("100", "100"),
    ("cityscapes", "joint", "steps"): ("60000", "60000"),
    ("cityscapes", "frontend, context, joint", "optimizer.weight_decay"): ("not stated", "0.0005"),
    ("cityscapes", "", "model.context.noise_std"): ("0", "0.01"),
}


def changed(section: Any, key: str, value: Any) -> Any:
    name, _, rest = key.partition(".")
    return section.model_copy(update={name: changed(getattr(section, name), rest, value) if rest else value})


def another(value: Any, annotation: Any) -> Any:
    """A value of the same kind that is not this one."""
    if get_origin(annotation) is Literal:
        return next(option for option in get_args(annotation) if option != value)
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"other {value}"
        case [first, *rest]:
            return [another(first, None), *rest]
    return [1.0]  # for none, and for an empty list


@pytest.mark.parametrize("name", sources()["recipes"])
def test_every_stage_of_every_paper_recipe_is_compared(name: str) -> None:
    config = recipe(name)
    stages = STAGES[sources()["recipes"][name]]
    assert config.stages == stages
    compared = [(stage, row.name) for row in rows(config) for stage in row.stages]
    assert len(compared) == len(set(compared)) == len(stages) * len(sources()["stage"]["every"])


@pytest.mark.parametrize("name", sources()["recipes"])
def test_every_deviation_of_a_recipe_has_a_reason(name: str) -> None:
    for row in rows(recipe(name)):
        assert bool(row.remark) == row.deviates, row
        assert not row.remark.startswith("changed"), row


def test_every_reason_is_of_some_deviation() -> None:
    remarks = {row.remark for name in sources()["recipes"] for row in rows(recipe(name))}
    assert {reason for _, _, reason in sources()["reasons"]} <= remarks


def test_facts_are_named_for_settings_that_are_compared() -> None:
    for level in ("run", "stage"):
        for section, facts in sources()[level].items():
            assert facts.keys() <= sources()[level]["every"].keys(), section


@pytest.mark.parametrize(("name", "stages", "setting"), SOURCE_VALUES)
def test_facts_are_the_sources(name: str, stages: str, setting: str) -> None:
    (row,) = (row for row in rows(recipe(name)) if (", ".join(row.stages), row.name) == (stages, setting))
    assert (row.paper, row.code) == SOURCE_VALUES[name, stages, setting]


LEAVES = {
    key: entry.annotation
    for parent, section in (("model", ModelConfig), ("stage.joint", StageConfig), ("data.augment", AugmentConfig))
    for key, entry in known_keys(section, parent).items()
    if isinstance(entry, FieldInfo)
}


@pytest.mark.parametrize("key", LEAVES)
def test_no_setting_of_network_stage_or_augmentation_is_left_out(key: str) -> None:
    """Changing it adds a line, unless the page says that it is not compared."""
    config = recipe("camvid")
    value = another(functools.reduce(getattr, key.split("."), config), LEAVES[key])
    silent = key.replace(".joint.", ".*.") in sources()["not compared"]
    assert (deviations(changed(config, key, value)) == deviations(config)) == silent


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("stage.joint.lr", 1e-3, "joint lr: 0.001; paper and code 1e-5 (changed: the recipe has 1e-5)"),
        ("stage.joint.crop_px", [264, 256], "joint input: 636x628 px; paper and code 852x852 px (changed: the recipe "
         "has 852x852 px)"),
        ("stage.frontend.clip_norm", 5.0, "frontend clip_norm: 5; code none (changed: the recipe has none)"),
        ("model.frontend.dropout", 0.0, "model.frontend.dropout: 0; code 0.5 (changed: the recipe has 0.5)"),
        ("data.augment.color", 0.3, "other augmentation: color 0.3; paper and code none (changed: the recipe has "
         "none)"),
        ("data.limit", 10, "data: camvid, the first 10; paper and code camvid (changed: the recipe has camvid)"),
    ],
)  # fmt: skip
def test_a_change_adds_its_own_line_and_no_other(key: str, value: Any, line: str) -> None:
    config = recipe("camvid")
    assert set(deviations(changed(config, key, value))) - set(deviations(config)) == {line}
    assert len(deviations(changed(config, key, value))) == len(deviations(config)) + 1


def test_a_change_back_to_the_sources_takes_the_line_away() -> None:
    config = recipe("kitti")
    line = "tile_input_px: [852, 1644]; code [852, 1640] (tiles abut only where 8 divides the scored side)"
    assert line in deviations(config)
    assert deviations(changed(config, "validation.tile_px", [480, 1268])) == [
        each for each in deviations(config) if each != line
    ]


def test_one_line_tells_paper_and_code_where_they_differ() -> None:
    assert (
        "frontend lr: 0.001; paper 0.001, code 0.0001 (the paper's; experiment=voc_aug_code takes the code's)"
        in deviations(recipe("voc_aug"))
    )


def test_a_reason_is_not_told_of_another_value() -> None:
    lines = deviations(changed(recipe("voc_aug"), "stage.context.steps", 7))
    assert "context steps: 7; neither paper nor code says (changed: the recipe has 24000)" in lines


def test_stages_left_out_are_one_line_and_stages_added_another() -> None:
    voc = deviations(changed(recipe("voc_aug"), "stages", ["frontend"]))
    assert any(line.startswith("stages: [frontend]; paper and code [frontend, context, joint]") for line in voc)
    assert not any(line.startswith(("context ", "joint ")) for line in voc)
    camvid = changed(recipe("camvid"), "stages", ["frontend", "context", "joint"])
    new = set(deviations(camvid)) - set(deviations(recipe("camvid")))
    assert {line.partition(":")[0] for line in new} == {"stages", "joint start"}


def test_what_reproduces_no_result_says_so_in_one_line(tmp_path: Path) -> None:
    assert deviations(compose()) == ["shapes reproduces no result of the paper"]
    assert deviations(compose(["experiment=camvid_cpu", f"data.root={tmp_path}"])) == [
        "camvid_cpu reproduces no result of the paper; experiment=camvid does"
    ]
    assert deviations(Config()) == ["custom reproduces no result of the paper"]


def test_a_job_of_a_sweep_can_tell_its_deviations() -> None:
    """There Hydra is at work already, and would compose nothing else."""
    config = recipe("camvid")
    with hydra.initialize_config_dir(str(FOLDER), version_base="1.3"):
        at_work = GlobalHydra.instance().hydra
        recipe.cache_clear()
        assert deviations(config)
        assert GlobalHydra.instance().hydra is at_work
