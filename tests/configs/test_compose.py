"""From the command line to a config: what wins over what, and what is refused with which words."""

import re
import shutil
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from configs import compose as compose_module
from configs.check import problems
from configs.compose import FOLDER, ConfigError, compose, composed, entry_point, from_plain, to_plain, with_changes
from configs.evaluation import evaluation_config
from configs.keys import known_keys
from configs.plain import shown
from configs.schema import (
    AnalyzeConfig,
    AugmentConfig,
    Config,
    DataConfig,
    DataName,
    EvalConfig,
    FolderConfig,
    Padding,
    PredictConfig,
    Resume,
)

PROGRAM = """
import sys
from configs.compose import entry_point
from configs.schema import Config

def main(config: Config) -> int:
    has_torch = "torch" in sys.modules
    print("ran", config.experiment, config.seed, config.model.context.dilations, config.run.root, has_torch)
    return config.seed

sys.exit(entry_point("train", Config, main))
"""


@pytest.fixture(scope="module")
def default() -> Config:
    return compose()


def run_program(
    folder: Path, *words: str, text: str = PROGRAM, project: Path = FOLDER.parent
) -> subprocess.CompletedProcess[str]:
    """An entry point as the shell starts it, in an empty folder."""
    (folder / "program.py").write_text(text)
    command = [sys.executable, "program.py", *words]
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(project)}, capture_output=True, text=True, timeout=60
    )


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What an entry point prints when it refuses the words; the run itself must not begin."""

    def main(config: Config) -> int:
        raise AssertionError(f"started with {config}")

    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    assert entry_point("train", Config, main) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


@pytest.mark.parametrize(
    ("words", "offending", "advice"),
    [
        (["model.contxt.dilations=[1]"], '"contxt"', "model.context.dilations"),
        (["+model.dilation=[1]"], '"dilation"', "model.context.dilations"),
        (["model.context.dilations=[1,-2]"], "dilations are positive integers; got -2 at position 1", ""),
        (["model.context.dilations=[]"], "model.context.dilations=[]", "[1,1,2,4,8,16,1]"),
        (["experiment=camvid", "data.root=/nowhere"], "data.root=/nowhere", "set data.root=DIR"),
        (["data.root=/nowhere"], "data.root=/nowhere", "experiment=camvid"),
        (["stage.joint.lr=abc"], "stage.joint.lr=abc", "a number is required"),
        (["stages=[frontent]"], '"frontent"', "did you mean frontend"),
        (["stages=[joint,frontend]"], "stages=[joint,frontend]", "write [frontend,joint]"),
        (["stages=[context]"], "stages=[context]", "init.checkpoint=FILE"),
        (["experiment=camvd"], '"camvd"', "did you mean camvid"),
        (["experiment", "camvid"], "experiment camvid", "write experiment=camvid"),
        (["data=folder", "data.root=."], "data.folder.class_names=[]", "data.folder.class_names=[road"),
        (["data=voc_aug", "data.root=.", "data.sbd_root=null"], "data.sbd_root=null", "data.sbd_root=DIR"),
        (["-m", "run.dir=x", "seed=1,2"], "run.dir=x", "run.root"),
        (["-m", "run.dir=x,y"], "run.dir=x,y", "run.root"),
        (["-m", "run.root=x,y"], "run.root=x,y", "the one folder of the sweep"),
        (["-m", "hydra.run.dir=x", "seed=1,2"], "hydra.run.dir=x", "run.dir"),
        (["-m", "hydra.sweep.subdir=x", "seed=1,2"], "hydra.sweep.subdir=x", "hydra.sweep.dir=DIR"),
        (["-m", "hydra.job.env_set.A=1", "seed=1,2"], "hydra.job.env_set.A=1", "the environment of the shell"),
        (["-m", "hydra.output_subdir=x", "seed=1,2"], "hydra.output_subdir=x", "config.json"),
        (["-m", "~hydra.sweep.dir", "seed=1,2"], "~hydra.sweep.dir", "no key can be taken away"),
        (["-m", "hydra.launcher.n_jobs=2", "seed=1,2"], "hydra.launcher.n_jobs", "launcher=joblib"),
        (["-m", "hydra.sweeper.n_trials=2", "seed=1,2"], "hydra.sweeper.n_trials", "sweep=optuna"),
        (["-m", "launcher=joblib", "hydra.launcher.n_jobs=2,4"], "hydra.launcher.n_jobs=2,4", "one value is required"),
        (["-m", "run.root=a", "hydra.sweep.dir=b"], "run.root=a and hydra.sweep.dir=b", "give one"),
        (["-m", "--cfg", "job", "seed=1,2"], "-m beside --cfg job", "leave one of them out"),
        (["--resolve"], "--resolve", "write train.py --cfg job --resolve, or leave it out"),
        (["--package", "model", "seed=1"], "--package", "write train.py --cfg job --package model seed=1, or"),
        (["-m", "model.context.dilations=[1,2],[1,-2]"], "got -2 at position 1", ""),
        (["-m", "seed=1,2", "context=larg,local"], '"larg"', "did you mean large"),
    ],
)
def test_wrong_word_is_named_with_its_cure(
    words: list[str],
    offending: str,
    advice: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    message = refused(monkeypatch, capsys, *words)
    assert offending in message and advice in message
    assert len(message.splitlines()) == 1, "one fault, one line"


WRONG_BY_THEMSELVES = {
    "++model.contxt=1": 'no key "contxt" in model; did you mean model.context?',
    "~model.context": "set it instead, model.context=...",
    "experimnt=camvid": 'no key "experimnt" at the top; did you mean experiment?',
    "lr=1e-3": 'no key "lr" at the top; did you mean stage.joint.lr',
    "stage.joint.lr.x=1": "stage.joint.lr holds a value",
    "model.context={dilatons: [1]}": 'no key "dilatons" in model.context; did you mean model.context.dilations?',
    "model.context=large": "choose one by context=...",
    "camvid": "write data=camvid or experiment=camvid",
    "--experiment=camvid": "without dashes: experiment=camvid",
    "model.context.dilations=[1": "a closing bracket is missing",
    "model.context.dilations=3": "write model.context.dilations=[3]",
    "model.context.dilations=[1,2.5]": "a whole number is required at position 1; got 2.5",
    "stages=frontend": "write stages=[frontend]",
    "stages=frontend,joint": "write stages=[frontend,joint] for a list, or add -m",
    "stage.joint.lr=": "a number is required; got nothing",
    "stage.joint.steps=1e4": "write stage.joint.steps=10000",
    "seed=1.5": "a whole number is required",
    "seed=true": "a whole number is required",
    "model.padding=refelct": "did you mean reflect?",
    "validation.flip=maybe": "write true or false",
    "hydra.run.dir=x": "the folder of results is run.dir",
    "hydra.sweep.dir=x": "add -m",
    "hydra.job.chdir=true": "a job works where the command is typed",
    "hydra.verbose=true": "log.txt",
    "hydra/job_logging=default": "of Hydra's own settings only those of a sweep serve here",
}


def test_all_words_that_are_wrong_by_themselves_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as told:
        compose(list(WRONG_BY_THEMSELVES))
    assert len(told.value.problems) == len(WRONG_BY_THEMSELVES)
    for word, message in WRONG_BY_THEMSELVES.items():
        key = word.removeprefix("++").partition("=")[0].partition("{")[0]
        assert any(key in problem and message in problem for problem in told.value.problems), word


WRONG_TOGETHER = {
    "stage.joint.lr=0": "stage.joint.lr=0.0: it must be greater than 0",
    "stage.context.lr=nan": "stage.context.lr=nan: it must be finite",
    "stage.frontend.batch=0": "stage.frontend.batch=0: it must be a positive integer",
    "stage.joint.batch=9": "stage.joint.accumulation=2: a divisor of stage.joint.batch=9 is required; one of 1, 3, 9",
    "stage.joint.accumulation=2": "stage.joint.accumulation=2",
    "stage.joint.crop_px=[100,104]": "crop_px are divisible by 8; got 100 at position 0",
    "stage.context.crop_px=[256]": "stage.context.crop_px=[256]: 2 values are required; got 1",
    "stage.joint.loss.class_weights=[0,0]": "one weight above 0 is required",
    "stages=[]": "stages=[]: at least one value is required",
    "model.frontend.fc6_kernel=4": "write 3 or 5",
    "model.frontend.depths=[1,1]": "model.frontend.depths has 2",
    "model.context.widths=[1,2]": "one for each of the 7 dilations",
    "model.context.noise_std=2": "model.context.noise_std=2.0: it must be at most 1",
    "model.mean_rgb=[1,2]": "none or 3 values are required; got 2",
    "model.pretrained=IMAGENET_V1": "did you mean IMAGENET1K_V1?",
    "init.checkpoint=no.pt": "init.checkpoint=no.pt: there is no such file",
    "data.augment.scale_min=2": "at most data.augment.scale_max=1.0",
    "data.download=true": "only voc can be downloaded",
    "validation.scales=[]": "for example validation.scales=[1.0]",
    "model.contxt=1": 'no key "contxt"',
}


def test_bounds_and_impossible_combinations_are_told_at_once_beside_unknown_keys() -> None:
    with pytest.raises(ValueError) as told:
        compose(list(WRONG_TOGETHER))
    lines = str(told.value).splitlines()
    assert len(lines) == len(WRONG_TOGETHER) - 1  # batch and accumulation are one fault
    for word, message in WRONG_TOGETHER.items():
        assert any(message in line for line in lines), word


def test_list_that_the_shell_cut_is_put_together_again() -> None:
    with pytest.raises(ConfigError, match=r"write 'model.context.dilations=\[1,2,4\]'") as told:
        compose(["model.context.dilations=[1,", "2,", "4]", "seed=1"])
    assert len(told.value.problems) == 1


def test_nothing_is_judged_by_a_recipe_that_is_not_meant() -> None:
    with pytest.raises(ConfigError) as told:
        compose(["experiment=camvd", "stages=[joint]"])
    assert len(told.value.problems) == 1


def test_refusal_from_the_shell_has_exit_code_2_and_no_traceback(tmp_path: Path) -> None:
    result = run_program(tmp_path, "experiment=camvid", "data.root=/nowhere", "model.contxt=1", "stage.joint.lr=abc")
    assert result.returncode == 2
    assert result.stdout == "" and "Traceback" not in result.stderr
    for word in ("/nowhere", "contxt", "abc"):
        assert word in result.stderr


def test_a_run_gets_its_config_and_gives_its_exit_code_and_leaves_no_litter(tmp_path: Path) -> None:
    result = run_program(tmp_path, "seed=7", "model.context.dilations=[1,2]")
    assert (result.returncode, result.stdout) == (7, "ran shapes 7 [1, 2] runs False\n"), result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"]


def test_sweep_over_lists_runs_every_one_although_one_fails(tmp_path: Path) -> None:
    result = run_program(tmp_path, "model.context.dilations=[1,1,2],[1,2]", "seed=3", "-m")
    assert result.returncode == 1 and result.stderr == ""
    assert [line for line in result.stdout.splitlines() if line.startswith("ran")] == [
        "ran shapes 3 [1, 1, 2] runs False",
        "ran shapes 3 [1, 2] runs False",
    ]
    assert [path.name for path in (tmp_path / "runs" / "sweeps").iterdir()] == ["multirun.yaml"]


WITH_JOB = """
import sys
from configs.compose import entry_point
from configs.jobs import Done
from configs.schema import Config

