"""What is typed wrongly is refused in one line that says what to type, all faults at once."""

import sys

import pytest

from assembly.command import Command
from configs.compose import compose
from configs.errors import ConfigError
from configs.schema import Config
from train import main


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What an entry point prints when it refuses the words; the run itself must not begin."""

    def run(config: Config) -> int:
        raise AssertionError(f"started with {config}")

    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    command = Command(Config, run)
    monkeypatch.setattr("train.COMMAND", command)
    assert command.start(main) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


COCO_VOC = ["data=coco_voc", "data.root=.", "data.sbd_root=.", "data.coco_root=."]


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
        (["data=coco_voc", "data.root=.", "data.sbd_root=."], "data.coco_root=datasets/coco", "data.coco_root=DIR"),
        ([*COCO_VOC, "data.coco_root=null"], "data.coco_root=null", "data.coco_root=DIR"),
        ([*COCO_VOC, "data.coco_splits=[train2015]"], "one of train2014, ", "did you mean train201"),
        ([*COCO_VOC, "data.coco_splits=[train2014,val2017]"], "of one year", "[train2014,val2014] or"),
        ([*COCO_VOC, "data.coco_splits=[val2017,val2017]"], "each once", "[train2017,val2017]"),
        (["-m", "run.dir=x", "seed=1,2"], "run.dir=x", "run.root"),
        (["-m", "run.dir=x,y"], "run.dir=x,y", "run.root"),
        (["-m", "run.root=x,y"], "run.root=x,y", "the one folder of the sweep"),
        (["-m", "hydra.run.dir=x", "seed=1,2"], "hydra.run.dir=x", "run.root"),
        (["hydra.foo=1"], "hydra.foo", "--cfg hydra shows"),
        (["~model.contxt"], '"contxt"', "model.context"),
        (["+experiment=camvid"], "+experiment=...", "without the plus sign"),
        (["--config-name", "eval"], "--config-name eval", "the file of eval.py"),
        (["context=8"], '"8"', "options: basic"),
        (["model=null"], '"null"', "options: dilation10_cityscapes"),
        (["data=[voc,shapes]"], '"[voc,shapes]"', "did you mean shapes"),
        (["++=5"], "'++=5'", "key=value"),
        (["hydra=5"], "'hydra=5'", "key=value"),
        (["hydra.run.dir=/proc/x"], "hydra.run.dir=/proc/x cannot be written", "name another folder"),
        (["-m", "--info", "config", "seed=1,2"], "-m beside --info", "leave one of them out"),
        (["--experimental-rerun", "x"], "--experimental-rerun", "resume=auto"),
        (["stages=[frontend"], "stages=[frontend", "a closing bracket is missing"),
        (["stage.joint={1:2}"], 'no key "1" in stage.joint', "known in stage.joint"),
        (["model.context.dilations={1:2}"], "a list is required", "model.context.dilations=[1,2,4]"),
        (["run.root=${nope}"], "run.root: Interpolation key 'nope' not found", ""),
        (["-m", "launcher=joblib", "hydra.launcher.n_jobs=abc"], "hydra.launcher.n_jobs", "Integer"),
        (["-m", "seed=range(3,1)"], "seed=range(3,1)", "no value in this range"),
        (["-m", "seed=interval(1,3)"], "seed=interval(1,3)", "add sweep=optuna"),
        (["-m", "seed=1,2", "hydra.sweep.subdir=x"], "hydra.sweep.subdir=x", "${hydra.job.num}"),
        (["--config-dir", "/nowhere"], "--config-dir /nowhere", "there is no such folder"),
        (["--config-name", "trian"], "--config-name trian", "did you mean train"),
        (["run.dir=a", "hydra.run.dir=b"], "run.dir=a and hydra.run.dir=", "name one"),
        (
            ["-m", "hydra.launcher.n_jobs=2", "seed=1,2"],
            "hydra.launcher.n_jobs",
            "by launcher=joblib or launcher=slurm",
        ),
        (["-m", "hydra.sweeper.n_trials=2", "seed=1,2"], "hydra.sweeper.n_trials", "by sweep=optuna"),
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
}


def test_all_words_that_are_wrong_by_themselves_are_told_at_once() -> None:
    """In two command lines: of two values for one key the last one counts."""
    first = {word.partition("=")[0]: word for word in WRONG_BY_THEMSELVES}
    for words in (list(first.values()), [word for word in WRONG_BY_THEMSELVES if word not in first.values()]):
        with pytest.raises(ConfigError) as refusal:
            compose(words)
        assert len(refusal.value.problems) == len(words)
        for word in words:
            key = word.removeprefix("++").partition("=")[0].partition("{")[0]
            message = WRONG_BY_THEMSELVES[word]
            assert any(key in problem and message in problem for problem in refusal.value.problems), word


WRONG_TOGETHER = {
    "stage.joint.lr=0": "stage.joint.lr=0: it must be greater than 0",
    "stage.context.lr=nan": "stage.context.lr=nan: it must be finite",
    "stage.frontend.batch=0": "stage.frontend.batch=0: it must be a positive integer",
    "stage.joint.batch=9": "stage.joint.accumulation=2: a divisor of stage.joint.batch=9 is required; one of 1, 3, 9",
    "stage.joint.accumulation=2": "stage.joint.accumulation=2",
    "stage.joint.crop_px=[100,104]": "crop_px are divisible by 8; got 100 at position 0",
    "stage.context.crop_px=[256]": "stage.context.crop_px=[256]: 2 values are required; got 1",
    "stage.joint.loss.class_weights=[0,0]": "one weight above 0 is required",
    "stage.context.loss.class_weights=[1,-1]": "class_weights are at least 0; got -1 at position 1",
    "stage.frontend.loss.class_weights=invers": "sqrt_inverse or a list is required; did you mean inverse",
    "data.augment.class_balance=1.5": "data.augment.class_balance=1.5: it must be at most 1",
    "stages=[]": "stages=[]: at least one value is required",
    "model.frontend.fc6_kernel=4": "write 3 or 5",
    "model.frontend.depths=[1,1]": "model.frontend.depths has 2",
    "model.context.widths=[1,2]": "one for each of the 7 dilations",
    "model.frontend.fc_channels=99999999": "model.frontend.fc_channels=99999999: it must be at most 16777216",
    "model.context.noise_std=2": "model.context.noise_std=2: it must be at most 1",
    "model.mean_rgb=[1,2]": "none or 3 values are required; got 2",
    "model.pretrained=IMAGENET_V1": "did you mean IMAGENET1K_V1?",
    "init.checkpoint=no.pt": "init.checkpoint=no.pt: there is no such file",
    "data.augment.scale_min=2": "at most data.augment.scale_max=1.0",
    "data.download=true": "only voc can be downloaded",
    "validation.scales=[]": "for example validation.scales=[1.0]",
    "model.contxt=1": 'no key "contxt"',
}


def test_bounds_and_impossible_combinations_are_told_at_once_beside_unknown_keys() -> None:
    with pytest.raises(ValueError) as refusal:
        compose(list(WRONG_TOGETHER))
    lines = str(refusal.value).splitlines()
    assert len(lines) == len(WRONG_TOGETHER) - 1  # batch and accumulation are one fault
    for word, message in WRONG_TOGETHER.items():
        assert any(message in line for line in lines), word


def test_list_that_the_shell_cut_is_put_together_again() -> None:
    with pytest.raises(ConfigError, match=r"write 'model.context.dilations=\[1,2,4\]'") as refusal:
        compose(["model.context.dilations=[1,", "2,", "4]", "seed=1"])
    assert len(refusal.value.problems) == 1


def test_nothing_is_judged_by_a_recipe_that_is_not_meant() -> None:
    with pytest.raises(ConfigError) as refusal:
        compose(["experiment=camvd", "stages=[joint]"])
    assert len(refusal.value.problems) == 1
