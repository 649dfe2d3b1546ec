"""Which folder a run works in, and what may change between two sittings."""

import copy
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from configs.schema import Config, RunConfig
from engine.runs.changes import changes
from engine.runs.folder import RunFolder, fresh_path
from engine.runs.header import RunHeader
from engine.runs.progress import Progress
from engine.runs.resume import begin, check_same_run, initial_weights, open_run
from tests.helpers.headers import run_header

STEPS = 1000  # of every stage, the schema's default


def settings(**changed: Any) -> dict[str, Any]:
    """The default config with some keys changed; `__` stands for the dot."""
    plain = Config().model_dump()
    for key, value in changed.items():
        *path, last = key.split("__")
        section = plain
        for name in path:
            section = section[name]
        section[last] = value
    return plain


def header(**changed: Any) -> RunHeader:
    return run_header(config=settings(**changed))


def content(stage: str = "context", step: int = 300, **changed: Any) -> dict[str, Any]:
    """A checkpoint of a run that has come so far."""
    progress = Progress(stage, step).to_plain()
    rng = {"torch": torch.get_rng_state()}
    return {**header(**changed).to_plain(), "model": {}, "optimizer": {}, "rng": rng, "progress": progress}


def open_and_close(root: Path, saved: dict[str, Any] | None = None, **changes: Any) -> Path:
    run = open_run(Config(experiment="trial", run=RunConfig(root=str(root)), **changes), header())
    begin(run)
    for note in run.notes:
        print(note)
    if saved is not None:
        run.folder.save_last(saved)
    run.folder.close()
    return run.folder.path if run.resumed is None else Path(f"resumed {run.folder.path}")


def test_runs_that_start_in_one_second_get_folders_of_their_own(tmp_path: Path) -> None:
    assert len({fresh_path(tmp_path, "trial") for _ in range(3)}) == 3


def test_resume_without_a_folder_takes_the_newest_unfinished_run_of_this_config(tmp_path: Path) -> None:
    first, second, finished = (open_and_close(tmp_path, content()) for _ in range(3))
    other = open_and_close(tmp_path, content())
    (other / "config.json").write_text(json.dumps(settings(seed=5)))
    (finished / "summary.json").write_text("{}")
    for age, path in enumerate((other, finished, second, first)):
        os.utime(path / "last.pt", (10**9 - age, 10**9 - age))
    assert open_and_close(tmp_path, resume="auto") == Path(f"resumed {second}")