def job(words, folder, stops):
    print("job", folder, *words)
    return Done(0, 0.5)

sys.exit(entry_point("train", Config, lambda config: 1, job))
"""


def jobs_of(result: subprocess.CompletedProcess[str]) -> list[list[str]]:
    """Folder and settings of every job of a sweep."""
    assert result.returncode == 0, result.stdout + result.stderr
    return [line.split()[1:] for line in result.stdout.splitlines() if line.startswith("job")]


def test_the_folder_of_a_sweep_is_run_root_or_hydras_name_for_it(tmp_path: Path) -> None:
    words = ["-m", "seed=1,2", "model.padding=zero"]
    given = [
        jobs_of(run_program(tmp_path, *words, folder, text=WITH_JOB))
        for folder in ("run.root=a", "hydra.sweep.dir=b", "hydra.sweep.dir=${now:c}")
    ]
    for folder, jobs in zip("abc", given, strict=True):
        assert [Path(job[0]).parent.as_posix() for job in jobs] == [folder, folder]
        assert [Path(job[0]).name for job in jobs] == [Path(job[0]).name for job in given[0]]
        assert [job[1:] for job in jobs] == [["model.padding=zero", "seed=1"], ["model.padding=zero", "seed=2"]]
        assert [path.name for path in (tmp_path / folder).iterdir()] == ["multirun.yaml"]
    assert not (tmp_path / "runs").exists()
    both = jobs_of(run_program(tmp_path, *words, "run.root=d", "hydra.sweep.dir=d", text=WITH_JOB))
    assert [Path(job[0]).parent.name for job in both] == ["d", "d"]


def test_a_sweep_that_grows_or_runs_elsewhere_finds_the_folders_of_its_jobs(tmp_path: Path) -> None:
    """What varies may be fixed once and swept later, in any order; threads and caches give no other result."""
    program = WITH_JOB.replace("return Done", "folder.mkdir(); return Done")
    (first,) = jobs_of(run_program(tmp_path, "-m", "seed=1", "context=local", "run.root=a", text=program))
    program = WITH_JOB.replace("return Done", "folder.mkdir(exist_ok=True); return Done")
    for words in (["context=local", "seed=1,2"], ["seed=1,2", "context=local", "runtime.threads=1", "cache.root=c"]):
        grown = jobs_of(run_program(tmp_path, "-m", *words, "run.root=a", text=program))
        assert grown[0][0] == first[0] != grown[1][0]
    other = jobs_of(run_program(tmp_path, "-m", "context=local", "seed=1,2", "model.padding=zero", "run.root=a",
                                text=program))  # fmt: skip
    assert first[0] not in [job[0] for job in other]


def test_a_recipe_of_ones_own_can_say_what_varies(tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(FOLDER, own / "configs", ignore=shutil.ignore_patterns("__pycache__"))
    for name, mode in (("mine", ""), ("always", "mode: MULTIRUN, ")):
        (own / "configs" / "experiment" / f"{name}.yaml").write_text(
            "# @package _global_\ndefaults: [shapes, _self_]\nrun: {root: swept}\n"
            f'hydra: {{{mode}sweeper: {{params: {{seed: "5,6", stages: "[frontend]"}}}}}}\n'
        )
    jobs = jobs_of(run_program(tmp_path, "-m", "experiment=mine", text=WITH_JOB, project=own))
    assert [job[1:] for job in jobs] == [["stages=[frontend]", "experiment=mine", f"seed={seed}"] for seed in (5, 6)]
    assert [Path(job[0]).name.rpartition("-")[0] for job in jobs] == ["seed=5", "seed=6"]
    assert {Path(job[0]).parent.name for job in jobs} == {"swept"}
    (job,) = jobs_of(run_program(tmp_path, "-m", "experiment=mine", "seed=3", text=WITH_JOB, project=own))
    assert "seed=3" in job
    single = run_program(tmp_path, "experiment=mine", project=own)
    assert single.stdout == "ran shapes 0 [1, 1, 2, 4, 8, 16, 1] swept False\n"
    jobs = jobs_of(run_program(tmp_path, "experiment=always", text=WITH_JOB, project=own))
    assert [job[3:] for job in jobs] == [["seed=5", "hydra.mode=RUN"], ["seed=6", "hydra.mode=RUN"]]
    single = run_program(tmp_path, "experiment=always", "hydra.mode=RUN", project=own)
    assert single.stdout == "ran shapes 0 [1, 1, 2, 4, 8, 16, 1] swept False\n"


RESULTS = """
import sys
from configs.compose import entry_point
from configs.schema import {kind}
from {name} import results

