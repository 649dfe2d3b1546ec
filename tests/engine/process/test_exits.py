"""Errors end in an exit code, and in a message or a traceback."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from configs.errors import UserError
from engine.process.exits import guarded
from engine.runs import checkpoint


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


def test_a_lack_of_memory_names_settings_that_this_command_has(capsys: pytest.CaptureFixture[str]) -> None:
    def on_a_cpu() -> int:
        torch.empty(2**60, dtype=torch.uint8)
        return 0

    def on_a_gpu() -> int:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB")

    def of_pinned_memory() -> int:
        raise torch.AcceleratorError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'", 2)

    def of_a_library() -> int:
        raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")

    def of_another() -> int:
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    for lack in (on_a_cpu, on_a_gpu, of_pinned_memory, of_a_library, of_another):
        assert guarded(lack, "set batch=1") == 1
        printed = capsys.readouterr().err
        assert "out of memory: set batch=1 (" in printed and "Traceback" not in printed
