"""Which precision `auto` takes: measured once for each kind of machine, kept on disk, the same on all ranks."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from configs.schema import CacheConfig, RuntimeConfig
from engine.precision import AUTO_PRECISION, Measurement, kept, kept_or_measured, machine, measured_speedup
from engine.runtime import choose_runtime
from tests.helpers import ranks
from tests.helpers.programs import ROOT

MACHINE = {"processor": {"model name": "one"}, "threads": 2, "torch": "2.14.1"}
CPUINFO = "processor: 0\nmodel name: Xeon\ncpu MHz: {mhz}\nflags: fpu avx {flag}\n\nprocessor: 1\nmodel name: other\n"


def never() -> float:
    raise AssertionError("measured again")


def measure_as(*speedups: float) -> Callable[[], float]:
    left = iter(speedups)
    return lambda: next(left)


def the_file(folder: Path) -> Path:
    (file,) = folder.glob("speed-*.json")
    return file


@pytest.mark.parametrize(
    ("speedup", "choice"),
    [(2.0, "bfloat16"), (1.15, "bfloat16"), (1.14, "float32"), (1.0, "float32"), (0.6, "float32"), (0.0, "float32")],
)
def test_bfloat16_is_taken_where_it_is_clearly_faster(speedup: float, choice: str) -> None:
    assert Measurement(speedup).choice == choice


def test_the_line_says_what_the_other_precision_would_give() -> None:
    assert Measurement(1.9).line("bfloat16", "runtime.precision") == (
        "precision: bfloat16, measured 1.9 times as fast as float32 here; runtime.precision=float32 chooses the other"
    )
    assert Measurement(0.5).line("float32", "precision") == (
        "precision: float32, measured 2 times as fast as bfloat16 here; precision=bfloat16 chooses the other"
    )
    assert "measured 0.5 times as fast as float32" in Measurement(0.5).line("bfloat16", "precision"), "set by hand"
    assert "0.91 times as fast as bfloat16" in Measurement(1.1).line("float32", "precision")
    assert "from 1.15 times on" in Measurement(1.1).line("float32", "precision"), "why the slower one was taken"
    assert Measurement(0.0).line("float32", "precision") == "precision: float32; bfloat16 is far too slow here"


def test_what_was_measured_once_is_read_ever_after(tmp_path: Path) -> None:
    root = tmp_path / "not" / "there" / "yet"
    assert kept(root, MACHINE) is None
    assert kept_or_measured(root, MACHINE, measure_as(1.9)) == Measurement(1.9)
    assert kept_or_measured(root, MACHINE, never) == kept(root, MACHINE) == Measurement(1.9)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"identity"',
        b"\xff\xfe",
        b"[]",
        b"7",
        b"{}",
        b"[" * 100_000,
        json.dumps({"identity": MACHINE, "speedup": "1.9"}).encode(),
        json.dumps({"identity": MACHINE, "speedup": -1.0}).encode(),
        json.dumps({"identity": MACHINE, "speedup": float("nan")}).encode(),
        json.dumps({"identity": {**MACHINE, "threads": 3}, "speedup": 1.9}).encode(),
    ],
)
def test_a_damaged_or_foreign_file_is_measured_again(tmp_path: Path, content: bytes) -> None:
    kept_or_measured(tmp_path, MACHINE, measure_as(1.9))
    the_file(tmp_path).write_bytes(content)
    assert kept_or_measured(tmp_path, MACHINE, measure_as(0.6)) == Measurement(0.6)
    assert kept_or_measured(tmp_path, MACHINE, never) == Measurement(0.6), "and kept in its place"


@pytest.mark.parametrize("key", ["processor", "threads", "torch"])
def test_another_machine_is_measured_for_itself(tmp_path: Path, key: str) -> None:
    other = {**MACHINE, key: "another"}
    kept_or_measured(tmp_path, MACHINE, measure_as(1.9))
    assert kept(tmp_path, other) is None
    assert kept_or_measured(tmp_path, other, measure_as(0.6)) == Measurement(0.6)
    assert kept_or_measured(tmp_path, MACHINE, never) == Measurement(1.9), "beside it"


def test_a_machine_is_its_processor_threads_and_torch(tmp_path: Path) -> None:
    def described(mhz: str = "2300", flag: str = "amx_tile", threads: int = 2) -> dict[str, Any]:
        (tmp_path / "cpuinfo").write_text(CPUINFO.format(mhz=mhz, flag=flag))
        return machine(threads, tmp_path / "cpuinfo")

    assert described(mhz="2300") == described(mhz="3100"), "what changes from one look to the next"
    assert described() != described(flag="avx512f") and described() != described(threads=1)
    assert described()["processor"]["model name"] == "Xeon" and described()["processor"]["flags"] == "amx_tile avx"
    assert described()["torch"] == str(torch.__version__)
    assert machine(2, tmp_path / "absent")["processor"], "a system that does not show it has at least an architecture"


def test_a_place_that_takes_no_file_is_no_error_and_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    found = kept_or_measured(tmp_path / "file", MACHINE, measure_as(1.9))
    assert found.speedup == 1.9
    assert str(tmp_path / "file") in found.line("bfloat16", "precision")
    kept_or_measured(tmp_path, MACHINE, measure_as(1.9))
    file = the_file(tmp_path)
    file.unlink()
    file.mkdir()
    found = kept_or_measured(tmp_path, MACHINE, measure_as(0.6))  # measured once, although it cannot be written
    assert found.speedup == 0.6 and "speed-" in found.complaint


def test_of_several_that_ask_at_once_one_measures(tmp_path: Path) -> None:
    """Each would find another speed; they wait for one another by open files, as processes do."""
    all_there, speedups = threading.Barrier(4), measure_as(1.1, 1.2, 1.3, 1.4)

    def slowly() -> float:
        time.sleep(0.5)
        return speedups()

    def ask(_: int) -> Measurement:
        all_there.wait()
        return kept_or_measured(tmp_path, MACHINE, slowly)

    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(ask, range(4))] == 4 * [Measurement(1.1)]


def test_measuring_leaves_the_run_s_random_numbers_and_gives_a_speed() -> None:
    before = torch.get_rng_state()
    assert 0 <= measured_speedup() < 1000
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_takes_what_is_kept_and_measures_nothing_where_the_user_has_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(AUTO_PRECISION)
    cache = CacheConfig(root=str(tmp_path / "cache"))
    auto = RuntimeConfig(device="cpu", threads=1)
    by_hand = RuntimeConfig(device="cpu", threads=1, precision="float32")
    chosen = choose_runtime(by_hand, cache=cache)
    assert chosen.precision_line("precision") == "" and not (tmp_path / "cache").exists()

    kept_or_measured(tmp_path / "cache", machine(1), measure_as(2.0))
    assert choose_runtime(auto, cache=cache).precision == "bfloat16"
    chosen = choose_runtime(by_hand, cache=cache)
    assert chosen.precision == "float32" and "0.5 times as fast as bfloat16" in chosen.precision_line("precision")
    monkeypatch.setenv(AUTO_PRECISION, "float32")
    assert choose_runtime(auto, cache=cache).precision == "float32", "the environment wins"


# Each rank has a disk of its own, on which the other precision was the faster one, and says what it computes in.
PROGRAM = """
import os, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])

from configs.schema import CacheConfig, RuntimeConfig
from engine.precision import AUTO_PRECISION, kept_or_measured, machine
from engine.process.ranks import ranks_of_torchrun
from engine.runtime import choose_runtime

with ranks_of_torchrun() as ranks:
    os.environ.pop(AUTO_PRECISION, None)
    cache = CacheConfig(root=f"disk{ranks.rank}")
    kept_or_measured(Path(cache.root), machine(1), lambda: [2.0, 0.5][ranks.rank])
    config = RuntimeConfig(device="cpu", threads=1)
    measured = choose_runtime(config, ranks, cache).precision
    os.environ[AUTO_PRECISION] = ["float32", "bfloat16"][ranks.rank]
    requested = choose_runtime(config, ranks, cache).precision
    Path(f"rank{ranks.rank}").write_text(f"{measured} {requested}")
"""


def test_all_ranks_compute_in_what_the_first_has_found(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    code, output = ranks.run(tmp_path, 2, str(program), str(ROOT))
    assert code == 0, output
    assert [(tmp_path / f"rank{number}").read_text() for number in (0, 1)] == 2 * ["bfloat16 float32"]
