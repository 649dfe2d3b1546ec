"""What every test may rely on: `precision=auto` means one thing on every processor, and a test that needs a GPU has
one.
"""

import os

import pytest

PRECISIONS = ("float32", "bfloat16")
OTHER = "other"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--precision",
        choices=(*PRECISIONS, OTHER),
        help="what precision=auto means in the tests: by itself what this processor multiplies fast; `other` is the "
        "other one",
    )


def pytest_configure(config: pytest.Config) -> None:
    precision = config.getoption("--precision")
    if precision == OTHER:
        from configs.schema import RuntimeConfig
        from engine.runtime import choose_runtime

        (precision,) = {*PRECISIONS} - {choose_runtime(RuntimeConfig()).precision}
    if precision:
        os.environ["AUTO_PRECISION"] = precision  # of this process and of all that it starts


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="torch sees no GPU here"))
