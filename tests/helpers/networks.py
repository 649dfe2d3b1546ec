"""Networks that are small enough for a test, and random weights for them."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from configs.schema import ContextConfig, FrontendConfig, ModelConfig
from models.context import Context
from models.frontend import Frontend
from tests.helpers.released_networks import RELEASED

NARROW_CHANNELS = [2, 3, 4, 5, 5]


def tiny_frontend(**settings: object) -> FrontendConfig:
    """Four blocks of one layer, a few channels wide, with every kind of layer; with reflection a margin of 39 px."""
    tiny = {"depths": [1, 1, 1, 1], "dilations": [1, 1, 1, 2], "fc6_kernel": 3, "fc6_dilation": 2}
    widths = {"channels": [8, 8, 8, 8], "fc_channels": 16}
    return FrontendConfig(**{**tiny, **widths, **settings})  # type: ignore[arg-type]


def tiny_model_config(**settings: object) -> ModelConfig:
    """That front end, and a context module of two layers."""
    return ModelConfig(frontend=tiny_frontend(), context=ContextConfig(dilations=[1, 2]), **settings)  # type: ignore[arg-type]


def narrow_vgg(**settings: object) -> FrontendConfig:
    """VGG's depths and the paper's 7x7 fc6, a few channels wide."""
    return FrontendConfig(**{"channels": NARROW_CHANNELS, "fc_channels": 6, **settings})  # type: ignore[arg-type]


def narrow_shapes(dilations: Sequence[int], widths: Sequence[int] = ()) -> dict[str, tuple[int, ...]]:
    """The parameters of a narrow VGG of two classes with a context module, by the names of the whole network."""
    frontend = Frontend(narrow_vgg(), 2, "zero")
    context = Context(ContextConfig(dilations=list(dilations), widths=list(widths)), 2, Generator())
    return {
        f"{part}.{name}": tuple(parameter.shape)
        for part, module in (("frontend", frontend), ("context", context))
        for name, parameter in module.named_parameters()
    }


def narrow_blobs(
    network: str, widths: Sequence[int] = ()
) -> tuple[dict[str, list[Tensor]], dict[str, tuple[int, ...]]]:
    """Weight and bias for each layer of a released file, in its order and by its names, and our network's shapes."""
    rows = [row for row in RELEASED[network].rows() if row.kind == "Convolution"]
    shapes = narrow_shapes([row.dilation for row in RELEASED[network].classifier if row.kernel_size == 3], widths)
    weights = [shape for name, shape in shapes.items() if name.endswith(".weight")]
    blobs = {
        row.name: random_convolution(shape[0], shape[1], shape[2], seed)
        for seed, (row, shape) in enumerate(zip(rows, weights, strict=True))
    }
    return blobs, shapes


def random_convolution(out_channels: int, in_channels: int, kernel: int, seed: int = 0) -> list[Tensor]:
    """Weight and bias."""
    generator = Generator().manual_seed(seed)
    shape = (out_channels, in_channels, kernel, kernel)
    return [torch.randn(shape, generator=generator), torch.randn(out_channels, generator=generator)]
