"""How training scales: the arithmetic of what is measured, with numbers that are given; and that everything runs."""

import itertools
import json
import os
from pathlib import Path

import pytest

from benchmarks import growth, paper
from benchmarks.harness import Run, Series
from benchmarks.laws import Growth
from benchmarks.ranks import CASES, NUM_CLASSES, TimedRanks, measured
from benchmarks.scale import Axis, Quantity, content, list_axes, paper_cases, rank_row, rank_table, step_axes
from configs.compose import compose
from configs.schema import AugmentConfig, ModelConfig, StageConfig
from engine.process.ranks import ALONE
from models.cost import network_parameters


def launched(*step_s: float, images: int = 8) -> Series:
    values = [
        {"images_per_s": images / s, "adding_share": s / 10, "waiting_share": 0.01, "gradient_bytes": 4e6}
        for s in step_s
    ]
    return Series([Run(s, 0.0, 0.0, value) for s, value in zip(step_s, values, strict=True)])


def test_two_processes_are_compared_with_one_round_by_round() -> None:
    row = rank_row("small", one=launched(2.0, 4.0, 2.0), two=launched(1.0, 4.0, 2.0))
    assert row.images_per_s == (4.0, 4.0)  # medians of 4, 2, 4 and of 8, 2, 4
    assert (row.ratio, row.spread) == (1.0, 0.5)  # 2, 1 and 1 times faster
    assert row.adding_share == pytest.approx(0.2)
    assert "| small | 4 | 4 | 1.00 ± 0.50 | 20.0% | 1.0% | 4 MB |" in rank_table([row], threads=2)


def test_waiting_for_others_is_told_from_adding_up() -> None:
    times = iter([0.0, 3.0, 3.5])
    ranks = TimedRanks(clock=lambda: next(times))
    ranks.add_gradients([])
    assert (ranks.waits_s, ranks.sums_s) == ([3.0], [0.5])


def test_a_process_alone_takes_the_steps_that_are_measured() -> None:
    result = measured(CASES["small"]._replace(crop_px=32, images=2, steps=1), ALONE)
    assert result["processes"] == 1 and result["images_per_s"] == pytest.approx(2 / result["step_s"])
    config = compose(list(CASES["small"].words)).model
    assert result["gradient_bytes"] == 4 * network_parameters(config, NUM_CLASSES)


def test_points_of_an_axis_are_those_that_ended() -> None:
    runs = {px: Series([Run(px / 10, 100.0 + px, 0.0), Run(px / 10, 90.0, 0.0)]) for px in (1, 2)}
    quantities = [
        Quantity("seconds", "s", lambda series: series.median_s, "area", 1.0, lambda side: side**2),
        Quantity("peak", "MiB", lambda series: max(run.peak_mib for run in series.runs), "side", 2.0),
    ]
    axis = Axis(dict.fromkeys((1, 2, 3)), quantities)  # type: ignore[arg-type]  # nothing is measured
    seconds, peak = axis.growths({**runs, 3: Series(at_least_s=240.0)})
    assert seconds.points == [(1, 0.1), (4, 0.2)] and seconds.exponent == 1
    assert peak.points == [(1, 101.0), (2, 102.0)] and (peak.unit, peak.exponent) == ("MiB", 2)


def line(name: str, constant: float, factor: float, unit: str = "s") -> tuple[str, Growth]:
    return name, Growth(name, "x", unit, [(x, constant + factor * x) for x in (1.0, 2.0, 3.0)])


def case(**changes: object) -> paper.Case:
    whole: dict[str, object] = {
        "name": "a set", "num_images": 1000, "size_px": (64, 128), "num_classes": 10,
        "model": ModelConfig(padding="zero"), "crop_px": (64, 64), "context": StageConfig(mirror="cells"),
        "augment": AugmentConfig(),
    }  # fmt: skip
    return paper.Case(**{**whole, **changes})  # type: ignore[arg-type]


