"""A front end is trained once for all runs that would train the same, and never believed when it differs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from configs.compose import compose
from configs.errors import UserError
from engine.runs import checkpoint
from engine.runs.shared_frontend import SharedFrontend
from tests.helpers.headers import run_header
from tests.helpers.small_runs import small_run
from train import train

pytestmark = pytest.mark.precision

TINY = small_run(["frontend", "context"], limit=3, steps=4, crop_px="[64,64]", validate_steps=2)


def run(folder: Path, name: str, *words: str) -> dict[str, Any]:
    """What the run's last checkpoint holds."""
    assert train(compose([*TINY, f"run.dir={folder / name}", f"cache.root={folder / 'cache'}", *words])) == 0
    return checkpoint.load(folder / name / "last.pt")


def test_a_run_on_a_shared_front_end_gives_the_bits_of_the_same_run_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = run(tmp_path, "alone", "model.context.dilations=[1,2]")
    run(tmp_path, "other", "cache.frontend=true", "model.context.dilations=[1,1,1]")
    capsys.readouterr()
    taker = run(tmp_path, "taker", "cache.frontend=true", "model.context.dilations=[1,2]")
    printed = capsys.readouterr().out
    assert "frontend: taken from" in printed and "== frontend: 4 steps" not in printed
    for name, weight in alone["model"].items():
        assert torch.equal(taker["model"][name], weight), name
    assert taker["progress"]["step"] == alone["progress"]["step"]
    assert taker["progress"]["first_step_of_stage"] == alone["progress"]["first_step_of_stage"] == 4
    summaries = [json.loads((tmp_path / name / "summary.json").read_text()) for name in ("alone", "taker")]
    for one, other in zip(*(summary["stages"].values() for summary in summaries), strict=True):
        assert {**one, "seconds": 0, "taken": None} == {**other, "seconds": 0, "taken": None}
    taken = [{name: stage["taken"] for name, stage in summary["stages"].items()} for summary in summaries]
    assert taken == [{"frontend": False, "context": False}, {"frontend": True, "context": False}]
    assert (tmp_path / "taker" / "frontend.pt").is_file() and (tmp_path / "taker" / "best.pt").is_file()


def test_another_front_end_is_trained_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, word in enumerate(("seed=0", "seed=1", "stage.frontend.lr=1e-3", "data.limit=2")):
        run(tmp_path, str(number), "cache.frontend=true", "stages=[frontend]", word)
    assert "taken from" not in capsys.readouterr().out
    assert len(list((tmp_path / "cache").glob("frontend-*.pt"))) == 4


def test_a_damaged_one_is_told_and_trained_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["cache.frontend=true", "stages=[frontend]"]
    first = run(tmp_path, "first", *words)
    (path,) = (tmp_path / "cache").glob("frontend-*.pt")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    again = run(tmp_path, "again", *words)
    assert "does not match its checksum; training the front end again" in capsys.readouterr().out
    assert all(torch.equal(again["model"][name], weight) for name, weight in first["model"].items())
    assert checkpoint.load(path)["progress"]["step"] == 4


def test_what_a_front_end_does_not_depend_on_does_not_part_runs(tmp_path: Path) -> None:
    def key(*words: str) -> str:

        header = run_header(config=compose([*TINY, *words]).model_dump())
        return SharedFrontend.of(tmp_path, header, ["files"], {"code": "a"}, print, lambda: None).key

    same = key()
    for words in (
        ["context=large"],
        ["run.dir=x"],
        ["stage.context.lr=1"],
        ["stage.joint.steps=30"],
        ["cache.max_gb=1"],
    ):
        assert key(*words) == same
    others = ["seed=3", "stage.frontend.batch=4", "data.augment.color=0.9", "model.node_offset_px=3"]
    for word in (*others, "cache.precision=float16"):  # what kept maps are rounded to is learned from
        assert key(word) != same


def test_a_run_with_a_past_leaves_no_front_end_under_the_key_of_a_run_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained with a rate that falls over 4 steps, then over 8: not what a run of 8 steps would have trained."""
    words = ["cache.frontend=true", "stages=[frontend]", "stage.frontend.schedule.name=poly"]
    key = "stage.frontend.steps"
    run(tmp_path, "begun", *words)
    longer = [*words, f"{key}=8", "resume=auto", f"resume_changes=[{key}]"]
    for _ in range(2):  # nor does any later sitting
        resumed = run(tmp_path, "begun", *longer)
        assert "the front end is not shared" in capsys.readouterr().out
    fresh = run(tmp_path, "fresh", *words, f"{key}=8")
    assert "taken from" not in capsys.readouterr().out
    assert not all(torch.equal(resumed["model"][name], weight) for name, weight in fresh["model"].items())
    run(tmp_path, "taker", "cache.frontend=true", "stage.frontend.schedule.name=poly", f"{key}=8")
    assert "taken from" in capsys.readouterr().out


def test_a_run_that_took_its_front_end_holds_a_run_that_others_do_not_overwrite(tmp_path: Path) -> None:
    words = ["cache.frontend=true", "stages=[frontend]"]
    run(tmp_path, "first", *words)
    taken = run(tmp_path, "taker", *words)
    assert taken["progress"]["results"]["frontend"]["taken"]
    with pytest.raises(UserError, match="already holds a run"):
        run(tmp_path, "taker", *words, "seed=5")
    with pytest.raises(UserError, match="seed: 0 then, 5 now"):
        run(tmp_path, "taker", *words, "seed=5", "resume=auto")
    run(tmp_path, "taker", *words[:1], "resume=auto")  # goes on with the context stage


def test_a_run_that_goes_on_as_it_began_shares_its_front_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["cache.frontend=true", "stages=[frontend]"]
    run(tmp_path, "begun", *words)
    (path,) = (tmp_path / "cache").glob("frontend-*.pt")
    path.unlink()
    run(tmp_path, "begun", *words, "resume=auto")
    assert path.is_file() and "is not shared" not in capsys.readouterr().out


def test_a_cache_that_is_gone_at_the_end_costs_the_run_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = SharedFrontend(tmp_path / "cache" / "frontend-a.pt", print, lambda: None)
    with shared.locked():
        shutil.rmtree(tmp_path / "cache")
        shared.publish({"step": 1})
    assert checkpoint.load(shared.path)["step"] == 1
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").touch()
    shared.publish({"step": 1})
    assert "warning: the front end is not shared" in capsys.readouterr().out


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(ValueError, match=r"cache.root=.* cannot be written .*cache.frontend=false"):
        run(tmp_path, "run", "cache.frontend=true")