@pytest.mark.parametrize("broken", ["", "[]", '{"seed"', "\0\0\0"])
def test_a_broken_config_file_of_one_run_hides_no_other(
    tmp_path: Path, broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = (open_and_close(tmp_path, content()) for _ in range(2))
    (bad / "config.json").write_text(broken)
    os.utime(good / "last.pt", (10**9, 10**9))
    assert open_and_close(tmp_path, resume="auto") == Path(f"resumed {good}")
    assert f"passes over {bad}" in capsys.readouterr().out


def test_resume_with_nothing_to_resume_starts_afresh(tmp_path: Path) -> None:
    assert open_and_close(tmp_path, resume="auto").is_dir()


def test_a_finished_run_without_a_last_checkpoint_is_not_overwritten(tmp_path: Path) -> None:
    path = open_and_close(tmp_path)
    for name in ("best.pt", "summary.json"):
        (path / name).touch()
        with pytest.raises(ValueError, match="already holds a run"):
            open_run(Config(run=RunConfig(dir=str(path))), header())
        (path / name).unlink()


@pytest.mark.parametrize("name", ["last.pt", "previous.pt"])
def test_whatever_checkpoint_is_left_belongs_to_a_run_that_only_resume_auto_continues(
    tmp_path: Path, name: str
) -> None:
    path = open_and_close(tmp_path, content())
    (path / "last.pt").rename(path / name)
    here = RunConfig(root=str(tmp_path), dir=str(path))
    with pytest.raises(ValueError, match=r"already holds a run; resume=auto continues it"):
        open_run(Config(run=here), header())
    for place in (here, RunConfig(root=str(tmp_path))):
        run = open_run(Config(run=place, resume="auto"), header())
        run.folder.close()
        assert run.folder.path == path and run.resumed is not None


def test_a_run_dir_that_is_not_there_is_noted_before_a_run_begins_in_it(tmp_path: Path) -> None:
    run = open_run(Config(run=RunConfig(dir=str(tmp_path / "typo")), resume="auto"), header())
    run.folder.close()
    (note,) = run.notes
    assert run.resumed is None and f"there is no {tmp_path / 'typo'} to go on with" in note


def test_a_failed_start_leaves_no_folder_and_never_touches_one_that_was_there(tmp_path: Path) -> None:
    def opened(**place: str) -> RunFolder:
        return open_run(Config(run=RunConfig(**place)), header()).folder

    fresh = opened(root=str(tmp_path))
    fresh.log("a line")
    fresh.close(is_used=False)
    assert not fresh.path.exists()
    (tmp_path / "mine").mkdir()
    own = opened(dir=str(tmp_path / "mine"))
    own.close(is_used=False)
    assert own.path.is_dir()
    trained = opened(root=str(tmp_path))
    trained.close(is_used=True)
    assert trained.path.is_dir()


ACCEPTED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "where files lie, the machine, what is kept": (
        {"run__dir": "x", "runtime__threads": 4, "data__root": "/moved", "cache__root": "/c", "cache__max_gb": 99.0,
         "cache__frontend": True, "model__pretrained": "/moved/vgg.pth", "init__checkpoint": "/moved/a.pt"}, []),
    "how often to validate": ({"stage__context__validate_steps": 7}, ["stage.context.validate_steps"]),
    "steps of a stage to come, and of the one at work": (
        {"stage__context__steps": 400, "stage__joint__steps": 9}, ["stage.context.steps", "stage.joint.steps"]),
    "the rate, by name": (
        {"stage__context__lr": 0.5, "resume_changes": ["stage.context.lr"]}, ["stage.context.lr"]),
    "colours, by name": (
        {"data__augment__color": 0.5, "resume_changes": ["data.augment.color"]}, ["data.augment.color"]),
}  # fmt: skip
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another seed": ({"seed": 1}, r"seed: 0 then, 1 now\n"),
    "another seed by name": ({"seed": 1, "resume_changes": ["seed"]}, "another run's setting"),
    "another optimizer in mid-stage": (
        {"stage__context__optimizer__name": "adamw", "resume_changes": ["stage.context.optimizer.name"]},
        "context has begun with it"),
    "another network": ({"model__context__dilations": [1]}, r"model\.context\.dilations"),
    "maps kept in another type": ({"cache__precision": "float16"}, r"cache\.precision: auto then, float16 now"),
    "the rate, not by name": ({"stage__context__lr": 0.5}, r"say so by name: 'resume_changes=\[stage\.context\.lr\]'"),
    "fewer steps than are done": ({"stage__context__steps": 299}, "300 steps are done already"),
    "a finished stage": (
        {"stage__frontend__lr": 0.5, "resume_changes": ["stage.frontend.lr"]}, "frontend is finished, its settings"),
    "steps of a finished stage": ({"stage__frontend__steps": 2000}, "frontend is finished"),
    "fewer stages": ({"stages": ["frontend", "context"]}, "stages can only be added"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(ACCEPTED))
def test_what_may_change_while_a_run_goes_on_is_accepted_and_logged(case: str) -> None:
    changed, keys = ACCEPTED[case]
    logged: list[str] = []
    accepted = check_same_run(content(), header(**changed), logged.append)
    assert [change.key for change in accepted] == keys
    assert [line.split(":")[0] for line in logged] == [f"from here on {key}" for key in keys]


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_would_make_another_run_of_it_is_refused(case: str) -> None:
    changed, reason = REFUSED[case]
    with pytest.raises(ValueError, match=reason):
        check_same_run(content(), header(**changed), print)


def test_steps_that_the_learning_rate_depends_on_change_by_name_only() -> None:
    """With poly the rate of every step depends on the number of them all."""
    key, poly = "stage.context.steps", {"stage__context__schedule__name": "poly"}
    longer = {**poly, "stage__context__steps": 2000}
    with pytest.raises(ValueError, match=r"rate of this stage \(schedule poly\) .*by name: 'resume_changes=\[stage"):
        check_same_run(content(**poly), header(**longer), print)
    named = check_same_run(content(**poly), header(**longer, resume_changes=[key]), print)
    not_begun = check_same_run(content(stage="frontend", **poly), header(**longer), print)
    assert [change.key for change in named] == [change.key for change in not_begun] == [key]


def test_a_key_that_another_version_does_not_have_changed_nothing() -> None:
    old = copy.deepcopy(settings())
    del old["resume_changes"], old["stage"]["joint"]["loss"]["class_weights"]
    assert changes(old, settings()) == [] == changes(settings(), old)


def test_a_finished_run_goes_on_with_more_steps_or_with_another_stage(tmp_path: Path) -> None:
    two = ["frontend", "context"]
    for more in ({"stages": two, "stage__context__steps": 2 * STEPS}, {"stages": [*two, "joint"]}):
        path = open_and_close(tmp_path, content("context", STEPS, stages=two))
        (path / "summary.json").write_text("{}")
        config = Config(run=RunConfig(dir=str(path)), resume="auto")
        same = open_run(config, header(stages=two))
        begin(same)
        same.folder.close()
        assert (path / "summary.json").exists(), "nothing is left to do: it stays finished"
        run = open_run(config, header(**more))
        assert (path / "summary.json").exists(), "something may still stand in the way"
        begin(run)
        run.folder.close()
        assert run.resumed is not None and not (path / "summary.json").exists()


