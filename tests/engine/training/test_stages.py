"""The stages on a network small enough to stop at every step: resuming is exact, order and hand-over are right."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from configs.errors import UserError
from configs.schema import (
    OptimizerConfig,
    RunConfig,
    RuntimeConfig,
    ScheduleConfig,
    StageConfig,
    ValidationConfig,
)
from data.loaders import Batch
from engine.contracts import TrainBatch
from engine.listener import SilentListener
from engine.process.stop import Stopped, StopRequest
from engine.runs import checkpoint
from engine.runs.folder import RunFolder
from engine.runs.progress import Progress
from engine.runtime import Runtime, choose_runtime
from engine.training.loop import DivergedError
from engine.training.random_state import restore_random_state
from engine.training.stages import Plan, StageRunner
from tests.helpers.headers import run_header, schedule_figures

STAGES = ["frontend", "context", "joint"]
STEPS = 4


class Tiny(nn.Module):
    """A DenseModel with a dropout, so that the random state matters."""

    stride, margin_px, node_offset_px, num_classes, head = 8, 0, 0.0, 3, "interpolated"

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.frontend = nn.Sequential(nn.Conv2d(3, 8, 8, stride=8), nn.ReLU(), nn.Dropout(0.3), nn.Conv2d(8, 3, 1))
        self.context: nn.Module | None = None

    def insert_context(self, context: nn.Module) -> None:
        self.context = context

    def freeze(self, *, frontend: bool, blocks: int) -> None:
        self.frontend.requires_grad_(not frontend)

    def checkpoint_activations(self, is_on: bool) -> None: ...

    def frontend_maps(self, images_B3HW: Tensor) -> Tensor:
        maps: Tensor = self.frontend(images_B3HW.float() / 255)
        return maps

    def forward(self, images_B3HW: Tensor) -> Tensor:
        maps = self.frontend_maps(images_B3HW)
        return maps if self.context is None else self.context(maps)


def fresh_context(_: int) -> nn.Module:
    context = nn.Conv2d(3, 3, 1, bias=False)
    nn.init.eye_(context.weight[:, :, 0, 0])
    return context


def sample(number: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(number)
    image = torch.randint(0, 256, (3, 16, 16), generator=generator, dtype=torch.uint8)
    return image, (image[0] > 127).byte()


def batch_of(numbers: Iterable[int]) -> Batch:
    images, labels = zip(*map(sample, numbers), strict=True)
    return Batch(torch.stack(images), torch.stack(labels), [str(number) for number in numbers])


def setting(ema_decay: float = 0.0, **changes: Any) -> StageConfig:
    optimizer = OptimizerConfig(name="adamw", ema_decay=ema_decay)
    schedule = ScheduleConfig(name="poly")
    values = {"steps": STEPS, "lr": 1e-2, "batch": 4, "accumulation": 2, "validate_steps": 3, **changes}
    return StageConfig(optimizer=optimizer, schedule=schedule, **values)


class Speed(SilentListener):
    """Keeps the seconds of every step, and the stages whose first batch was reported."""

    def __init__(self) -> None:
        self.took_s: list[float] = []
        self.waited_s: list[float] = []
        self.begun: list[str] = []

    def first_batch(self, progress: Progress, batch: TrainBatch) -> None:
        self.begun.append(progress.stage)

    def step_done(self, progress: Progress, *, took_s: float, waited_s: float, **_: Any) -> None:
        assert 0 <= waited_s <= took_s
        self.took_s.append(took_s)
        self.waited_s.append(waited_s)


class Sitting:
    """One process' worth of a run in `path`, stopped when micro-batch number `stop_at` (over all stages) is read.

    Every micro-batch is waited for `data_s` seconds; `validation` gives the batches that are scored.
    """

    def __init__(
        self,
        path: Path,
        stop_at: int | None = None,
        stages: list[str] = STAGES,
        data_s: float = 0.0,
        validation: Callable[[], list[Batch]] = lambda: [batch_of([10**6, 10**6 + 1])],
        listener: Speed | None = None,
        **changes: Any,
    ) -> None:
        self.folder = RunFolder(path)
        self.folder.acquire()
        self.stop = StopRequest()
        self.read = 0
        resumed = self.folder.load_newest(print)
        model = Tiny()
        if resumed and any(name.startswith("context") for name in resumed["model"]):
            model.insert_context(fresh_context(0))
        if resumed:
            model.load_state_dict(resumed["model"])
        progress = Progress.from_plain(resumed["progress"]) if resumed else Progress(STAGES[0])
        self.listener = listener or Speed()

        def batches(_: str, __: StageConfig, seed: int) -> Any:
            def stream(first: int, last: int) -> Iterator[Batch]:
                for number in range(first, last):
                    if self.read == stop_at:
                        self.stop.is_requested = True
                    self.read += 1
                    time.sleep(data_s)
                    yield batch_of([seed + 2 * number, seed + 2 * number + 1])

            return stream

        plan = Plan(
            stages=stages,
            settings={stage: setting(**changes) for stage in stages},
            validation=ValidationConfig(),
            run=RunConfig(num_pictures=1, save_steps=2),
            seed=1,
            make_context=fresh_context,
            train_batches=batches,
            validation_batches=validation,
            kept_maps=lambda *_: None,
            memory_lines=lambda *_: (),
            shared_frontend=None,
            header=run_header(schedule=schedule_figures([1])),
        )
        runtime = choose_runtime(RuntimeConfig(precision="float32", threads=1))
        self.model, self.progress = model, progress
        try:
            StageRunner(plan, model, progress, self.folder, runtime, self.listener, self.stop).run(resumed)
        finally:
            self.folder.close()


def assert_equal(one: Any, other: Any, where: str = "") -> None:
    """Whole checkpoints at tolerance 0; wall-clock seconds aside."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            if key != "seconds":
                assert_equal(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_equal(left, right, f"{where}[{index}]")
    elif isinstance(one, Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return Sitting(tmp_path_factory.mktemp("runs") / "whole").folder


@pytest.mark.parametrize("stop_at", range(2 * STEPS * len(STAGES)))
def test_a_run_stopped_anywhere_ends_with_the_same_bits(stop_at: int, tmp_path: Path, uninterrupted: RunFolder) -> None:
    with pytest.raises(Stopped):
        Sitting(tmp_path, stop_at)
    Sitting(tmp_path)
    for name in ("last.pt", "best.pt", "frontend.pt", "context.pt", "joint.pt"):
        assert_equal(checkpoint.load(tmp_path / name), checkpoint.load(uninterrupted.path / name), name)


def test_three_sittings_in_a_chain_end_with_the_same_bits(tmp_path: Path, uninterrupted: RunFolder) -> None:
    for stop_at in (5, 6, 3):
        with pytest.raises(Stopped):
            Sitting(tmp_path, stop_at)
    Sitting(tmp_path)
    assert_equal(checkpoint.load(tmp_path / "last.pt"), checkpoint.load(uninterrupted.last))


def test_the_first_batch_of_a_stage_is_reported_once_whatever_interrupts_it(tmp_path: Path) -> None:
    listener = Speed()
    for stop_at in (1, 5):
        with pytest.raises(Stopped):
            Sitting(tmp_path, stop_at, listener=listener)
    Sitting(tmp_path, listener=listener)
    assert listener.begun == STAGES


def test_other_steps_give_other_bits(tmp_path: Path, uninterrupted: RunFolder) -> None:
    Sitting(tmp_path, steps=STEPS + 1)
    with pytest.raises(AssertionError):
        assert_equal(checkpoint.load(tmp_path / "last.pt")["model"], checkpoint.load(uninterrupted.last)["model"])


def test_validating_more_often_changes_no_training_bit(tmp_path: Path) -> None:
    """Within a stage; the next one starts from the best weights that were seen."""
    Sitting(tmp_path / "often", stages=["frontend"], validate_steps=1)
    Sitting(tmp_path / "seldom", stages=["frontend"], validate_steps=STEPS)
    often, seldom = (checkpoint.load(tmp_path / name / "last.pt") for name in ("often", "seldom"))
    for part in ("model", "optimizer", "rng"):
        assert_equal(often[part], seldom[part], part)


def test_averages_are_scored_kept_and_handed_on_and_go_on_after_a_break(tmp_path: Path) -> None:
    """Training goes on from the weights themselves: the front end learns what it learns without averages."""
    plain, whole = Sitting(tmp_path / "plain"), Sitting(tmp_path / "whole", ema_decay=0.9)
    without, with_averages = (checkpoint.load(sitting.folder.last) for sitting in (plain, whole))
    assert not torch.equal(without["model"]["frontend.0.weight"], with_averages["model"]["frontend.0.weight"])
    alone = {
        name: Sitting(tmp_path / name, stages=["frontend"], validate_steps=STEPS, ema_decay=decay)
        for name, decay in (("one", 0.0), ("other", 0.9))
    }
    assert_equal(*(checkpoint.load(sitting.folder.last)["model"] for sitting in alone.values()))
    best, last = (checkpoint.load(alone["other"].folder.path / name) for name in ("frontend.pt", "last.pt"))
    averages = [state["average"] for state in last["optimizer"]["state"].values()]
    assert any(torch.equal(best["model"]["frontend.0.weight"], average) for average in averages)
    assert not torch.equal(best["model"]["frontend.0.weight"], last["model"]["frontend.0.weight"])
    for stop_at in (3, 9, 17):
        folder = tmp_path / f"broken-{stop_at}"
        with pytest.raises(Stopped):
            Sitting(folder, stop_at=stop_at, ema_decay=0.9)
        Sitting(folder, ema_decay=0.9)
        assert_equal(checkpoint.load(folder / "last.pt"), with_averages)


def test_a_finished_run_takes_no_further_step(tmp_path: Path) -> None:
    first = Sitting(tmp_path)
    again = Sitting(tmp_path)
    assert again.read == 0
    assert_equal(again.progress.to_plain(), first.progress.to_plain())


def test_stages_hand_on_their_best_weights_and_the_context_leaves_the_front_end_alone(uninterrupted: RunFolder) -> None:
    frontend = checkpoint.load(uninterrupted.path / "frontend.pt")["model"]
    context = checkpoint.load(uninterrupted.path / "context.pt")["model"]
    joint = checkpoint.load(uninterrupted.path / "joint.pt")["model"]
    assert all(torch.equal(context[name], tensor) for name, tensor in frontend.items())
    assert not torch.equal(joint["frontend.0.weight"], context["frontend.0.weight"])
    assert "context.weight" in context and "context.weight" not in frontend


def test_best_is_the_best_of_all_stages(uninterrupted: RunFolder) -> None:
    progress = checkpoint.load(uninterrupted.last)["progress"]
    best = checkpoint.load(uninterrupted.best)["progress"]
    results = {name: result["mean_iou"] for name, result in progress["results"].items()}
    assert results[best["stage"]] == max(results.values())


def test_an_identity_is_certified(uninterrupted: RunFolder) -> None:
    identity = checkpoint.load(uninterrupted.last)["progress"]["identity"]
    assert identity["agreement"] == 1 and identity["before"] == identity["after"]


def test_the_steps_before_a_validation_are_safe_whatever_it_ends_in(tmp_path: Path, uninterrupted: RunFolder) -> None:
    def broken() -> list[Batch]:
        raise UserError("val/images/9.jpg: cannot be decoded")

    with pytest.raises(UserError, match="cannot be decoded"):
        Sitting(tmp_path, validation=broken)
    assert checkpoint.load(tmp_path / "last.pt")["progress"]["step"] == 3, "validated after three steps"
    Sitting(tmp_path)
    assert_equal(checkpoint.load(tmp_path / "last.pt"), checkpoint.load(uninterrupted.last))


def test_seconds_are_wall_time_waiting_for_data_and_validating_included(tmp_path: Path) -> None:
    def slow() -> list[Batch]:
        time.sleep(0.1)
        return [batch_of([10**6])]

    wait_s = 0.05
    began_s = time.perf_counter()
    whole = Sitting(tmp_path / "whole", stages=["frontend"], data_s=wait_s, validation=slow)
    elapsed_s = time.perf_counter() - began_s
    least_s = 2 * STEPS * wait_s + 2 * 0.1  # micro-batches and validations
    assert least_s < whole.progress.results["frontend"].seconds <= elapsed_s
    assert len(whole.listener.took_s) == STEPS
    assert all(2 * wait_s <= waited_s for waited_s in whole.listener.waited_s)
    with pytest.raises(Stopped):
        Sitting(tmp_path / "broken", stop_at=4, stages=["frontend"], data_s=wait_s, validation=slow)
    time.sleep(0.3)  # between two sittings no time passes
    rest = Sitting(tmp_path / "broken", stages=["frontend"], data_s=wait_s, validation=slow)
    assert least_s < rest.progress.results["frontend"].seconds < elapsed_s + 0.3


def test_a_finished_run_keeps_each_weight_as_seldom_as_it_can(tmp_path: Path) -> None:
    sitting = Sitting(tmp_path)
    best = checkpoint.load(sitting.folder.best)["progress"]["stage"]
    assert sitting.folder.best.samefile(sitting.folder.stage_file(best))
    sitting.folder.finish({})
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == [
        "best.pt", "context.pt", "frontend.pt", "joint.pt", "last.pt"
    ]  # fmt: skip


def test_a_run_of_a_cpu_goes_on_where_its_random_state_has_no_gpu_s(tmp_path: Path) -> None:
    """The other device's generators get a seed; nothing is looked up that is not there."""
    with pytest.raises(Stopped):
        Sitting(tmp_path, stop_at=3)
    rng = checkpoint.load(tmp_path / "last.pt")["rng"]
    assert rng.keys() == {"torch"}
    restore_random_state(rng, Runtime(torch.device("cuda"), "float32", 1), seed=1)
    assert torch.equal(torch.get_rng_state(), rng["torch"])


def test_divergence_stops_the_run_with_advice_and_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        Sitting(tmp_path, stop_at=5)
    with pytest.raises(DivergedError, match=r"frontend step \d+, learning rate .* lower stage\.frontend\.lr"):
        Sitting(tmp_path, lr=10.0, steps=400, validate_steps=1000)
    weights = checkpoint.load(tmp_path / "last.pt")["model"]
    assert all(bool(tensor.isfinite().all()) for tensor in weights.values())
