import pytest

from configs.schema import FrontendConfig


@pytest.fixture
def tiny_frontend() -> FrontendConfig:
    """Narrow and short, but with every kind of layer."""
    return FrontendConfig(
        depths=[1, 1, 1, 1], channels=[8, 8, 8, 8], dilations=[1, 1, 1, 2], fc6_kernel=3, fc6_dilation=2, fc_channels=16
    )
