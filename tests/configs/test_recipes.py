"""Every YAML file composes, and the recipes carry the paper's numbers."""

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pytest
from omegaconf import OmegaConf

from configs.compose import compose, composed
from configs.errors import ConfigError
from configs.files import FOLDER, options_of
from configs.schema import (
    Config,
    ContextConfig,
    EvalConfig,
    Padding,
    StagesConfig,
)
from engine.sweeps.plan import GROUPS as HOW_TO_SWEEP

GROUPS = {folder.name: options_of(folder.name) for folder in FOLDER.iterdir() if options_of(folder.name)}
MARGIN_PX = 186
PAPER = {  # recipe, stage: input px, batch, lr, momentum, steps (None: the paper does not say)
    ("voc_aug", "frontend"): (500, 14, 1e-3, 0.9, 60_000),
    ("voc_aug_code", "frontend"): (500, 14, 1e-4, 0.9, 60_000),
    ("voc_aug", "context"): (900, 60, 1e-3, 0.9, None),
    ("voc_aug", "joint"): (500, 14, 1e-5, 0.9, None),
    ("voc_coco", "frontend"): (500, 14, 1e-3, 0.9, 140_000),
    ("voc_coco_tune", "frontend"): (500, 14, 1e-5, 0.9, 50_000),
    ("voc_coco_tune", "context"): (900, 60, 1e-3, 0.9, None),
    ("voc_coco_tune", "joint"): (500, 14, 1e-5, 0.9, None),
    ("camvid", "frontend"): (628, 8, 1e-4, 0.99, 20_000),
    ("camvid", "joint"): (852, 1, 1e-5, 0.9, None),
    ("kitti", "frontend"): (628, 8, 1e-4, 0.99, 10_000),
    ("kitti", "joint"): (900, 1, 1e-5, 0.99, 20_000),
    ("cityscapes", "frontend"): (628, 8, 1e-4, 0.99, 40_000),
    ("cityscapes", "context"): (None, 100, 1e-4, 0.99, 24_000),
    ("cityscapes", "joint"): (1396, 1, 1e-5, 0.99, 60_000),
}
STAGES = ["frontend", "context", "joint"]
PAPER_RECIPES = {  # with the paper's stages
    "camvid": ["frontend", "joint"],
    "cityscapes": STAGES,
    "cityscapes_code": STAGES,
    "kitti": ["frontend", "joint"],
    "voc": STAGES,
    "voc_aug": STAGES,
    "voc_aug_code": STAGES,
    "voc_coco": ["frontend"],
    "voc_coco_tune": STAGES,
}


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Config]:
    """Every experiment, with what a user has to add on the command line."""
    root = tmp_path_factory.mktemp("data")
    return {name: compose([f"experiment={name}", *user_words(name, root)]) for name in GROUPS["experiment"]}


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ContextConfig]:
    """Every context module; on the way every option of the other parts of a training is composed, too."""
    root = tmp_path_factory.mktemp("data")
    others = [group for group in GROUPS if group not in ("experiment", "context", "model", *HOW_TO_SWEEP)]
    assert len(GROUPS["context"]) >= max(len(GROUPS[group]) for group in others)
    found = {}
    for number, name in enumerate(GROUPS["context"]):
        chosen = {group: GROUPS[group][number % len(GROUPS[group])] for group in others}
        words = [f"{group}={option}" for group, option in chosen.items()]
        found[name] = compose([f"context={name}", *words, *user_words(chosen["data"], root)]).model.context
    return found


def user_words(name: str, root: Path) -> list[str]:
    """What a user adds for an experiment or a data set."""
    if name == "shapes":
        return []
    words = ["data.folder.class_names=[road,tree]"] if name.startswith("folder") else []
    if name == "voc_coco_tune":
        words = [f"init.checkpoint={FOLDER / 'train.yaml'}"]  # any file
    return [f"data.root={root}", f"data.sbd_root={root}", f"data.coco_root={root}", *words]


def test_every_experiment_composes_under_its_own_name(recipes: dict[str, Config]) -> None:
    assert {"shapes", "camvid", "camvid_cpu", "voc", "voc_aug", "cityscapes", "kitti", "folder"} <= recipes.keys()
    assert {name: config.experiment for name, config in recipes.items()} == {name: name for name in recipes}


def test_every_option_of_every_group_composes(contexts: dict[str, ContextConfig]) -> None:
    assert contexts.keys() == set(GROUPS["context"])


