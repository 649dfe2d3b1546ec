"""The two commands that train on COCO and go on without it, as people type them."""

from pathlib import Path

import pytest

from tests.helpers.coco import annotation, box, write_coco
from tests.helpers.data_sets import write_sbd, write_voc
from tests.helpers.programs import run

pytest.importorskip("pycocotools", reason='COCO needs pycocotools: pip install ".[coco]"')

SMALL = [
    *("debug=one_step", "frontend=small", "model.pretrained=null", "model.padding=zero", "stage.context.maps=computed"),
    *(f"stage.{stage}.crop_px=[64,64]" for stage in ("frontend", "context", "joint")),
    *("runtime.threads=1", "data.limit=null", "data.root=voc", "data.sbd_root=sbd"),
]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data sets in small, and runs/voc_coco trained on them."""
    folder = tmp_path_factory.mktemp("work")
    write_voc(folder / "voc")
    write_sbd(folder / "sbd")
    write_coco(folder / "coco", "train2014", [annotation(1, 1, 17, [box(5, 5, 50, 30)])], [1, 2])
    write_coco(folder / "coco", "val2014", [annotation(1, 3, 1, [box(5, 5, 50, 30)])], [3])
    words = ["data.coco_root=coco", "run.dir=runs/voc_coco", "stage.frontend.batch=6", *SMALL]
    done = run(folder, "train.py", "experiment=voc_coco", *words)
    assert done.returncode == 0, done.stderr
    assert "VOC 2012 and COCO (train2014, val2014), train_aug_coco: 6 images" in done.stdout
    assert "VOC 2012, val: 2 images" in done.stdout
    return folder


def test_the_second_command_finds_the_network_of_the_first_and_trains_all_stages_without_coco(work: Path) -> None:
    done = run(work, "train.py", "experiment=voc_coco_tune", *SMALL)
    assert done.returncode == 0, done.stderr
    assert "VOC 2012, train_aug: 4 images" in done.stdout
    assert "protocol: frontend start: init.checkpoint; paper front end of voc_coco" in done.stdout
    assert all(f"== {stage}: 1 step" in done.stdout for stage in ("frontend", "context", "joint"))


def test_the_second_command_alone_is_refused_with_the_file_that_it_misses(work: Path, tmp_path: Path) -> None:
    words = [f"data.root={work / 'voc'}", f"data.sbd_root={work / 'sbd'}"]
    done = run(tmp_path, "train.py", "experiment=voc_coco_tune", *words)
    assert done.returncode == 2 and "init.checkpoint=runs/voc_coco/best.pt: there is no such file" in done.stderr


def test_a_network_that_has_seen_coco_is_scored_on_its_images_and_refused_for_comp5(work: Path) -> None:
    best = "checkpoint=runs/voc_coco/best.pt"
    done = run(work, "eval.py", best, "split=train_coco", "data.coco_root=coco", "threads=1")
    assert done.returncode == 0 and "4 images; scores" in done.stdout, done.stderr
    done = run(work, "eval.py", best, "submission=voc_comp5")
    assert done.returncode == 2 and "COCO (data.train_split=train_aug_coco)" in done.stderr