def test_laws_are_multiplied_as_the_set_asks() -> None:
    growths = dict([
        line(paper.OPEN, 1.0, 0.1), line(paper.START, 5.0, 0.01), line(paper.WORKER, 0.0, 2e3, "B"),
        line(paper.READ, 0.0, 1e-6), line(paper.CHECKPOINT, 0.0, 8.0, "B"),
    ])  # fmt: skip
    found = {what: (value, how) for what, value, how in paper.amounts(case(), growths)}
    assert found["to the first step"] == ("15 s", "start-up at 1e+03, 3.3e+02 times the largest measured")
    assert found["memory of 2 readers for themselves"][0] == "4 MB"
    assert found["an epoch's reading, one process"][0] == "8.19 s"  # 1000 x 64 x 128 px at a microsecond
    assert found["memory and disk of class counts"][0] == "80 kB"  # 1000 x 10 x 8 B
    last = 8.0 * network_parameters(case().model, 10)  # weights, momentum
    assert found["last.pt"][0] == paper.shown_bytes(last)
    assert found["last.pt, its predecessor, and three stages' files"][0] == paper.shown_bytes(3.5 * last)
    assert "a step on one crop" not in found  # was not measured
    assert not any("memory of a step" in what for what in found)


def test_kept_maps_are_counted_by_hand() -> None:
    # 8 x 16 cells; 10 classes in float32 and a target of one byte.
    assert paper.class_map_bytes(case()) == 8 * 16 * (10 * 4 + 1)
    assert paper.class_map_bytes(case(context=StageConfig(mirror="pixels"))) == 2 * 8 * 16 * (10 * 4 + 1)
    # Block 3 of VGG-16 has 256 channels, and a padded map has no margin; an image, its mirror image, their labels.
    assert paper.block_map_bytes(case()) == 2 * (8 * 16 * 256 * 4 + 64 * 128)


def test_cityscapes_is_reckoned_at_the_size_that_its_recipe_is_trained_on() -> None:
    cityscapes, photographs = paper_cases()
    assert cityscapes.input_px == [1396, 1396] and cityscapes.num_classes == 19
    assert (photographs.num_images, photographs.size_px, photographs.num_classes) == (10**6, (375, 500), 150)


def test_the_file_holds_everything_and_is_json() -> None:
    steps = line(paper.STEP, 1.0, 0.1)[1]
    row = rank_row("small", one=launched(2.0), two=launched(1.0))
    text = json.dumps(content(True, 2, [row], [steps], ["NOT MEASURED: this"]), allow_nan=False)
    found = json.loads(text)
    assert found["growths"][0]["law"]["factor"] == pytest.approx(0.1)
    assert found["processes"][0]["ratio"] == 2 and found["on paper"]["Cityscapes"]
    assert found["not measured"] == ["NOT MEASURED: this"] and found["header"]["quick"]


def test_names_are_given_once(tmp_path: Path) -> None:
    axes = itertools.chain(step_axes(1, quick=True), list_axes(tmp_path, quick=True))
    names = [quantity.name for axis in axes for quantity in axis.quantities]
    assert len(names) == len(set(names)) and {paper.STEP, paper.STEP_MEMORY, paper.HELD, paper.START} <= set(names)


def test_a_list_is_opened_read_and_counted(tmp_path: Path) -> None:
    growth.make_list(tmp_path, 60)
    files = list((tmp_path / "train" / "labels").iterdir())
    assert len(files) == 60 and len({file.stat().st_ino for file in files}) == 1
    assert growth.opened(str(tmp_path))() >= 0
    for what in ("identity", "digest", "sizes", "counts"):
        growth.read_once(str(tmp_path), what)()


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="this system does not say what is shared")
def test_a_reader_is_seen_to_take_memory(tmp_path: Path) -> None:
    growth.make_list(tmp_path, 60)
    assert isinstance(growth.worker_growth(str(tmp_path), 2)(), float)
    assert growth.private_bytes(os.getpid()) > 10**6 and growth.private_bytes(2**30) == 0


def test_a_step_is_taken_at_every_size() -> None:
    growth.joint_step(["frontend=small", "context=basic"], 32, 2, 5)()
    growth.context_step([1, 2, 4], 8, 2, 5)()
    assert growth.saved(["frontend=small"], 5)() > 4 * 2 * 100_000  # weights and momentum, float32


def test_pictures_of_a_size_are_read_and_counted() -> None:
    growth.samples_read(100, 60)()
    growth.labels_counted(100, 60)()


@pytest.mark.slow
def test_runs_leave_files_and_reach_their_first_step(tmp_path: Path) -> None:
    growth.make_list(tmp_path, 16)
    files = growth.run_files(str(tmp_path))()
    assert all(files[kind] > 0 for kind in ("run folder", "maps", "counts"))
    assert growth.first_step(str(tmp_path))() > 10**8
