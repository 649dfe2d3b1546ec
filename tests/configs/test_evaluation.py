"""What `eval.py` is asked for changes that of a checkpoint's config and no more."""

from pathlib import Path
from typing import Any

import pytest
from pydantic.fields import FieldInfo

from configs.compose import compose, composed
from configs.errors import ConfigError
from configs.evaluation import evaluation_config
from configs.keys import known_keys
from configs.schema import AugmentConfig, DataConfig, EvalConfig, FolderConfig
from configs.validation import shown


def test_evaluation_takes_only_what_it_was_data_of(tmp_path: Path) -> None:
    checkpoint = tmp_path / "best.pt"
    checkpoint.touch()
    config = composed(EvalConfig, [f"checkpoint={checkpoint}", f"data.root={tmp_path}", "data.limit=3"])
    assert config.data.model_dump(exclude_unset=True) == {"root": str(tmp_path), "limit": 3}
    assert config == EvalConfig(checkpoint=str(checkpoint), data=config.data)


def test_evaluation_takes_every_key_of_the_data_and_changes_no_other(tmp_path: Path) -> None:
    checkpoint = tmp_path / "best.pt"
    checkpoint.touch()
    folder = FolderConfig(label_suffix=".gif", image_suffix=".jpg")
    trained = compose().model_copy(update={"data": DataConfig(folder=folder)})

    def data_of(*words: str) -> DataConfig:
        config = composed(EvalConfig, [f"checkpoint={checkpoint}", *words])
        return evaluation_config(trained, "float32", config).data

    nested = data_of("data.folder.label_suffix=_x.png", "data.augment.color=0.5", "data.name=folder")
    assert nested == DataConfig(
        name="folder",
        folder=FolderConfig(label_suffix="_x.png", image_suffix=".jpg"),
        augment=AugmentConfig(color=0.5),
    )
    assert data_of("data.folder={label_suffix: _x.png}", "data={augment: {color: 0.5}, name: folder}") == nested
    leaves = {name for name, key in known_keys(DataConfig, "data").items() if isinstance(key, FieldInfo)}
    paths = {"data.root": tmp_path, "data.sbd_root": tmp_path, "data.coco_root": tmp_path}
    default = DataConfig(name="voc").model_dump()
    words = [f"{name}={paths.get(name, shown(value_at(default, name)))}" for name in leaves]
    assert data_of(*words) == DataConfig(
        name="voc", root=str(tmp_path), sbd_root=str(tmp_path), coco_root=str(tmp_path)
    )


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
        ("data.augment.color=2", "data.augment.color=2: it must be at most 1"),
        ("data.shapes={size_px: 64}", "data.shapes.size_px=64: it must be at least 192"),
        ("data.augment.mirror=maybe", "data.augment.mirror=maybe: true or false is required"),
        ("data.folder=voc", "data.folder=voc: data.folder is a section"),
        ("data.limit=-1", "data.limit=-1: it must be a positive integer"),
        ("data.limit=x", "data.limit=x: a whole number is required"),
        ("data.root=/nowhere", "data.root=/nowhere: there is no such folder"),
        ("data=camvid", "data=camvid: data is a section"),
        ("seed=1", 'no key "seed" at the top'),
        ("output=", "output=: the place of the results is required; write output=DIR"),
        ("split=val", "checkpoint=: the file of a network is required"),
    ],
)
def test_evaluation_refuses_wrong_words(word: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        composed(EvalConfig, [word])
    assert message in str(refusal.value)
