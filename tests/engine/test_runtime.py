"""Device, precision and threads."""

import pytest
import torch

from configs.errors import UserError
from configs.schema import RuntimeConfig
from engine.precision import AUTO_PRECISION
from engine.runtime import choose_runtime


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_environment_may_define_automatic_precision(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(AUTO_PRECISION, precision)
    assert choose_runtime(RuntimeConfig(threads=1)).precision == precision
    chosen = choose_runtime(RuntimeConfig(threads=1, precision="float32"))
    assert chosen.precision == "float32", "what the config says needs no environment"
    monkeypatch.setenv(AUTO_PRECISION, "half")
    with pytest.raises(UserError, match="AUTO_PRECISION=half: float32 or bfloat16"):
        choose_runtime(RuntimeConfig(threads=1))


def test_a_gpu_is_set_to_repeatable_bits_and_to_float32() -> None:
    torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32 = False, True
    choose_runtime(RuntimeConfig(threads=1))
    assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32


def test_automatic_choices_are_resolved() -> None:
    runtime = choose_runtime(RuntimeConfig(threads=1))
    assert runtime.precision in ("float32", "bfloat16") and runtime.threads == torch.get_num_threads() == 1
