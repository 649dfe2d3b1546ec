"""What is promised on a GPU, on a real one: the same bits twice and after breaks, and files that open everywhere."""

import json
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from configs.compose import compose, composed
from configs.errors import STOP_SIGNALS
from configs.schema import EvalConfig, RuntimeConfig, ShapesConfig
from data.loaders import validation_batches
from data.shapes import Shapes
from engine.process.stop import Stopped
from engine.runs import checkpoint
from engine.runtime import choose_runtime
from eval import score
from tests.helpers.small_runs import small_run
from train import train

pytestmark = pytest.mark.gpu

DEVICE = "gpu"
PRECISIONS = ("float32", "bfloat16")
STAGES = ("frontend", "context", "joint")
STEPS = {"steps": 12, "validate_steps": 3, "crop_px": "[96,96]"}
WAIT_S = 120


def words(folder: Path, device: str) -> list[str]:
    """All three stages with dropout; the context module learns on kept maps."""
    kept = ["stage.context.maps=cached", "stage.context.crop_px=[192,192]", f"cache.root={folder.parent / 'cache'}"]
    where = [f"runtime.device={device}", "runtime.workers=1", "runtime.precision=float32", f"run.dir={folder}"]
    small = small_run(STAGES, limit=4, **STEPS)
    return [*small, *kept, *where, "model.frontend.dropout=0.5", "run.save_steps=1"]


def trained(folder: Path, *more: str, device: str = DEVICE) -> dict[str, Any]:
    """What the last checkpoint of the run holds."""
    assert train(compose([*words(folder, device), *more])) == 0
    return checkpoint.load(folder / "last.pt")


def stopped(folder: Path, file: str, *more: str, device: str = DEVICE) -> None:
    """Begin or go on, and stop by a signal as soon as `file` is there."""
    config = compose([*words(folder, device), *more])

    def watch() -> None:
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until and not (folder / file).exists():
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGUSR1)

    watcher = threading.Thread(target=watch)
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}  # a run that was stopped ignores them all
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # one that comes too late ends no tests
    try:
        watcher.start()
        with pytest.raises(Stopped):
            train(config)
        watcher.join()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    """torch raises at every operation that it knows to add up in any order."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu") / "uninterrupted"
    trained(folder)
    return folder


def assert_same_bits(one: Any, other: Any) -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert_same_bits(value, other[key])
    elif isinstance(one, list):
        for value, beside in zip(one, other, strict=True):
            assert_same_bits(value, beside)
    else:
        assert one == other


def assert_same_training(one: dict[str, Any], other: dict[str, Any]) -> None:
    for part in ("model", "optimizer", "rng"):
        assert_same_bits(one[part], other[part])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_same_command_gives_the_same_bits_and_another_seed_others(tmp_path: Path, precision: str) -> None:
    more = [f"runtime.precision={precision}", "stage.joint.loss.grid=pixels"]
    first, second = (trained(tmp_path / name, *more) for name in ("first", "second"))
    assert_same_training(first, second)
    confusions = [np.load(tmp_path / name / "confusions-joint.npy") for name in ("first", "second")]
    assert np.array_equal(*confusions)
    other = trained(tmp_path / "other", *more, "seed=1")
    assert not torch.equal(other["model"]["frontend.final.weight"], first["model"]["frontend.final.weight"])


def test_a_run_that_is_interrupted_in_every_stage_ends_with_the_bits_of_one_that_is_not(
    uninterrupted: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "interrupted"
    stopped(folder, "frontend.pt")  # from the first validation of a stage on
    stopped(folder, "context.pt", "resume=auto")
    stopped(folder, "joint.pt", "resume=auto")
    assert [entry["stage"] for entry in trained(folder, "resume=auto")["history"]] == list(STAGES)
    assert_same_training(checkpoint.load(folder / "last.pt"), checkpoint.load(uninterrupted / "last.pt"))


def test_a_run_goes_from_a_cpu_to_a_gpu_and_back(tmp_path: Path) -> None:
    folder = tmp_path / "travelling"
    stopped(folder, "last.pt", device="cpu")
    assert checkpoint.load(folder / "last.pt")["rng"].keys() == {"torch"}
    stopped(folder, "frontend.pt", "resume=auto")
    content = checkpoint.load(folder / "last.pt")
    assert content["rng"].keys() == {"torch", "cuda"}
    content = trained(folder, "resume=auto", device="cpu")
    assert [entry["changes"]["runtime.device"] for entry in content["history"]] == [["cpu", "cuda"], ["cuda", "cpu"]]
    assert all(bool(weight.isfinite().all()) for weight in content["model"].values())


def test_a_checkpoint_knows_the_gpu_and_opens_without_one(uninterrupted: Path) -> None:
    plain = torch.load(uninterrupted / "last.pt", weights_only=True)  # where a tensor lay, it would lie again
    devices = {tensor.device.type for part in ("model", "optimizer", "rng") for tensor in tensors_of(plain[part])}
    assert devices == {"cpu"}
    assert plain["runtime"]["gpu"] == torch.cuda.get_device_name() and plain["runtime"]["cudnn"] > 0
    summary = json.loads((uninterrupted / "summary.json").read_text())
    assert 0 < summary["peak_memory_mib"] <= torch.cuda.get_device_properties(0).total_memory / 2**20


def tensors_of(content: Any) -> Iterator[torch.Tensor]:
    if isinstance(content, torch.Tensor):
        yield content
    elif isinstance(content, dict):
        for part in content.values():
            yield from tensors_of(part)


def test_scoring_a_checkpoint_repeats_the_score_of_its_training(uninterrupted: Path, tmp_path: Path) -> None:
    request = [f"checkpoint={uninterrupted / 'joint.pt'}", f"output={tmp_path}", f"device={DEVICE}", "num_pictures=0"]
    assert score(composed(EvalConfig, request)) == 0
    mean_iou = json.loads((tmp_path / "scores.json").read_text())["mean_iou"]
    assert mean_iou == checkpoint.load(uninterrupted / "joint.pt")["progress"]["results"]["joint"]["mean_iou"]


def test_float32_is_not_rounded_to_tf32() -> None:
    """TF32 keeps 10 bits of each factor: products would be off by 1e-3 and sums of 4096 of them by about 1e-4."""
    device = choose_runtime(RuntimeConfig(device=DEVICE)).device  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.rand(1, 4096, 16, 16, generator=generator).to(device) for _ in range(2))
    kernel_OI11 = other[0].flatten(1).T[:, :, None, None].contiguous()
    for found, exact in (
        (torch.nn.functional.conv2d(one, kernel_OI11), torch.nn.functional.conv2d(one.double(), kernel_OI11.double())),
        (kernel_OI11[:, :, 0, 0] @ one[0].flatten(1), kernel_OI11[:, :, 0, 0].double() @ one[0].flatten(1).double()),
    ):
        assert float(((found - exact) / exact).abs().max()) < 2e-5


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_for_a_gpu_lie_in_pinned_memory(workers: int) -> None:
    scenes = Shapes(ShapesConfig(size_px=192, num_val=3), "val")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batches = validation_batches(scenes, batch=1, workers=workers, pin_memory=True)
        assert all(batch.images_B3HW.is_pinned() and batch.labels_BHW.is_pinned() for batch in batches)
