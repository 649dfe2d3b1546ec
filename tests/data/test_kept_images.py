"""Training on images that were decoded once and kept is training on their files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from assembly.audit_sizes import size_findings
from assembly.sample_stream import sample_stream
from configs.compose import compose
from configs.errors import UserError
from configs.schema import AugmentConfig, CacheConfig, ResizeConfig
from data.audit.reading import read_all
from data.audit.split import Split
from data.balance import ClassBalance
from data.build import open_images
from data.class_counts import count_classes
from data.dataset import ImageSet
from data.kept_images import KeptImages, images_to_keep, open_kept_images
from data.loaders import AS_IT_IS, train_batches
from data.store import refuse_too_many
from data.transforms import TrainTransform
from engine.reporting.waiting import Waiting
from engine.runs import checkpoint
from engine.runs.changes import changes
from tests.helpers.pictures import write_pixels
from tests.helpers.small_runs import small_run
from train import train

CHANGES = AugmentConfig(
    mirror=True, vertical_mirror=True, quarter_turns=True, scale_min=0.5, scale_max=2, rotation_deg=20, color=0.5,
    gamma=0.5, brightness=0.5, white_balance=0.2, shade=0.5, blur_px=1, noise=0.05, class_balance=0.5,
)  # fmt: skip
SIZES_PX = [(40, 60), (64, 48), (33, 91)]


@contextmanager
def alone(path: Path, on_wait: object) -> Iterator[None]:
    yield


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    """Three files of noise, of different sizes, with labels of three classes."""
    random = np.random.default_rng(0)
    for number, size_px in enumerate(SIZES_PX):
        for kind, high, shape in (("images", 256, (*size_px, 3)), ("labels", 3, size_px)):
            pixels = random.integers(0, high, shape, np.uint8)
            write_pixels(tmp_path / "train" / kind / f"{number}.png", pixels)
    words = ["experiment=folder", f"data.root={tmp_path}", "data.folder.class_names=[a,b,c]"]
    return open_images(compose(words).data, "train")


def kept(root: Path, images: ImageSet, resize: ResizeConfig = AS_IT_IS, max_gb: float = 1.0) -> KeptImages:
    config = CacheConfig(root=str(root), max_gb=max_gb)
    return open_kept_images(config, {"of": "a test"}, images, resize, 0, print, alone, lambda: None)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "resize", [AS_IT_IS, ResizeConfig(long_px=50), ResizeConfig(factor=1.5), ResizeConfig(long_px=65_536)]
)
def test_every_sample_is_the_one_that_the_files_give(
    tmp_path: Path, images: ImageSet, resize: ResizeConfig, workers: int
) -> None:
    """With every change at once; a resize that is not its own inverse is done once."""
    balance = ClassBalance(CHANGES.class_balance, count_classes(images, 1, lambda: None))
    transform = TrainTransform(CHANGES, (32, 40), 5)

    def stream(images: ImageSet, resize: ResizeConfig) -> list[tuple[list[str], bytes, bytes]]:
        batches = train_batches(
            images, transform, balance, micro_batch=2, first=0, last=9, seed=3, workers=workers, resize=resize
        )
        return [(one.names, one.images_B3HW.numpy().tobytes(), one.labels_BHW.numpy().tobytes()) for one in batches]

    assert stream(kept(tmp_path / "cache", images, resize), AS_IT_IS) == stream(images, resize)


def test_files_are_read_once_and_again_where_they_are_resized_otherwise(
    tmp_path: Path, images: ImageSet, capsys: pytest.CaptureFixture[str]
) -> None:
    kept(tmp_path / "cache", images)
    assert "decoded images: reading the 3 of" in capsys.readouterr().out
    for number in range(len(SIZES_PX)):
        (tmp_path / "train" / "images" / f"{number}.png").unlink()
    again = kept(tmp_path / "cache", images)
    assert "decoded images: read from" in capsys.readouterr().out
    assert [again.read(index)[1].shape for index in range(3)] == SIZES_PX
    with pytest.raises(UserError, match="there is no such file"):
        kept(tmp_path / "cache", images, ResizeConfig(factor=0.5))
    assert len(list((tmp_path / "cache").glob("images-*"))) == 1, "and nothing half done"


def test_more_than_the_cache_may_take_is_refused_before_and_while_it_is_written(
    tmp_path: Path, images: ImageSet
) -> None:
    needed_bytes = 4 * sum(height * width for height, width in SIZES_PX)
    too_small = CacheConfig(root=str(tmp_path / "cache"), max_gb=(needed_bytes - 1) / 1e9)
    for refused in (
        lambda: refuse_too_many(too_small, images_to_keep(too_small, {"of": "a test"}, images, AS_IT_IS)),
        lambda: kept(tmp_path / "cache", images, max_gb=too_small.max_gb),
    ):
        with pytest.raises(UserError, match=r"the images need .* or set cache.images=false"):
            refused()
    large_enough = too_small.model_copy(update={"max_gb": needed_bytes / 1e9})
    refuse_too_many(large_enough, images_to_keep(large_enough, {"of": "a test"}, images, AS_IT_IS))
    kept(tmp_path / "cache", images)
    refuse_too_many(too_small, images_to_keep(too_small, {"of": "a test"}, images, AS_IT_IS))  # they are there


def test_a_run_on_kept_images_learns_the_same_and_an_audit_keeps_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*small_run(["frontend"], limit=3, steps=3, crop_px="[64,64]", validate_steps=3), "data.resize.factor=0.5"]
    words.append(f"cache.root={tmp_path / 'cache'}")
    weights = []
    for name, word in (("files", "cache.images=false"), ("kept", "cache.images=true")):
        assert train(compose([*words, word, f"run.dir={tmp_path / name}"])) == 0
        weights.append(checkpoint.load(tmp_path / name / "frontend.pt")["model"])
    assert "decoded images: 3 in " in capsys.readouterr().out
    assert all(weights[0][name].equal(weight) for name, weight in weights[1].items())
    assert changes({"cache": {"images": False}}, {"cache": {"images": True}}) == [], "of no consequence to a run"
    config = compose([*words, "cache.images=true", f"cache.root={tmp_path / 'other'}"])
    stream = sample_stream(config, open_images(config.data, "train"), print)
    assert stream is not None and len(list(stream.samples())) == 3
    assert not (tmp_path / "other").exists()


def test_waiting_is_said_with_what_helps_where_it_takes_a_twentieth_of_the_time() -> None:
    settings = {"runtime": {"workers": 2}, "cache": {"images": False}}
    waiting = Waiting()
    assert waiting.line("joint", settings) == ""
    waiting.add(took_s=2.0, waited_s=0.09)
    assert waiting.line("joint", settings) == ""
    waiting.add(took_s=2.0, waited_s=0.91)
    line = waiting.line("joint", settings)
    assert line.startswith("joint: 25% of the steps' time") and "cache.images=true" in line
    assert "cache.images" not in waiting.line("joint", {**settings, "cache": {"images": True}})


def test_an_audit_says_that_the_cache_is_too_small(tmp_path: Path, images: ImageSet) -> None:
    random = np.random.default_rng(1)
    for kind, high, shape in (("images", 256, (40, 60, 3)), ("labels", 3, (40, 60))):
        write_pixels(tmp_path / "val" / kind / "9.png", random.integers(0, high, shape, np.uint8))
    words = ["experiment=folder", f"data.root={tmp_path}", "data.folder.class_names=[a,b,c]", "cache.images=true"]
    config = compose([*words, f"cache.root={tmp_path / 'cache'}", "cache.max_gb=1e-6", "model.pretrained=null"])
    opened = [(name, open_images(config.data, name)) for name in ("train", "val")]
    train_split, val_split = (Split(name, of_files, read_all(of_files, 1)) for name, of_files in opened)
    (finding,) = [one for one in size_findings(config, train_split, val_split) if one.kind == "cache_size"]
    assert "cache.images=false" in finding.advice and finding.overrides[0].startswith("cache.max_gb=")
