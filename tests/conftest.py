"""What every test may rely on: `precision=auto` means one thing on every processor."""

import os

import pytest

PRECISIONS = ("float32", "bfloat16")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--precision",
        choices=PRECISIONS,
        help="what runtime.precision=auto means in the tests (default: what this processor multiplies fast)",
    )


def pytest_configure(config: pytest.Config) -> None:
    precision = config.getoption("--precision")
    if precision:
        os.environ["AUTO_PRECISION"] = precision  # of this process and of all that it starts