def main(told):
    print("to", results(told))
    return 0

sys.exit(entry_point("{name}", {kind}, main, results=results))
"""


@pytest.mark.parametrize(
    ("name", "kind", "words", "folders"),
    [
        (
            "analyze",
            "AnalyzeConfig",
            ["num_classes=2,3"],
            ["runs/analysis/num_classes=2", "runs/analysis/num_classes=3"],
        ),
        ("analyze", "AnalyzeConfig", ["context=large,local", "output=x"], ["x/context=large", "x/context=local"]),
        ("analyze", "AnalyzeConfig", ["num_classes=2", "output=x"], ["x"]),
        (
            "predict",
            "PredictConfig",
            ["input=.", "flip=true,false"],
            ["predictions/flip=True", "predictions/flip=False"],
        ),
        ("predict", "PredictConfig", ["input=.", "output=x,y"], ["x", "y"]),
        ("eval", "EvalConfig", ["flip=true,false"], ["run/eval-val/flip=True", "run/eval-val/flip=False"]),
        ("eval", "EvalConfig", ["split=val,test"], ["run/eval-val", "run/eval-test"]),
    ],
)
def test_no_two_jobs_of_a_sweep_write_to_one_folder(
    tmp_path: Path, name: str, kind: str, words: list[str], folders: list[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.pt").touch()
    checkpoint = [] if name == "analyze" else ["checkpoint=run/best.pt"]
    result = run_program(tmp_path, "-m", *checkpoint, *words, text=RESULTS.format(name=name, kind=kind))
    assert result.returncode == 0, result.stderr
    found = [line.removeprefix("to ") for line in result.stdout.splitlines() if line.startswith("to ")]
    assert [re.sub("-[0-9a-f]{8}$", "", folder) for folder in found] == folders


def test_jobs_whose_folder_cannot_be_their_own_are_refused(tmp_path: Path) -> None:
    text = RESULTS.format(name="analyze", kind="AnalyzeConfig")
    result = run_program(tmp_path, "-m", "runs=.", "against=[1],[2]", text=text)
    assert result.returncode == 2 and "2 jobs would write to ., the last one over the others" in result.stderr
    assert "to" not in result.stdout
    result = run_program(tmp_path, "-m", "num_classes=2,3", "hydra.sweep.dir=x", text=text)
    assert result.returncode == 2 and "the folder of results is output" in result.stderr


@pytest.mark.parametrize("name", ["train", "eval", "predict", "analyze"])
@pytest.mark.parametrize("words", [[], ["-m"]])
def test_several_processes_of_torchrun_are_refused_one_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, words: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
    monkeypatch.setenv("WORLD_SIZE", "2")
    kinds = {"train": Config, "eval": EvalConfig, "predict": PredictConfig, "analyze": AnalyzeConfig}
    assert entry_point(name, kinds[name], lambda config: 1) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "WORLD_SIZE=2" in line and "without torchrun" in line
    if name == "analyze" and not words:
        monkeypatch.setenv("WORLD_SIZE", "1")
        assert entry_point(name, kinds[name], lambda config: 7) == 7


def test_sweep_ends_when_a_run_is_asked_to_stop(tmp_path: Path) -> None:
    result = run_program(tmp_path, "-m", "seed=75,0")
    assert result.returncode == 75
    assert "ran shapes 0" not in result.stdout


def test_help_is_hydras(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "--help"])
    with pytest.raises(SystemExit) as end:
        entry_point("train", Config, lambda config: 1)
    assert end.value.code == 0 and "camvid_cpu" in capsys.readouterr().out


def test_config_is_shown_by_hydra(tmp_path: Path) -> None:
    shown = run_program(tmp_path, "--cfg", "job", "seed=5", "data=camvid")
    assert shown.returncode == 0 and "seed: 5" in shown.stdout and "name: camvid" in shown.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"]


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
    assert config.data.name is DataName.camvid and config.data.root == str(tmp_path)
    assert config.stage.joint.lr == 1e-5


def test_command_line_wins_over_debug() -> None:
    config = compose(["debug=one_step", "stage.joint.steps=3"])
    assert (config.stage.frontend.steps, config.stage.joint.steps) == (1, 3)


def test_plus_before_a_known_key_changes_nothing() -> None:
    config = compose(["+seed=3", "++model.padding=zero"])
    assert config.seed == 3 and config.model.padding is Padding.zero


def test_odd_names_need_no_quotes() -> None:
    config = compose(["run.dir=a=b", "run.root=über uns (2)", "data.train_split=2024_05", "data.val_split=1e3"])
    assert (config.run.dir, config.run.root) == ("a=b", "über uns (2)")
    assert (config.data.train_split, config.data.val_split) == ("2024_05", "1e3")


def test_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = compose(["data=camvid", "data.root=~", "run.dir=~/runs/a"])
    assert (config.data.root, config.run.dir) == (str(tmp_path), f"{tmp_path}/runs/a")


def test_typo_in_a_yaml_file_is_named_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "configs"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    monkeypatch.setattr(compose_module, "FOLDER", folder)
    files = {
        "key": (
            "model: {contxt: {noise_std: 1}}",
            r'configs/experiment/key.yaml: model.contxt: .*"contxt".*model.context',
        ),
        "kind": ("seed: abc", r"experiment/kind.yaml: seed: .*abc"),
        "list": ("stages: [frontend", r"experiment/list.yaml"),
    }
    for name, (text, message) in files.items():
        (folder / "experiment" / f"{name}.yaml").write_text(f"# @package _global_\n{text}\n")
        with pytest.raises(ConfigError, match=message):
            compose([f"experiment={name}"])


def test_plain_data_and_back_is_the_same_config() -> None:
    config = compose(["model.padding=zero", "resume=auto", "data.folder.palette=[[1,2,3]]", "data.limit=5"])
    plain = to_plain(config)
    assert from_plain(plain) == config
    assert plain["model"]["padding"] == "zero" and plain["resume"] == "auto"
    assert plain["data"]["folder"]["palette"] == [[1, 2, 3]]


def test_plain_data_holds_nothing_but_what_a_checkpoint_may_carry(default: Config) -> None:
    def walk(value: Any) -> None:
        if isinstance(value, dict | list):
            for inner in value.values() if isinstance(value, dict) else value:
                walk(inner)
        else:
            assert value is None or type(value) in (bool, int, float, str)

    walk(to_plain(default))


def test_plain_data_is_refused_key_by_key(default: Config) -> None:
    plain = to_plain(default)
    plain["model"]["contxt"] = {}
    plain["seed"] = "x"
    plain["model"]["padding"] = "none"
    with pytest.raises(ConfigError) as told:
        from_plain(plain)
    assert len(told.value.problems) == 3 and 'no key "contxt" in model' in str(told.value)


def test_plain_data_is_never_resolved(default: Config) -> None:
    plain = to_plain(default) | {"experiment": "${oc.env:HOME}"}
    assert from_plain(plain).experiment == "${oc.env:HOME}"


def test_missing_keys_take_their_defaults() -> None:
    assert from_plain({"seed": 3}) == Config(seed=3)


def test_changes_reach_only_the_keys_they_name() -> None:
    before = compose(["data.augment.rotation_deg=5"]).data
    after = with_changes(before, {"root": "/data", "augment": {"color": 0.5}}, "data")
    assert (after.root, after.augment.color, after.augment.rotation_deg) == ("/data", 0.5, 5)
    assert before.root is None
    with pytest.raises(ConfigError, match=r'data.augment.colour: there is no key "colour".*data.augment.color'):
        with_changes(before, {"augment": {"colour": 1}}, "data")


def test_evaluation_takes_only_what_it_was_told(tmp_path: Path) -> None:
    checkpoint = tmp_path / "best.pt"
    checkpoint.touch()
    config = composed("eval", EvalConfig, [f"checkpoint={checkpoint}", f"data.root={tmp_path}", "data.limit=3"])
    assert config.data == {"root": str(tmp_path), "limit": 3}
    assert config == EvalConfig(checkpoint=str(checkpoint), data=config.data)


def test_evaluation_takes_every_key_of_the_data_and_changes_no_other(tmp_path: Path) -> None:
    checkpoint = tmp_path / "best.pt"
    checkpoint.touch()
    trained = replace(compose(), data=DataConfig(folder=FolderConfig(label_suffix=".gif", image_suffix=".jpg")))

    def told(*words: str) -> DataConfig:
        config = composed("eval", EvalConfig, [f"checkpoint={checkpoint}", *words])
        return evaluation_config(trained, "float32", config).data

    nested = told("data.folder.label_suffix=_x.png", "data.augment.color=0.5", "data.name=folder")
    assert nested == replace(
        trained.data,
        name=DataName.folder,
        folder=FolderConfig(label_suffix="_x.png", image_suffix=".jpg"),
        augment=AugmentConfig(color=0.5),
    )
    assert told("data.folder={label_suffix: _x.png}", "data={augment: {color: 0.5}, name: folder}") == nested
    leaves = {name for name, key in known_keys(DataConfig, "data").items() if key.section is None}
    paths = {"data.root": tmp_path, "data.sbd_root": tmp_path}
    default = to_plain(DataConfig(name=DataName.voc))
    words = [f"{name}={paths.get(name, shown(value_at(default, name)))}" for name in leaves]
    assert told(*words) == DataConfig(name=DataName.voc, root=str(tmp_path), sbd_root=str(tmp_path))


def value_at(plain: Any, full: str) -> Any:
    for name in full.split(".")[1:]:
        plain = plain[name]
    return plain


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("data.rot=x", 'no key "rot" in data; did you mean data.root'),
        ("data.folder.label_sufix=x", 'no key "label_sufix" in data.folder; did you mean data.folder.label_suffix'),
        ("data.augment={colour: 1}", 'no key "colour" in data.augment; did you mean data.augment.color'),
        ("data={folder: {labl: x}}", 'no key "labl" in data.folder'),
        ("data.augment.color=2", "data.augment.color=2.0: it must be at most 1"),
        ("data.shapes={size_px: 64}", "data.shapes.size_px=64: it must be at least 192"),
        ("data.augment.mirror=maybe", "data.augment.mirror=maybe: true or false is required"),
        ("data.folder=voc", "data.folder=voc: data.folder is a section"),
        ("data.limit=-1", "data.limit=-1: it must be a positive integer"),
        ("data.limit=x", "data.limit=x: a whole number is required"),
        ("data.root=/nowhere", "data.root=/nowhere: there is no such folder"),
        ("data=camvid", "data=camvid: data is a section"),
        ("seed=1", 'no key "seed" at the top'),
        ("split=val", "checkpoint=: the file of a network is required"),
    ],
)
def test_evaluation_refuses_wrong_words(word: str, message: str) -> None:
    with pytest.raises(ConfigError) as told:
        composed("eval", EvalConfig, [word])
    assert message in str(told.value)


def test_every_default_of_the_schema_lies_within_its_own_bounds_and_types() -> None:
    assert from_plain(to_plain(Config())) == Config()
    assert problems(Config()) == []


def test_every_key_is_reachable_from_the_command_line(default: Config) -> None:
    """Each leaf of the schema, set to the value that it has."""

    def words(section: Any, parent: str) -> list[str]:
        found = []
        for entry in fields(section):
            value, full = getattr(section, entry.name), f"{parent}{entry.name}"
            if is_dataclass(value):
                found += words(value, f"{full}.")
            elif full != "experiment":  # a group: `experiment=NAME` chooses a file
                found.append(f"{full}={shown(value)}")
        return found

    every = words(default, "")
    leaves = {name for name, key in known_keys(Config).items() if key.section is None} - {"experiment"}
    assert {word.partition("=")[0] for word in every} == leaves
    assert compose(every) == default


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


def test_enumerations_arrive_as_members() -> None:
    config = compose(["model.padding=zero", "resume=auto"])
    assert config.model.padding is Padding.zero and config.resume is Resume.auto
    assert from_plain({"name": "voc"}, DataConfig).name is DataName.voc