@pytest.mark.parametrize("name", GROUPS["model"])
def test_every_released_network_composes_for_scoring(name: str, tmp_path: Path) -> None:
    weights = tmp_path / "any.caffemodel"
    weights.touch()
    model = composed(EvalConfig, [f"checkpoint={weights}", f"model={name}"]).model
    assert model.classes_of is not None and len(model.tile_px) == 2


def test_without_words_the_built_in_scenes_are_trained() -> None:
    assert compose().experiment == "shapes"


@pytest.mark.parametrize(("recipe", "stage"), PAPER)
def test_paper_recipe_has_the_papers_numbers(recipe: str, stage: str, recipes: dict[str, Config]) -> None:
    input_px, batch, lr, momentum, steps = PAPER[recipe, stage]
    settings = getattr(recipes[recipe].stage, stage)
    assert stage in recipes[recipe].stages
    assert (settings.batch, settings.lr, settings.optimizer.momentum) == (batch, lr, momentum)
    assert steps is None or settings.steps == steps
    assert input_px is None or [side + 2 * MARGIN_PX for side in settings.crop_px] == [input_px, input_px]


@pytest.mark.parametrize("recipe", PAPER_RECIPES)
def test_paper_recipe_has_what_all_of_them_share(recipe: str, recipes: dict[str, Config]) -> None:
    config = recipes[recipe]
    assert config.model.padding == "reflect"
    assert config.model.pretrained == "IMAGENET1K_V1"
    assert config.data.augment.mirror and config.data.augment.scale_min == config.data.augment.scale_max == 1
    assert config.validation.protocol == "tiles"
    for settings in (getattr(config.stage, stage) for stage in config.stages):
        optimizer, schedule = settings.optimizer, settings.schedule
        assert (optimizer.name, optimizer.weight_decay, optimizer.bias_lr_factor) == ("sgd", 5e-4, 2)
        assert optimizer.backbone_lr_factor == 1 and optimizer.momentum_form == "caffe"
        assert (schedule.name, schedule.every_steps, schedule.factor) == ("step", 100_000, 0.1)
        assert settings.loss.grid == ("pixels" if recipe == "cityscapes_code" else "cells")


def test_paper_recipes_have_the_papers_stages(recipes: dict[str, Config]) -> None:
    assert {recipe: recipes[recipe].stages for recipe in PAPER_RECIPES} == PAPER_RECIPES


def test_the_context_module_alone_learns_from_mirrored_maps_where_the_loss_is_at_their_cells(
    recipes: dict[str, Config],
) -> None:
    for recipe in PAPER_RECIPES:
        mirrors = {stage: getattr(recipes[recipe].stage, stage).mirror for stage in recipes[recipe].stages}
        mirrored = {stage for stage, mirror in mirrors.items() if mirror == "cells"}
        assert mirrored == ({"context"} & mirrors.keys() if recipe != "cityscapes_code" else set())


@pytest.mark.parametrize(
    ("stage", "words", "message"),
    [
        ("joint", [], "the front end learns from mirrored images here, not from mirrored maps"),
        ("context", ["stage.context.loss.grid=pixels"], "set stage.context.mirror=pixels, or stage.context.loss.grid="),
        ("context", ["data.augment.mirror=false"], "data.augment.mirror=false, so there is nothing to mirror"),
    ],
)
def test_cells_that_cannot_be_mirrored_are_refused(stage: str, words: list[str], message: str) -> None:
    assert compose(words).stage.context.mirror == "pixels"
    with pytest.raises(ConfigError) as caught:
        compose([f"stage.{stage}.mirror=cells", *words])
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"stage.{stage}.mirror=cells: ") and message in caught.value.problems[0]


def test_cells_can_be_mirrored_with_either_padding_and_every_other_change_of_the_image() -> None:
    changes = ["data.augment.scale_min=0.5", "data.augment.rotation_deg=10", "data.augment.color=0.5"]
    for padding in get_args(Padding):
        words = ["stage.context.mirror=cells", "stage.context.crop_px=[64,64]", f"model.padding={padding}"]
        assert compose([*words, *changes]).stage.context.mirror == "cells"


def test_paper_recipes_have_the_papers_context_modules(recipes: dict[str, Config]) -> None:
    dilations = {name: recipes[name].model.context.dilations for name in ("kitti", "camvid", "voc_aug", "cityscapes")}
    assert dilations == {
        "kitti": [1, 1, 2, 4, 8, 1],
        "camvid": [1, 1, 2, 4, 8, 16, 1],
        "voc_aug": [1, 1, 2, 4, 8, 16, 1],
        "cityscapes": [1, 1, 2, 4, 8, 16, 32, 64, 1],
    }
    assert {name: recipes[name].model.context.noise_std for name in PAPER_RECIPES} == {
        name: 0.01 if name.endswith("_code") else 0 for name in PAPER_RECIPES
    }


