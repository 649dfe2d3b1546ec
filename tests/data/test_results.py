"""Whose the folders below an output are."""

from pathlib import Path

import pytest

from data.results import Results


def test_a_folder_that_no_record_explains_is_left_alone(tmp_path: Path) -> None:
    """It may hold somebody's photographs."""
    results = Results(tmp_path, ["overlays"])
    results.require_own_folders()
    (tmp_path / "ids").mkdir()
    results.require_own_folders()
    (tmp_path / "ids" / "holiday.png").touch()
    with pytest.raises(
        ValueError, match=r"ids is there already, and no predictions\.json beside it .*; set output else"
    ):
        results.require_own_folders()
    results.record.touch()
    results.require_own_folders()


def test_an_input_among_the_results_is_refused_by_whatever_path_it_comes(tmp_path: Path) -> None:
    (tmp_path / "out" / "ids").mkdir(parents=True)
    (tmp_path / "link").symlink_to("out/ids", target_is_directory=True)
    results = Results(tmp_path / "out", ["overlays"])
    results.require_outside([tmp_path / "a.png", tmp_path / "out" / "a.png"])
    for folder in (tmp_path / "out" / "ids", tmp_path / "link", tmp_path / "out" / "ids" / "deep"):
        with pytest.raises(ValueError, match=r"a\.png lies among its results; set output elsewhere"):
            results.require_outside([tmp_path / "b.png", folder / "a.png"])
