"""Which folder a run works in, and what may change between two sittings."""

import os
from pathlib import Path
from typing import Any

import pytest

from configs.schema import Config, Resume, RunConfig
from engine.folder import fresh_path
from engine.resume import check_same_run, differences, initial_weights, open_run

PLAIN = {"seed": 0, "stage": {"joint": {"lr": 0.1, "steps": 10, "validate_steps": 5}}, "run": {"dir": None}}
HEADER = {
    "config": PLAIN,
    "data": {"samples": ["a", "b"], "sizes": [2, 1]},
    "runtime": {"threads": 2, "precision": "float32", "device": "cpu"},
    "versions": {"torch": "2"},
}
CONTENT = {**HEADER, "model": {}, "optimizer": {}, "rng": {}, "progress": {}}


def open_and_close(root: Path, content: dict[str, Any] | None = None, **changes: Any) -> Path:
    config = Config(experiment="trial", run=RunConfig(root=str(root)), **changes)
    folder, resumed = open_run(config, HEADER)
    if content is not None:
        folder.save_last(content)
    folder.release()
    return folder.path if resumed is None else Path(f"resumed {folder.path}")


def test_runs_that_start_in_one_second_get_folders_of_their_own(tmp_path: Path) -> None:
    assert len({fresh_path(tmp_path, "trial") for _ in range(3)}) == 3


def test_resume_without_a_folder_takes_the_newest_unfinished_run_of_this_config(tmp_path: Path) -> None:
    first, second, finished = (open_and_close(tmp_path, CONTENT) for _ in range(3))
    other = open_and_close(tmp_path, CONTENT)
    (other / "config.json").write_text('{"seed": 5}')
    (finished / "summary.json").write_text("{}")
    for age, path in enumerate((other, finished, second, first)):
        os.utime(path / "last.pt", (10**9 - age, 10**9 - age))
    assert open_and_close(tmp_path, resume=Resume.auto) == Path(f"resumed {second}")


def test_resume_with_nothing_to_resume_starts_afresh(tmp_path: Path) -> None:
    assert open_and_close(tmp_path, resume=Resume.auto).is_dir()


def test_steps_and_places_may_change_and_nothing_else() -> None:
    changed = {**PLAIN, "stage": {"joint": {"lr": 0.1, "steps": 20, "validate_steps": 9}}, "run": {"dir": "x"}}
    assert differences(PLAIN, changed) == []
    changed = {**PLAIN, "seed": 1}
    assert differences(PLAIN, changed) == ["seed: 0 then, 1 now"]


def test_a_changed_list_of_samples_is_refused_and_another_machine_is_warned_of() -> None:
    with pytest.raises(ValueError, match="lists of samples have changed"):
        check_same_run(CONTENT, {**HEADER, "data": {"samples": ["a", "c"], "sizes": [2, 1]}}, print)
    warnings: list[str] = []
    check_same_run(CONTENT, {**HEADER, "runtime": {**HEADER["runtime"], "threads": 4}}, warnings.append)
    assert warnings == ["warning: threads was 2 and is 4: bits may differ"]


def test_a_checkpoint_without_random_state_is_refused() -> None:
    content = {name: part for name, part in CONTENT.items() if name != "rng"}
    with pytest.raises(ValueError, match="has no rng"):
        check_same_run(content, HEADER, print)


def test_fresh_weights_need_no_checkpoint() -> None:
    assert initial_weights(None, Config(), HEADER) is None


def test_an_unwritable_root_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"run\.root=.*file cannot be written"):
        fresh_path(tmp_path / "file", "trial")
