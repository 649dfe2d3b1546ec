"""What is wrong with one split."""

from pathlib import Path

import pytest

from configs.errors import UserError
from data.audit.reading import read_all
from data.audit.split import Split
from data.audit.within import findings_within
from data.build import open_images
from tests.helpers.data_sets import folder_config, write_image, write_label


def test_an_image_that_is_its_own_label_is_an_error(tmp_path: Path) -> None:
    for name in "ab":
        write_label(tmp_path / "train" / "labels" / f"{name}.png")
    config = folder_config(tmp_path, images="{split}/labels")  # meant was {split}/images
    images = open_images(config, "train")
    (error,) = (
        f for f in findings_within(Split("train", images, read_all(images, 1)), config) if f.severity == "error"
    )
    assert error.kind == "image_is_label" and [Path(place.file).name for place in error.places] == ["a.png", "b.png"]


def test_without_a_validation_split_a_share_of_training_is_advised_and_opens(tmp_path: Path) -> None:
    for number in range(20):
        write_image(tmp_path / "train" / "images" / f"{number}.jpg")
        write_label(tmp_path / "train" / "labels" / f"{number}.png")
    config = folder_config(tmp_path)
    with pytest.raises(UserError) as failure:
        open_images(config, "val")
    (finding,) = findings_within(Split("val", None, failure=failure.value), config)
    assert finding.overrides == ["data.folder.val_share=0.2"]
    shared = folder_config(tmp_path, val_share=0.2)
    assert len(open_images(shared, "train")) + len(open_images(shared, "val")) == 20
    (finding,) = findings_within(Split("train", None, failure=failure.value), config)
    assert not finding.overrides  # of training there is no other split to take a share from