def test_config_json_keeps_what_finished_stages_had_and_the_history_tells_the_rest(tmp_path: Path) -> None:
    path = open_and_close(tmp_path, content("context", 300))
    named = ["stage.context.lr"]
    now = header(stage__frontend__validate_steps=7, stage__context__lr=0.5, resume_changes=named, run__dir="x")
    config = Config(run=RunConfig(dir=str(path)), resume="auto")
    run = open_run(config, replace(now, versions={"torch": "3"}))
    begin(run)
    run.folder.close()
    written = json.loads((path / "config.json").read_text())
    assert written == run.header.config
    assert written["stage"]["frontend"] == settings()["stage"]["frontend"]
    assert written["stage"]["context"]["lr"] == 0.5
    (sitting,) = run.header.history
    assert (sitting["stage"], sitting["step"]) == ("context", 300)
    assert sitting["changes"]["stage.context.lr"] == [0.001, 0.5]
    assert sitting["changes"]["versions.torch"] == ["2", "3"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"samples": ["a", "c"]}, "lists of samples have changed .*as many, other names"),
        (
            {"samples": ["a", "c"], "sizes": [2, 3]},
            "2 to train and 1 to validate then, 2 to train and 3 to validate now",
        ),
        ({"files": ["a", "c"]}, "other files"),
    ],
)
def test_changed_samples_are_refused(changed: dict[str, Any], reason: str) -> None:
    now = replace(header(), data=replace(header().data, **changed))
    with pytest.raises(ValueError, match=reason):
        check_same_run(content(), now, print)


def test_a_checkpoint_that_knows_no_more_of_its_data_than_names_goes_on() -> None:
    old = content()
    del old["data"]["files"]
    assert check_same_run(old, header(), print) == []


def test_another_machine_is_warned_of() -> None:
    warnings: list[str] = []
    check_same_run(content(), replace(header(), runtime={**header().runtime, "threads": 4}), warnings.append)
    assert warnings == ["warning: threads was 2 and is 4: bits may differ"]


def test_another_gpu_or_driver_is_warned_about_and_a_cpu_has_none() -> None:
    on_cpu, on_gpu = {**header().runtime}, {**header().runtime, "device": "cuda", "gpu": "A100", "driver": "580.65"}
    for then, now, expected in (
        (
            on_gpu,
            {**on_gpu, "gpu": "H100", "driver": "590.1"},
            ["gpu was A100 and is H100", "driver was 580.65 and is 590.1"],
        ),
        (on_cpu, on_gpu, ["device was cpu and is cuda"]),
        (on_gpu, on_cpu, ["device was cuda and is cpu"]),
        (on_gpu, on_gpu, []),
    ):
        warnings: list[str] = []
        check_same_run({**content(), "runtime": then}, replace(header(), runtime=now), warnings.append)
        assert warnings == [f"warning: {text}: bits may differ" for text in expected]


def test_a_checkpoint_without_random_state_is_refused() -> None:
    without = {name: part for name, part in content().items() if name != "rng"}
    with pytest.raises(ValueError, match="has no rng"):
        check_same_run(without, header(), print)


@pytest.mark.parametrize("odd", [{}, {"torch": None}, {"torch": torch.zeros(8, dtype=torch.uint8)}, None])
def test_an_odd_random_state_is_refused(odd: object) -> None:
    check_same_run(content(), header(), print)
    with pytest.raises(ValueError, match=r"random state is none of torch's, which has \d+ bytes"):
        check_same_run({**content(), "rng": odd}, header(), print)


def test_fresh_weights_need_no_checkpoint(tmp_path: Path) -> None:
    run = open_run(Config(run=RunConfig(root=str(tmp_path))), header())
    run.folder.close()
    assert initial_weights(Config(), run) is None


def test_an_unwritable_root_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"run\.root=.*file cannot be written"):
        fresh_path(tmp_path / "file", "trial")


def test_a_second_save_needs_no_links_between_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError("Operation not permitted")

    monkeypatch.setattr(os, "link", refused)  # as on FAT and some network file systems
    folder = RunFolder(tmp_path / "run")
    folder.acquire()
    for step in range(3):
        folder.save_last({"step": step})
        folder.save_stage("joint", {"step": step}, is_best_of_run=True)
    folder.close()
    assert folder.best.read_bytes() == folder.stage_file("joint").read_bytes()
    assert folder.last.is_file() and folder.previous.is_file()
