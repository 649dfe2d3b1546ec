"""Class weights by a rule: computed once, kept by the run, and to the bit those that one would have typed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from assembly.class_statistics import class_table, stage_settings, with_class_statistics
from assembly.feed import Feed
from assembly.header import run_header
from configs.compose import compose
from configs.errors import DamagedFileError, UserError
from configs.schema import Config
from data.balance import ClassBalance
from data.build import open_images
from engine.runs import checkpoint
from engine.runs.folder import RunFolder
from engine.runs.header import RunHeader
from engine.runs.progress import Progress
from engine.runs.resume import Run
from engine.runtime import choose_runtime
from engine.training.losses import class_weights
from models.build import build_initial
from tests.helpers.data_sets import write_image, write_label
from tests.helpers.small_runs import small_run
from train import train

RUN = small_run(["frontend", "context"], limit=4, steps=2, crop_px="[96,96]", validate_steps=2)
RULES = ["stage.frontend.loss.class_weights=sqrt_inverse", "stage.context.loss.class_weights=inverse"]


def trained(folder: Path, name: str, *overrides: str) -> dict[str, Any]:
    """The last checkpoint."""
    config = compose([*RUN, f"run.dir={folder / name}", f"cache.root={folder / 'cache'}", *overrides])
    assert train(config) == 0
    content: dict[str, Any] = checkpoint.load(folder / name / "context.pt")
    return content


def statistics(folder: Path, config: Config, resumed: dict[str, Any] | None, log: list[str]) -> RunHeader:
    """Of a run that begins, or goes on from the checkpoint `resumed`."""
    images, runtime = open_images(config.data, "train"), choose_runtime(config.runtime)
    model, _ = build_initial(config.model, images.classes.num_classes, [], 0, None)
    feed = Feed(config, images, images, model, runtime, log.append, lambda: None)
    header = run_header(config, images, images, runtime)
    run = Run(RunFolder(folder / "run"), header, resumed, Progress("frontend"), [])
    return with_class_statistics(run, feed)


@pytest.fixture(scope="module")
def by_rule(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder of runs, and the checkpoint of the one that was trained by rules and by balanced crops."""
    folder = tmp_path_factory.mktemp("runs")
    return folder, trained(folder, "rule", *RULES, "data.augment.class_balance=0.5")


def test_a_checkpoint_has_the_rule_in_its_config_and_the_numbers_beside_it(by_rule: tuple[Path, Any]) -> None:
    folder, content = by_rule
    images = open_images(compose(RUN).data, "train")
    labels = np.stack([images.read(index)[1] for index in range(4)])
    pixels_C = np.array([np.count_nonzero(labels == k) for k in range(images.classes.num_classes)])
    assert content["class_pixels"] == pixels_C.tolist()
    assert content["config"]["stage"]["frontend"]["loss"]["class_weights"] == "sqrt_inverse"
    assert content["class_weights"] == {
        "frontend": class_weights("sqrt_inverse", pixels_C),
        "context": class_weights("inverse", pixels_C),
    }
    log = (folder / "rule" / "log.txt").read_text()
    assert "class counts: 4 labels in" in log and "weight, context" in log and "class_balance=0.5: anchors" in log


def test_weights_by_a_rule_train_the_same_network_as_the_same_numbers_typed(by_rule: tuple[Path, Any]) -> None:
    folder, content = by_rule
    numbers = [f"stage.{stage}.loss.class_weights={weights}" for stage, weights in content["class_weights"].items()]
    typed = trained(folder, "typed", "data.augment.class_balance=0.5", *(word.replace(" ", "") for word in numbers))
    evenly = trained(
        folder, "evenly", "data.augment.class_balance=0.5", *(f"{word.partition('=')[0]}=none" for word in RULES)
    )
    assert "class_weights" not in typed and "class_weights" not in evenly
    assert all(torch.equal(typed["model"][name], weight) for name, weight in content["model"].items())
    assert not all(torch.equal(evenly["model"][name], weight) for name, weight in content["model"].items())


def test_a_run_without_rule_or_balance_reads_no_labels_and_has_no_statistics(tmp_path: Path) -> None:
    log: list[str] = []
    words = [*RUN, f"cache.root={tmp_path / 'cache'}", "stage.frontend.loss.class_weights=none"]
    header = statistics(tmp_path, compose(words), None, log)
    assert log == [] and not (tmp_path / "cache").exists()
    assert "class_weights" not in header.to_plain() and "class_pixels" not in header.to_plain()


def test_a_run_on_kept_maps_alone_is_balanced_too(tmp_path: Path) -> None:
    log: list[str] = []
    (tmp_path / "weights.pt").touch()
    words = ["data.augment.class_balance=0.5", "stages=[context]", f"init.checkpoint={tmp_path / 'weights.pt'}"]
    kept = compose([*RUN, f"cache.root={tmp_path / 'cache'}", *words, "stage.context.maps=cached"])
    assert "class_pixels" in statistics(tmp_path, kept, None, log).to_plain()
    assert any("class_balance=0.5: anchors are" in line for line in log)


