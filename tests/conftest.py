"""What every test may rely on: `precision=auto` means one thing on every processor, and a test that needs a GPU has
one.
"""

import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--precision",
        choices=("float32", "bfloat16"),
        help="what precision=auto means in the tests; by itself what AUTO_PRECISION says, else float32",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Of this process and of all that it starts."""
    precision = config.getoption("--precision") or os.environ.get("AUTO_PRECISION", "float32")
    os.environ["AUTO_PRECISION"] = precision


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="torch sees no GPU here"))
