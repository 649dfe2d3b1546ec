"""What is advised for values without a meaning, worked out from the values themselves."""

from pathlib import Path

import pytest

from configs.schema import DataConfig
from data.audit.label_values import masks, strange_values, wrong_samples
from data.audit.sample import Problem
from data.labels import CITYSCAPES, CITYSCAPES_LABEL_IDS
from tests.helpers.data_sets import folder_config

ROOT = Path("unread")


def problem(values: dict[int, int], samples: str = "L", file: str = "a.png") -> Problem:
    return Problem("label_values", file, f"{file}: strange; correct the file", values, samples)


def test_pixels_and_files_are_added_up() -> None:
    found = strange_values(folder_config(ROOT), "train", [problem({9: 3, 300: 1}), problem({9: 4}, file="b.png")])
    assert "2; 9 (7 pixels in 2 files), 300 (1 pixel in 1 file)" in found.what
    assert found.overrides == ["data.folder.ignore_ids=[9,255,300]"]


def test_values_of_interpolation_are_not_advised_as_void() -> None:
    found = strange_values(folder_config(ROOT), "train", [problem(dict.fromkeys(range(2, 40), 1))])
    assert found.overrides == [] and "interpolation" in found.advice and "and 30 more" in found.what


def test_label_ids_of_cityscapes_are_known_by_nineteen_classes_and_ids_below_34() -> None:
    config = folder_config(ROOT, class_names=list(CITYSCAPES.names))
    label_ids, ignore_ids = strange_values(config, "train", [problem({26: 5, 33: 1})]).overrides
    assert label_ids == f"data.folder.label_ids={list(CITYSCAPES_LABEL_IDS)}".replace(" ", "")
    void = [*sorted(set(range(34)) - set(CITYSCAPES_LABEL_IDS)), 255]
    assert ignore_ids == f"data.folder.ignore_ids={void}".replace(" ", "")


@pytest.mark.parametrize(
    "config",
    [
        DataConfig(name="kitti", root="unread"),
        folder_config(ROOT, sets={"night": {"root": "night"}}),
    ],
    ids=["kitti", "sets"],
)
def test_no_override_is_advised_where_it_would_not_reach_the_labels(config: DataConfig) -> None:
    found = strange_values(config, "train", [problem({9: 3})])
    assert found.overrides == [] and found.advice


def test_colours_beyond_the_classes_are_void_and_the_most_frequent_are_classes() -> None:
    config = folder_config(ROOT, label_ids=[4, 5])
    labels = [Problem("label_samples", "a.png", "RGB", {0x0000FF: 1, 0xFF0000: 5, 0x00FF00: 3}, "RGB")]
    assert wrong_samples(config, "train", labels, num_labels=1).overrides == [
        "data.folder.rgb_labels=true",
        "data.folder.palette=[[255,0,0],[0,255,0]]",
        "data.folder.label_ids=[]",
        "data.folder.void_colors=[[0,0,255]]",
    ]


def test_some_labels_in_colours_among_others_are_to_be_written_anew() -> None:
    labels = [Problem("label_samples", "a.png", "RGB", {0: 1, 1: 1}, "RGB")]
    found = wrong_samples(folder_config(ROOT), "train", labels, num_labels=2)
    assert not found.overrides and "as the others" in found.advice


def test_masks_among_labels_of_ids_are_no_reason_to_change_the_ids() -> None:
    of_all = masks(folder_config(ROOT), "train", [problem({255: 5})], has_objects=False)
    assert of_all.overrides == ["data.folder.label_ids=[0,255]", "data.folder.ignore_ids=[]"]
    of_some = masks(folder_config(ROOT), "train", [problem({255: 5})], has_objects=True)
    of_three_classes = folder_config(ROOT, class_names=["a", "b", "c"])
    assert not of_some.overrides
    assert not masks(of_three_classes, "train", [problem({255: 5})], has_objects=False).overrides
