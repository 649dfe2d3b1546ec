"""An audit draws what training gets, and nothing else."""

import re
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assembly.audit import audit
from assembly.audit_pictures import write_contact_sheets, write_training_samples
from assembly.feed import Feed
from assembly.sample_stream import chosen_samples, has_enough, sample_stream
from configs.compose import compose, composed
from configs.errors import WRONG_INPUT, UserError
from configs.schema import VOID, AuditConfig, Config
from data.build import open_images
from data.dataset import ImageSet
from engine.runtime import choose_runtime
from engine.training.random_state import stage_seed
from models.build import build_initial
from tests.helpers.pictures import noise, write_pixels

NUM_IMAGES, RARE = 6, 2  # the rare class is in image 4 alone
WORDS = [
    "experiment=folder",
    "frontend=small",
    "model.pretrained=null",
    "model.padding=reflect",
    "data.folder.class_names=[ground,'thing/with: signs',rare]",
    "stages=[frontend]",
    "stage.frontend.crop_px=[32,32]",
    "stage.frontend.batch=4",
    "stage.frontend.accumulation=2",
    "runtime.threads=1",
    "runtime.workers=0",
    "data.augment.rotation_deg=20",
    "data.augment.gamma=0.5",
    "data.augment.class_balance=0.5",
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two splits of noise; labels of ground and thing, rare in one image alone, a row of void."""
    root = tmp_path_factory.mktemp("folder")
    for split in ("train", "val"):
        write_split(root / split, NUM_IMAGES)
    return root


def write_split(folder: Path, num_images: int) -> None:
    for number in range(num_images):
        label_HW = np.zeros((40, 60), np.uint8)
        label_HW[20:], label_HW[39] = 1, VOID
        if number == 4:
            label_HW[18:22, 28:32] = RARE
        write_pixels(folder / "images" / f"{number}.png", noise(40, 60, number))
        write_pixels(folder / "labels" / f"{number}.png", label_HW)


def opened(root: Path, folder: Path, *words: str) -> tuple[Config, ImageSet]:
    config = compose([*WORDS, f"data.root={root}", f"cache.root={folder / 'cache'}", *words])
    return config, open_images(config.data, "train")


@pytest.mark.parametrize("words", [(), ("data.augment.class_balance=0",), ("model.padding=zero",)])
def test_the_stream_is_the_one_that_training_gets(root: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Names, images and labels to the last bit, by a network as wide as the config's."""
    config, train_set = opened(root, tmp_path, *words)
    model, _ = build_initial(config.model, 3, config.data.mean_rgb, config.seed, None)
    feed = Feed(config, train_set, train_set, model, choose_runtime(config.runtime), print, lambda: None)
    stage = config.stage.frontend
    batches = list(feed.batches("frontend", stage, stage_seed(config.seed, "frontend"))(0, NUM_IMAGES // 2))
    stream = sample_stream(config, train_set, print)
    assert stream is not None and stream.length == NUM_IMAGES
    for position, sample in islice(stream.samples(), NUM_IMAGES):
        batch, place = batches[position // 2], position % 2  # 2: of 4 images in 2 passes
        assert sample.names == [batch.names[place]]
        assert sample.images_B3HW[0].equal(batch.images_B3HW[place])
        assert sample.labels_BHW[0].equal(batch.labels_BHW[place])
        assert stream.sample(position).images_B3HW.equal(sample.images_B3HW)


def test_a_run_of_few_steps_draws_no_more_samples_than_it_trains_on(root: Path, tmp_path: Path) -> None:
    stream = sample_stream(*opened(root, tmp_path, "stage.frontend.steps=1"), print)
    assert stream is not None and stream.length == 4


def test_every_class_gets_a_file_the_rare_ones_first_and_earlier_files_are_gone(root: Path, tmp_path: Path) -> None:
    config, train_set = opened(root, tmp_path, "data.augment.class_balance=0", "stage.frontend.crop_px=[40,64]")
    (tmp_path / "training_samples").mkdir()
    (tmp_path / "training_samples" / "sample_007_gone.png").touch()
    (tmp_path / "training_samples" / "mine.png").touch()
    sheet, *singles = write_training_samples(config, train_set, 5, tmp_path, pytest.fail)
    assert sheet == tmp_path / "training_samples.png"
    names = ["sample_000_rare.png", "sample_001_thing_with_signs.png", "sample_002_ground.png", "sample_003_void.png"]
    assert [path.name for path in singles[:4]] == names and len(singles) == 5
    assert {*(tmp_path / "training_samples").iterdir()} == {*singles, tmp_path / "training_samples" / "mine.png"}
    for path in (sheet, *singles):
        with Image.open(path) as image:
            assert image.format == "PNG" and max(image.size) <= 2600


def test_no_more_is_drawn_than_an_epoch_and_a_sheet_ends_where_it_is_full(tmp_path: Path) -> None:
    write_split(tmp_path / "train", 25)
    config, train_set = opened(tmp_path, tmp_path, "data.augment.class_balance=0", "stage.frontend.crop_px=[40,64]")
    paths = write_training_samples(config, train_set, 1000, tmp_path, pytest.fail)
    sheets = [path.name for path in paths if path.parent == tmp_path]
    assert sheets == ["training_samples.png", "training_samples_2.png"] and len(paths) == 2 + 25
    heights = [Image.open(tmp_path / sheet).height for sheet in sheets]
    assert heights[0] > 4 * heights[1]


def test_samples_that_cannot_be_read_are_logged_and_the_others_drawn(root: Path, tmp_path: Path) -> None:
    config, train_set = opened(root, tmp_path, "data.augment.class_balance=0")
    broken = root / "train" / "labels" / "3.png"
    content = broken.read_bytes()
    broken.write_bytes(content[:40])
    log: list[str] = []
    try:
        paths = write_training_samples(config, train_set, 24, tmp_path, log.append)
        (sheet,) = write_contact_sheets({"a/b": train_set}, tmp_path)
        balanced, _ = opened(root, tmp_path)
        assert write_training_samples(balanced, train_set, 24, tmp_path, log.append) == []
    finally:
        broken.write_bytes(content)
    assert len(paths) == 1 + NUM_IMAGES - 1
    unread = [line for line in log if "3.png" in line]
    assert unread[0].startswith("sample ") and unread[-1].startswith("no training samples are drawn: ")
    assert sheet == tmp_path / "sheet_a_b.png"
    pixels = np.array(Image.open(sheet))
    assert (pixels == (96, 96, 104)).all(-1).sum() > 0.8 * 384 * 288, "one tile is gray"


def test_a_run_on_kept_maps_alone_has_no_samples(root: Path, tmp_path: Path) -> None:
    (tmp_path / "frontend.pt").touch()
    words = ["stages=[context]", f"init.checkpoint={tmp_path / 'frontend.pt'}", "stage.context.maps=cached"]
    words += ["data.augment.class_balance=0", "data.augment.rotation_deg=0", "data.augment.gamma=0"]
    log: list[str] = []
    config, train_set = opened(root, tmp_path, *words, "data.augment.mirror=false")
    assert write_training_samples(config, train_set, 24, tmp_path, log.append) == []
    assert log == ["no training samples are drawn: every stage reads maps that are kept of whole images"]


def test_the_choice_goes_round_the_classes_by_their_pixels() -> None:
    """Of class 1 there are 4 pixels, of 0 there are 30, of void 2."""
    counts_NV = np.zeros((4, 256), np.int64)
    counts_NV[:, 0], counts_NV[:, 1], counts_NV[:, VOID] = (9, 8, 7, 6), (0, 1, 0, 3), (0, 2, 0, 0)
    assert chosen_samples(counts_NV, 3, 10) == [(3, 1), (0, 0), (1, VOID), (2, 0)]
    assert chosen_samples(counts_NV, 3, 1) == [(3, 1)]
    assert chosen_samples(counts_NV[:0], 3, 10) == []


def test_the_choice_waits_for_every_class() -> None:
    """Three samples of two classes: each class must be in two of them."""
    counts_NV = np.zeros((4, 256), np.int64)
    counts_NV[:, 0], counts_NV[:, 1] = 9, (0, 1, 0, 3)
    assert [has_enough(counts_NV[:length], 2, 3) for length in range(5)] == [False, False, False, False, True]
    assert not has_enough(counts_NV, 2, 5)


def test_classes_that_no_sample_shows_are_named(root: Path, tmp_path: Path) -> None:
    config, train_set = opened(root, tmp_path, "data.augment.class_balance=0", "data.limit=3")
    log: list[str] = []
    assert len(write_training_samples(config, train_set, 24, tmp_path, log.append)) == 4
    assert log == ["none of the 3 training samples that were looked at shows rare"]


def test_labels_that_cannot_be_counted_end_the_drawing_and_no_audit_sends_to_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Classes are balanced by all labels of the split; the audit that lists what is wrong with them is this one."""
    for split in ("train", "val"):
        write_split(tmp_path / split, NUM_IMAGES)
    (tmp_path / "train" / "labels" / "3.png").write_bytes(b"")
    words = [*WORDS, f"data.root={tmp_path}", f"cache.root={tmp_path / 'cache'}", f"output={tmp_path / 'audit'}"]
    assert audit(composed(AuditConfig, [*words, "pictures=3"])) == WRONG_INPUT
    shown = capsys.readouterr().out
    assert re.search(r"no training samples are drawn: .*3\.png: the file is empty", shown)
    assert "in one pass" not in shown


def test_a_folder_that_cannot_be_written_is_an_error_of_the_user(root: Path, tmp_path: Path) -> None:
    config, train_set = opened(root, tmp_path, "data.augment.class_balance=0")
    (tmp_path / "file").touch()
    for write in (
        lambda: write_contact_sheets({"train": train_set}, tmp_path / "file"),
        lambda: write_training_samples(config, train_set, 24, tmp_path / "file", print),
    ):
        with pytest.raises(UserError, match=r"file cannot be written .* set output elsewhere"):
            write()


def test_an_audit_draws_every_split_and_on_request_samples(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*WORDS, f"data.root={root}", f"cache.root={tmp_path / 'cache'}", f"output={tmp_path / 'audit'}"]
    audit(composed(AuditConfig, words))
    names = {"sheet_train.png", "sheet_val.png", "audit.json"}
    assert {path.name for path in (tmp_path / "audit").iterdir()} == names
    audit(composed(AuditConfig, [*words, "pictures=3"]))
    assert {path.name for path in (tmp_path / "audit").iterdir()} == names | {
        "training_samples.png",
        "training_samples",
    }
    assert len([*(tmp_path / "audit" / "training_samples").iterdir()]) == 3
    shown = capsys.readouterr().out
    assert shown.count("sheet_val.png") == 2 and shown.count("training_samples.png") == 1
