"""Several sets of one's own images as one."""

import pickle
from pathlib import Path

import pytest

from configs.compose import compose, composed
from configs.errors import ConfigError
from configs.evaluation import evaluation_config
from configs.schema import Config, DataConfig, EvalConfig, FolderSetConfig
from configs.validation import validated, with_changes
from data.build import open_images
from data.labels import VOID
from tests.helpers.data_sets import folder_config, write_image, write_label, write_list

CITY = {"root": "city"}
FIELDS = {  # of other names, ids and splits than the city
    "root": "fields",
    "splits": ["train"],
    "images": "photos",
    "labels": "masks",
    "label_suffix": "_mask.png",
    "list_file": "{split}.txt",
    "label_ids": [[7, 8], 300],
    "ignore_ids": [0],
}


def joined(root: Path, **sets: object) -> DataConfig:
    return with_changes(folder_config(root), {"folder": {"sets": sets or {"city": CITY, "fields": FIELDS}}}, "data")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images 1 and 2 of the city and 1 of the fields to train on, 3 of the city to score."""
    for split, names in (("train", "12"), ("val", "3")):
        for name in names:
            write_image(tmp_path / "city" / split / "images" / f"{name}.jpg")
            write_label(tmp_path / "city" / split / "labels" / f"{name}.png", [[0, 1, 255, 0, 1, 255]] * 4)
    write_image(tmp_path / "fields" / "photos" / "1.jpg", seed=1)
    write_label(tmp_path / "fields" / "masks" / "1_mask.png", [[0, 7, 8, 0, 7, 8]] * 4)
    write_list(tmp_path / "fields" / "train.txt", "1")
    return tmp_path


def test_every_set_has_its_own_layout_and_ids_and_names_begin_with_it(root: Path) -> None:
    train, val = (open_images(joined(root), split) for split in ("train", "val"))
    assert [train.name(index) for index in range(len(train))] == ["city/1", "city/2", "fields/1"]
    assert [val.name(index) for index in range(len(val))] == ["city/3"]
    assert train.read(0)[1][0].tolist() == [0, 1, VOID, 0, 1, VOID]
    assert train.read(2)[1][0].tolist() == [VOID, 0, 0, VOID, 0, 0]
    assert train.classes == val.classes == open_images(joined(root, city=CITY), "train").classes
    assert pickle.loads(pickle.dumps(train)).read(2)[1][0, 1] == 0, "as in a process that reads"


def test_what_a_set_leaves_out_is_as_in_the_config_that_it_is_part_of(root: Path) -> None:
    changes = {"label_ids": [1, 0], "sets": {"city": CITY}}
    config = with_changes(folder_config(root), {"folder": changes}, "data")
    assert open_images(config, "train").read(0)[1][0].tolist() == [1, 0, VOID, 1, 0, VOID]
    plain = validated(DataConfig, config.model_dump())  # as a checkpoint keeps it
    assert open_images(plain, "train").read(0)[1][0].tolist() == [1, 0, VOID, 1, 0, VOID]


def test_a_set_is_a_group_where_the_expression_says_so(root: Path) -> None:
    config = with_changes(joined(root), {"hold_out": ["fields"], "folder": {"group": r"^(\w+)/"}}, "data")
    train, val = (open_images(config, split) for split in ("train", "val"))
    assert {train.name(index) for index in range(len(train))} == {"city/1", "city/2"}
    assert [val.name(index) for index in range(len(val))] == ["fields/1"] and val.read(0)[1][0, 1] == 0


def test_sets_are_typed_at_once_or_key_by_key_and_a_checkpoints_may_lie_elsewhere(root: Path) -> None:
    words = ["data=folder", f"data.root={root}", "data.folder.class_names=[ground,thing]"]
    words += ["data.folder.sets={city: {root: city}}", "data.folder.sets.fields.root=fields"]
    words += ["data.folder.sets.fields.label_ids=[[7,8],300]"]
    config = compose(words)
    assert config.data.folder.sets == {
        "city": FolderSetConfig(root="city"),
        "fields": FolderSetConfig(root="fields", label_ids=[[7, 8], 300]),
    }
    (root / "best.pt").touch()
    request = composed(EvalConfig, [f"checkpoint={root / 'best.pt'}", "data.folder.sets.city.root=/elsewhere"])
    sets = evaluation_config(config, "float32", request).data.folder.sets
    assert sets == {**config.data.folder.sets, "city": FolderSetConfig(root="/elsewhere")}
    for typed in ("city", "[city]", "3"):
        with pytest.raises(ConfigError, match=r"data\.folder\.sets=.*settings under names are required"):
            compose([*words[:3], f"data.folder.sets={typed}"])


@pytest.mark.parametrize(
    ("sets", "complaint"),
    [
        ({"a": CITY, "b": CITY}, r"sets: .*city/train/images/1\.jpg is in a and in b"),
        ({"a": {"root": "cty"}}, r"sets\.a: there is no .*cty/train/images"),
        ({"a": {**CITY, "splits": ["val"]}}, "sets: none has the split train: a has val"),
        ({"a": {**CITY, "label_ids": [1]}}, r"sets\.a: data\.folder\.label_ids=\[1\]: one raw id"),
    ],
)
def test_sets_that_cannot_be_joined_are_refused_by_name(root: Path, sets: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=rf"data\.folder\.{complaint}"):
        open_images(joined(root, **sets), "train")


@pytest.mark.parametrize(
    ("sets", "complaint"),
    [
        ({"a": {}}, "data.folder.sets.a.root: it is required"),
        ({"a": {**CITY, "lbels": "x"}}, 'sets.a.lbels: there is no key "lbels" in data.folder.sets.a; did you mean'),
        ({"a": {**CITY, "label_ids": ["x"]}}, "data.folder.sets.a.label_ids=[x]: a whole number is required"),
        ({"a/b": CITY}, "data.folder.sets.a/b: a name of letters, digits and _ . - for each set is required"),
        ({"a": "city"}, "data.folder.sets.a=city: data.folder.sets.a is a section"),
    ],
)
def test_settings_of_a_set_are_judged_like_any_others(sets: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        validated(Config, {"data": {"folder": {"sets": sets}}})
    assert complaint in str(refusal.value)
