"""What people read: tables, exit codes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from configs.errors import UserError
from configs.schema import RuntimeConfig
from engine.process.exits import guarded
from engine.reporting.score_table import stage_table
from engine.runs import checkpoint
from engine.runs.progress import Progress, StageResult
from engine.runtime import AUTO_PRECISION, choose_runtime
from engine.training.loop import DivergedError, LossWatch


def result(mean_iou: float, class_iou: list[float | None]) -> StageResult:
    return StageResult(mean_iou, 0.9, 0.8, class_iou, best_step=1, steps=1, seconds=1.0)


def test_table_shows_absent_classes_as_na_the_count_and_the_gain() -> None:
    results = {"frontend": result(0.5, [0.5, None]), "context": result(0.625, [0.75, 0.5])}
    lines = [line.split() for line in stage_table(["road", "tree"], results).splitlines()]
    assert ["tree", "n/a", "50.0"] in lines
    assert ["over", "classes", "1", "of", "2", "2", "of", "2"] in lines
    assert ["context", "over", "frontend:", "+12.5", "points", "of", "mean", "IoU"] in lines


def test_users_errors_are_one_message_and_faults_show_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def library_fault() -> int:
        functional.conv2d(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 1, 1), padding="nonsense")  # type: ignore[call-overload]
        return 0

    def our_message() -> int:
        raise UserError("data.root=/x: no such folder")

    def damaged() -> int:
        checkpoint.load(Path(__file__))
        return 0

    def fault_in_our_lines() -> int:
        np.zeros(2) + np.zeros(3)  # a ValueError, raised in a frame of this project
        return 0

    assert guarded(lambda: 0, "") == 0
    assert guarded(our_message, "") == 2
    assert capsys.readouterr().err.endswith(": data.root=/x: no such folder\n")
    assert guarded(damaged, "") == 3
    assert "Traceback" not in capsys.readouterr().err
    for fault in (library_fault, fault_in_our_lines):
        assert guarded(fault, "") == 1
        assert "Traceback" in capsys.readouterr().err


def test_a_lack_of_memory_is_answered_with_settings_that_this_command_has(capsys: pytest.CaptureFixture[str]) -> None:
    def on_a_cpu() -> int:
        torch.empty(2**60, dtype=torch.uint8)
        return 0

    def on_a_gpu() -> int:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB")

    for lack in (on_a_cpu, on_a_gpu):
        assert guarded(lack, "set batch=1") == 1
        printed = capsys.readouterr().err
        assert "out of memory: set batch=1 (" in printed and "Traceback" not in printed


def test_a_loss_far_above_guessing_and_one_that_is_no_number_stop_the_run() -> None:
    progress = Progress("frontend", step=41)
    watch = LossWatch(num_classes=11)
    for _ in range(10):
        watch.check(2.4, 1.0, progress, 1e-3)
    with pytest.raises(DivergedError, match=r"frontend step 42, learning rate 1\.00e-03.*stage\.frontend\.lr"):
        for _ in range(20):
            watch.check(60.0, 1.0, progress, 1e-3)
    for loss, norm in ((float("nan"), 1.0), (1.0, float("inf"))):
        with pytest.raises(DivergedError):
            LossWatch(num_classes=11).check(loss, norm, progress, 1e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_environment_may_say_what_automatic_precision_means(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(AUTO_PRECISION, precision)
    assert choose_runtime(RuntimeConfig(threads=1)).precision == precision
    chosen = choose_runtime(RuntimeConfig(threads=1, precision="float32"))
    assert chosen.precision == "float32", "what the config says needs no environment"
    monkeypatch.setenv(AUTO_PRECISION, "half")
    with pytest.raises(UserError, match="AUTO_PRECISION=half: float32 or bfloat16"):
        choose_runtime(RuntimeConfig(threads=1))


def test_a_gpu_is_asked_for_the_same_bits_and_for_float32() -> None:
    torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32 = False, True
    choose_runtime(RuntimeConfig(threads=1))
    assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32


def test_automatic_choices_are_resolved() -> None:
    runtime = choose_runtime(RuntimeConfig(threads=1))
    assert runtime.precision in ("float32", "bfloat16") and runtime.threads == torch.get_num_threads() == 1
