"""Splits that no files make: groups that are held out, and a share of the training split."""

import pickle
from hashlib import sha256
from pathlib import Path

import pytest

from configs.rules import broken_rules
from configs.schema import Config, DataConfig, FolderConfig
from configs.validation import validated
from data.build import open_images
from data.dataset import ImageSet
from data.splits import group_lines
from tests.helpers.data_sets import folder_config, write_camvid, write_image, write_label, write_voc

PATIENTS = {"ann": 3, "bob": 2, "cy": 4}


def write_samples(root: Path, split: str, *names: str) -> None:
    for name in names:
        write_image(root / split / "images" / f"{name}.png")
        write_label(root / split / "labels" / f"{name}.png")


def write_patients(root: Path, **settings: object) -> DataConfig:
    """A training split alone, of nine images of three patients."""
    write_samples(root, "train", *(f"{name}_{number}" for name, count in PATIENTS.items() for number in range(count)))
    return folder_config(root, **{"group": "^([^_]+)_", **settings})


def names_of(images: ImageSet) -> set[str]:
    return {images.name(index) for index in range(len(images))}


def parts(config: DataConfig) -> tuple[set[str], set[str]]:
    """The names of what is trained on, and of what is scored."""
    return names_of(open_images(config, config.train_split)), names_of(open_images(config, config.val_split))


@pytest.mark.parametrize("hold_out", [["bob"], ["ann", "cy"]])
def test_groups_that_are_held_out_become_the_validation_split(tmp_path: Path, hold_out: list[str]) -> None:
    config = write_patients(tmp_path)
    whole = names_of(open_images(config, "train"))
    train, val = parts(config.model_copy(update={"hold_out": hold_out}))
    assert {name.partition("_")[0] for name in val} == set(hold_out)
    assert train | val == whole and not train & val
    assert len(val) == sum(PATIENTS[name] for name in hold_out)


def test_camvid_knows_its_drives_and_its_own_validation_split_is_a_setting_away(tmp_path: Path) -> None:
    config = write_camvid(tmp_path)
    write_samples(tmp_path, "train", "0016E5_1", "Seq05VD_f00000")
    own_val = names_of(open_images(config, "val"))
    train, val = parts(config.model_copy(update={"hold_out": ["Seq05VD"]}))
    assert val == {"Seq05VD_f00000"} and train == {"train0001TP_1", "train0001TP_2", "0016E5_1"}
    assert own_val == {"val0001TP_1", "val0001TP_2"} and not own_val & val


def test_the_first_lines_of_a_run_count_the_images_of_every_group_and_warn_of_shared_ones(tmp_path: Path) -> None:
    config = write_patients(tmp_path)
    write_samples(tmp_path, "val", "bob_9", "dee_0")
    groups, warning = group_lines(open_images(config, "train"), open_images(config, "val"))
    assert groups == "images of each group: ann (3), bob (2), cy (4) to train on; bob (1), dee (1) to score"
    assert warning.startswith("warning: 1 of the 2 images to score are of groups to train on, bob (1); ")
    held_out = config.model_copy(update={"hold_out": ["bob"]})
    (line,) = group_lines(open_images(held_out, "train"), open_images(held_out, "val"))
    assert line == "images of each group: ann (3), cy (4) to train on; bob (2) to score"
    voc = write_voc(tmp_path / "voc")
    assert group_lines(open_images(voc, "train"), open_images(voc, "val")) == []


def test_of_many_groups_twelve_are_named(tmp_path: Path) -> None:
    write_samples(tmp_path, "train", *(f"{number:02d}_x" for number in range(20)))
    config = folder_config(tmp_path, group="(.+)_").model_copy(update={"hold_out": ["07"]})
    (line,) = group_lines(open_images(config, "train"), open_images(config, "val"))
    assert "12 (1) and 7 more to train on; 07 (1) to score" in line


def test_a_share_of_the_training_split_is_as_large_as_set_and_every_name_is_in_one_part(tmp_path: Path) -> None:
    """Binomial: of 400 names the share 0.25 takes 100, give or take 3 standard deviations of 8.7."""
    names = {f"{number:04d}" for number in range(400)}
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for name in names:
        (tmp_path / "images" / f"{name}.jpg").touch()
        (tmp_path / "labels" / f"{name}.png").touch()
    config = folder_config(tmp_path, images="images", labels="labels", val_share=0.25)
    train, val = parts(config)
    assert train | val == names and not train & val
    assert abs(len(val) - 100) <= 26


