"""What the YAML files and the command line compose to: what wins over what."""

import re
from pathlib import Path

import pytest

from configs.compose import Source, compose, composed
from configs.errors import ConfigError
from configs.schema import Config


def test_command_line_wins_over_the_experiment(tmp_path: Path) -> None:
    config = compose(
        [
            "frontend=vgg16",
            "context=large",
            "data=camvid",
            f"data.root={tmp_path}",
            "experiment=shapes",
            "stage.joint.lr=1e-5",
            "model.context.dilations=[1,1,2,4,8,16,32]",
        ]
    )
    assert config.model.frontend.fc_channels == 4096 and config.model.context.widths[-1] == 32
    assert config.model.context.dilations == [1, 1, 2, 4, 8, 16, 32]
    assert config.data.name == "camvid" and config.data.root == str(tmp_path)
    assert config.stage.joint.lr == 1e-5


def test_command_line_wins_over_debug() -> None:
    config = compose(["debug=one_step", "stage.joint.steps=3"])
    assert (config.stage.frontend.steps, config.stage.joint.steps) == (1, 3)


def test_plus_before_a_known_key_changes_nothing() -> None:
    config = compose(["+seed=3", "++model.padding=zero"])
    assert config.seed == 3 and config.model.padding == "zero"


def test_odd_names_need_no_quotes() -> None:
    config = compose(["run.dir=a=b", "run.root=über uns (2)", "data.train_split=2024_05", "data.val_split=1e3"])
    assert (config.run.dir, config.run.root) == ("a=b", "über uns (2)")
    assert (config.data.train_split, config.data.val_split) == ("2024_05", "1e3")


def test_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = compose(["data=camvid", "data.root=~", "run.dir=~/runs/a"])
    assert (config.data.root, config.run.dir) == (str(tmp_path), f"{tmp_path}/runs/a")


def test_typo_in_a_yaml_file_is_named_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    files = {
        "key": (
            "model: {contxt: {noise_std: 1}}",
            r'experiment/key.yaml: model.contxt.noise_std: .*"contxt".*model.context',
        ),
        "kind": ("seed: abc", r"experiment/kind.yaml: seed=abc: a whole number is required"),
        "list": ("stages: [frontend", r"experiment/list.yaml"),
        "number": ("5: 1", r'experiment/number.yaml: 5: there is no key "5"'),
    }
    source = Source("train", extra_folder=str(tmp_path))
    for name, (text, message) in files.items():
        (tmp_path / "experiment" / f"{name}.yaml").write_text(f"# @package _global_\n{text}\n")
        with pytest.raises(ConfigError, match=message):
            composed(Config, [f"experiment={name}"], source)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["resume_changes=[stage.joint.lr]"], "add resume=auto, or leave it out"),
        (
            ["resume=auto", "resume_changes=[stage.joint.lrr]"],
            'no key "lrr" in stage.joint; did you mean stage.joint.lr',
        ),
        (["resume=auto", "resume_changes=[seed]"], "seed cannot change while a run goes on; single keys of stage"),
        (["resume=auto", "resume_changes=[stage.joint]"], "stage.joint cannot change while a run goes on; single keys"),
    ],
)
def test_names_of_changes_are_keys_that_may_change(words: list[str], reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        compose(words)
    compose(["resume=auto", "resume_changes=[stage.joint.lr,data.augment.color]"])


def test_a_recipe_that_names_no_package_is_told_its_first_line(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("seed: 3\n")
    with pytest.raises(ConfigError, match=r"experiment/mine.yaml: its first line must be '# @package _global_'"):
        composed(Config, ["experiment=mine"], Source("train", extra_folder=str(tmp_path)))


def test_numbers_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CPUS", "3")
    assert compose(["runtime.workers=${oc.env:CPUS}"]).runtime.workers == 3