def test_large_context_has_6_803_139_parameters_at_21_classes(contexts: dict[str, ContextConfig]) -> None:
    """PAPER section 1: 3x3 convolutions of 2C 2C 4C 8C 16C 32C 32C channels and a 1x1 back to C, with biases."""
    context, num_classes = contexts["large_released"], 21
    widths = [1, *context.widths]
    num_parameters = sum((9 * a * num_classes + 1) * b * num_classes for a, b in itertools.pairwise(widths))
    assert num_parameters + (widths[-1] * num_classes + 1) * num_classes == 6_803_139
    assert context.padding == "once" and context.noise_std == 0.01


@pytest.mark.parametrize(
    ("name", "field_cells"),
    [("dilation7", 35), ("dilation8", 67), ("basic", 67), ("large", 67), ("dilation10", 259), ("local", 15)],
)
def test_context_option_sees_as_far_as_its_comment_says(
    name: str, field_cells: int, contexts: dict[str, ContextConfig]
) -> None:
    assert 1 + 2 * sum(contexts[name].dilations) == field_cells


def test_means_are_the_authors_turned_from_bgr_to_rgb(recipes: dict[str, Config]) -> None:
    means_bgr = {
        "voc_aug": [102.93, 111.36, 116.52],
        "cityscapes": [72.39, 82.91, 73.16],
        "camvid": [110.70313, 108.77809, 105.41213],
        "kitti": [96.1943, 95.55137, 91.34692],
    }
    for name, mean_bgr in means_bgr.items():
        assert recipes[name].data.mean_rgb == mean_bgr[::-1]


def test_small_front_end_sees_54_px(recipes: dict[str, Config]) -> None:
    """Receptive field from the last layer back: r <- stride * r + (kernel span - stride)."""
    frontend = recipes["shapes"].model.frontend
    layers = []  # (kernel span, stride)
    for block, (depth, dilation) in enumerate(zip(frontend.depths, frontend.dilations, strict=True)):
        layers += [(2 * dilation + 1, 1)] * depth + [(2, 2)] * (block < 3)
    layers.append((frontend.fc6_dilation * (frontend.fc6_kernel - 1) + 1, 1))
    assert functools.reduce(lambda field, layer: layer[1] * field + layer[0] - layer[1], reversed(layers), 1) == 54


@pytest.mark.parametrize("name", GROUPS["experiment"])
def test_experiment_file_is_a_lab_record(name: str) -> None:
    head = (FOLDER / "experiment" / f"{name}.yaml").read_text().partition("defaults:")[0]
    for entry in ("# Command    python train.py", "# Hardware   ", "# Expected   ", "# Measured   "):
        assert entry in head


def test_no_experiment_sets_what_a_group_decides() -> None:
    """Or else `frontend=vgg16` on the command line would be mended by the experiment's own values."""
    decided = {
        "model.frontend": _keys("frontend"),
        "model.context": _keys("context"),
        "data": _keys("data") - {"folder"},
    }
    for name in GROUPS["experiment"]:
        recipe = OmegaConf.load(FOLDER / "experiment" / f"{name}.yaml")
        for section, keys in decided.items():
            assert not keys & set(OmegaConf.select(recipe, section) or {}), f"{name}: {section}"


def _keys(group: str) -> set[str]:
    files: Sequence[Path] = sorted((FOLDER / group).glob("*.yaml"))
    return {str(key) for file in files for key in OmegaConf.load(file)} - {"defaults"}


def test_debug_one_step_takes_one_step_of_one_image_in_every_stage(tmp_path: Path) -> None:
    config = compose(["experiment=voc_aug", f"data.root={tmp_path}", f"data.sbd_root={tmp_path}", "debug=one_step"])
    for settings in (getattr(config.stage, name) for name in StagesConfig.model_fields):
        assert (settings.steps, settings.batch, settings.accumulation, settings.validate_steps) == (1, 1, 1, 1)
    assert config.data.limit == 1 and config.stage.joint.lr == 1e-5


def test_debug_overfit_scores_the_images_that_it_learns(tmp_path: Path) -> None:
    config = compose(["experiment=voc_aug", f"data.root={tmp_path}", f"data.sbd_root={tmp_path}", "debug=overfit"])
    assert config.data.val_split == config.data.train_split == "train_aug"
    assert not config.data.augment.mirror and config.model.frontend.dropout == 0