def test_files_that_are_added_move_no_others_and_a_larger_share_only_adds(tmp_path: Path) -> None:
    write_samples(tmp_path, "train", *map(str, range(20)))
    config = folder_config(tmp_path, val_share=0.3)
    train, val = parts(config)
    below_share = {str(n) for n in range(20) if int(sha256(f"{n}".encode()).hexdigest()[:16], 16) < 0.3 * 2**64}
    assert val == below_share == {"4", "8", "9", "10", "13", "17"}, "and of another version of this program"
    write_samples(tmp_path, "train", *map(str, range(20, 30)))
    more_train, more_val = parts(config)
    assert train < more_train and val <= more_val
    assert val <= parts(folder_config(tmp_path, val_share=0.5))[1]


def test_a_share_of_groups_parts_no_group(tmp_path: Path) -> None:
    write_samples(tmp_path, "train", *(f"{patient}_{number}" for patient in range(20) for number in range(3)))
    train, val = parts(folder_config(tmp_path, group="^(.+)_", val_share=0.3))
    assert {name.partition("_")[0] for name in train}.isdisjoint({name.partition("_")[0] for name in val})
    assert len(train) % 3 == len(val) % 3 == 0 and val


def test_other_splits_are_opened_as_they_are(tmp_path: Path) -> None:
    config = write_patients(tmp_path)
    write_samples(tmp_path, "test", "bob_7")
    assert names_of(open_images(config.model_copy(update={"hold_out": ["bob"]}), "test")) == {"bob_7"}


def test_a_set_with_groups_travels_to_the_processes_that_read_it(tmp_path: Path) -> None:
    config = write_patients(tmp_path).model_copy(update={"hold_out": ["bob"]})
    images = pickle.loads(pickle.dumps(open_images(config, "val")))
    assert names_of(images) == {"bob_0", "bob_1"} and images.read(0)[1].shape == (4, 6)


@pytest.mark.parametrize(
    ("hold_out", "complaint"),
    [
        (["bbo"], r"train has no group bbo; did you mean bob\? groups and their images: ann \(3\), bob"),
        (["zz"], r"train has no group zz; groups and their images: ann"),
        (["ann", "bob", "cy"], "nothing is left to train on"),
    ],
)
def test_groups_that_cannot_be_held_out_are_refused(tmp_path: Path, hold_out: list[str], complaint: str) -> None:
    config = write_patients(tmp_path).model_copy(update={"hold_out": hold_out})
    with pytest.raises(ValueError, match=rf"data\.hold_out=\[{','.join(hold_out)}\]: {complaint}"):
        open_images(config, "train")


def test_a_share_beside_a_validation_split_or_of_too_few_is_refused(tmp_path: Path) -> None:
    config = write_patients(tmp_path, val_share=0.01)
    with pytest.raises(ValueError, match=r"val_share=0\.01: the hash gives none of the 3 groups of train to val"):
        open_images(config, "val")
    (tmp_path / "val" / "images").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"val_share=0\.01: there is a split val already, .*val/images.*val_split"):
        open_images(config, "train")


def test_a_name_without_a_group_is_refused_when_the_set_is_opened(tmp_path: Path) -> None:
    config = write_patients(tmp_path)
    write_samples(tmp_path, "train", "dee")
    with pytest.raises(ValueError, match=r"data\.folder\.group=\^\(\[\^_\]\+\)_: it finds no group in the name dee"):
        open_images(config, "train")


@pytest.mark.parametrize("pattern", ["(", "abc", "(?:a)", "a)"])
def test_an_expression_that_names_no_group_is_refused_by_key(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"data\.folder\.group=.*a regular expression with parentheses, such as"):
        validated(Config, {"data": {"folder": {"group": pattern}}})


def test_groups_are_texts_one_or_several_and_may_look_like_numbers() -> None:
    for typed, groups in (("0001TP", ["0001TP"]), (12, ["12"]), ([7, "a"], ["7", "a"]), (None, [])):
        assert validated(DataConfig, {"hold_out": typed}).hold_out == groups


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"name": "voc"}, "the images of voc have no groups"),
        ({"name": "shapes"}, "the images of shapes have no groups"),
        ({"name": "folder"}, "set data.folder.group to a regular expression"),
        ({"name": "folder", "folder": FolderConfig(group="(a)", val_share=0.5)}, "set data.folder.val_share=0"),
    ],
)
def test_settings_that_do_not_go_with_groups_held_out_are_refused(settings: dict[str, object], complaint: str) -> None:
    problems = broken_rules(Config(data=DataConfig(hold_out=["a"], **settings)))  # type: ignore[arg-type]
    assert any(problem.startswith("data.hold_out=[a]: ") and complaint in problem for problem in problems)
