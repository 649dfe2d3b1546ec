"""What a run says of its data before it trains."""

from pathlib import Path

from assembly.introduction import introduction
from configs.schema import Config
from data.build import open_images
from tests.helpers.data_sets import folder_config, write_image, write_label


def lines_of(config: Config) -> list[str]:
    splits = (config.data.train_split, config.data.val_split)
    return list(introduction(config, *(open_images(config.data, split) for split in splits)))


def test_groups_and_samples_that_are_left_out_are_named_beside_the_splits(tmp_path: Path) -> None:
    for split, names in (("train", ("ann_1", "ann_2", "bob_1")), ("val", ("bob_2",))):
        for name in names:
            write_image(tmp_path / split / "images" / f"{name}.png")
            write_label(tmp_path / split / "labels" / f"{name}.png")
    (tmp_path / "train" / "images" / "ann_2.png").write_bytes(b"")
    data = folder_config(tmp_path, group="^(.+)_").model_copy(update={"on_error": "skip"})
    train, val, groups, warning, left_out, *_ = lines_of(Config(data=data))
    assert train == f"folder {tmp_path}, train: 2 images, 1 left out, 2 classes"
    assert val == f"folder {tmp_path}, val: 1 images, 2 classes"
    assert groups == "images of each group: ann (1), bob (1) to train on; bob (1) to score"
    assert warning.startswith("warning: 1 of the 1 images to score are of groups to train on, bob (1)")
    assert left_out.startswith(f"left out: {tmp_path}/train/images/ann_2.png: the file is empty")


def test_of_built_in_scenes_there_is_nothing_of_the_kind_to_say() -> None:
    assert not any(line.startswith(("images of each", "left out")) for line in lines_of(Config()))
