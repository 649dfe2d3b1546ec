"""What of a GPU bits depend on stands in headers and in the names of what is shared."""

from pathlib import Path

import pytest
import torch

from engine.gpu import driver_version, gpu_versions
from engine.runs.shared_frontend import SharedFrontend
from engine.runtime import Runtime
from tests.helpers.headers import run_header
from tests.helpers.programs import run_code

GPU = torch.device("cuda")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC 12",
            "550.54.15",
        ),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (x)", "580.65.06"),
        ("something else", "unknown"),
    ],
)
def test_the_driver_is_read_where_the_kernel_shows_it(text: str, version: str, tmp_path: Path) -> None:
    (tmp_path / "version").write_text(text)
    assert driver_version(tmp_path / "version") == version
    assert driver_version(tmp_path / "absent") == "unknown"


def test_a_front_end_of_another_gpu_is_another_front_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def key(name: str) -> str:
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
        header = run_header(runtime=Runtime(GPU, "bfloat16", 2).to_plain())
        assert header.runtime["gpu"] == name and header.runtime.keys() > gpu_versions(GPU).keys()
        return SharedFrontend.of(tmp_path, header, [], {}, print, lambda: None).key

    assert key("NVIDIA A100") == key("NVIDIA A100") != key("NVIDIA H100")


def test_a_cpu_has_no_versions_of_a_gpu() -> None:
    assert Runtime(torch.device("cpu"), "float32", 2).to_plain() == {
        "device": "cpu", "precision": "float32", "threads": 2
    }  # fmt: skip


def test_what_a_sweep_s_jobs_are_forked_from_has_not_looked_for_a_gpu() -> None:
    """After a look, CUDA cannot be used in a forked process."""
    script = """
import importlib, sys, torch
def look(*_):
    sys.exit("looked for a GPU")
torch.cuda.is_available = torch.cuda.device_count = torch._C._cuda_getDeviceCount = look
from train import JOB_MODULES
for name in JOB_MODULES:
    importlib.import_module(name)
if len(sys.argv) > 1:
    from configs.schema import RuntimeConfig
    from engine.runtime import choose_runtime
    choose_runtime(RuntimeConfig())
"""
    assert run_code(script).returncode == 0
    assert "looked for a GPU" in run_code(script, Path("too")).stderr, "a run does"