def test_a_run_that_goes_on_keeps_its_weights_unless_the_rule_is_another(by_rule: tuple[Path, Any]) -> None:
    folder, content = by_rule
    num_classes = len(content["class_pixels"])
    as_before = {"frontend": [1.0] * num_classes, "context": [2.0] * num_classes}  # another version's, for example
    written = {**content, "class_weights": as_before}
    words = [*RUN, f"cache.root={folder / 'cache'}"]
    same = statistics(folder, compose([*words, *RULES]), written, [])
    assert same.class_weights == as_before
    other = statistics(
        folder, compose([*words, RULES[0], "stage.context.loss.class_weights=sqrt_inverse"]), written, []
    )
    pixels_C = np.array(content["class_pixels"])
    assert other.class_weights == {
        "frontend": as_before["frontend"],
        "context": class_weights("sqrt_inverse", pixels_C),
    }
    before_rules = {key: value for key, value in content.items() if key not in ("class_weights", "class_pixels")}
    assert statistics(folder, compose([*words, *RULES]), before_rules, []).class_weights == content["class_weights"]


def test_a_run_does_not_go_on_with_other_labels(by_rule: tuple[Path, Any]) -> None:
    folder, content = by_rule
    pixels = content["class_pixels"]
    written = {**content, "class_pixels": [pixels[0] + 1, pixels[1] - 1, *pixels[2:]]}
    with pytest.raises(
        UserError,
        match=rf"have changed since this run began: of day sky they had {pixels[0] + 1} pixels then, {pixels[0]} now",
    ):
        statistics(folder, compose([*RUN, *RULES, f"cache.root={folder / 'cache'}"]), written, [])


def test_a_finished_run_by_rules_goes_on_to_another_stage(by_rule: tuple[Path, Any]) -> None:
    folder, content = by_rule
    joint = small_run(["joint"], limit=4, steps=1, crop_px="[96,96]", validate_steps=1)[:-1]
    trained(folder, "rule", *RULES, "data.augment.class_balance=0.5", "resume=auto", *joint,
            "stages=[frontend,context,joint]", "stage.joint.loss.class_weights=inverse")  # fmt: skip
    joined = checkpoint.load(folder / "rule" / "joint.pt")
    assert joined["class_weights"] == {**content["class_weights"], "joint": content["class_weights"]["context"]}


def test_settings_of_a_stage_get_the_numbers_of_the_header_and_those_alone(by_rule: tuple[Path, Any]) -> None:
    folder, content = by_rule
    config = compose([*RUN, *RULES, f"cache.root={folder / 'cache'}"])
    header = statistics(folder, config, content, [])
    resolved = stage_settings("context", config.stage.context, header)
    assert resolved.loss.class_weights == content["class_weights"]["context"]
    loss = config.stage.context.loss.model_copy(update={"class_weights": resolved.loss.class_weights})
    assert resolved == config.stage.context.model_copy(update={"loss": loss})
    evenly = compose([*RUN, "stage.joint.loss.class_weights=none"]).stage.joint
    assert stage_settings("joint", evenly, header).loss.class_weights == []


def test_the_table_shows_shares_anchors_and_weights_and_warns_of_a_class_without_pixels() -> None:
    balance = ClassBalance(0.5, np.array([[3, 1, 0], [4, 0, 0]]))
    lines = list(class_table(["road", "car", "bus"], np.array([7, 1, 0]), balance, {"weight, joint": [0.5, 2, 1]}))
    assert lines[0].startswith("class_balance=0.5: anchors are")
    assert [line.split() for line in lines[1:-1]] == [
        ["class", "pixels", "anchors", "drawn", "weight,", "joint"],
        ["road", "87.50", "%", "25.00", "%", "84.38", "%", "0.50"],
        ["car", "12.50", "%", "25.00", "%", "15.62", "%", "2.00"],
        ["bus", "0.00", "%", "0.00", "%", "0.00", "%", "1.00"],
    ]
    assert lines[-1] == "warning: no training label has a pixel of bus: nothing can be learned of it"


def test_a_label_that_cannot_be_counted_is_refused_with_the_command_that_lists_all_such(tmp_path: Path) -> None:
    for name in "ab":
        write_image(tmp_path / "train" / "images" / f"{name}.png")
        write_label(tmp_path / "train" / "labels" / f"{name}.png")
    (tmp_path / "train" / "labels" / "b.png").write_bytes(b"")
    words = [
        "experiment=folder",
        f"data.root={tmp_path}",
        "data.folder.class_names=[a,b]",
        "frontend=small",
        "model.pretrained=null",
        RULES[0],
    ]
    with pytest.raises(DamagedFileError, match=r"b\.png: the file is empty(.|\n)*in one pass:  .*audit\.py"):
        statistics(tmp_path, compose([*words, f"cache.root={tmp_path / 'cache'}"]), None, [])
