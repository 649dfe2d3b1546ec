"""The network's shapes, borders, preprocessing and freezing."""

from typing import get_args

import pytest
import torch

from configs.schema import ContextConfig, ContextPadding, FrontendConfig, ModelConfig, Padding
from models import geometry
from models.build import build_context, build_segmenter, restore_segmenter
from models.frontend import Frontend
from models.segmenter import Segmenter
from tests.helpers.networks import tiny_frontend

MEAN = (120.0, 110.0, 100.0)


def build(config: ModelConfig, num_classes: int = 5) -> Segmenter:
    segmenter, _ = build_segmenter(config, num_classes, MEAN, seed=0)
    return segmenter.eval()


def randomized(segmenter: Segmenter) -> Segmenter:
    """Weights large enough everywhere that every layer matters to the output."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in segmenter.parameters():
            fan_in = parameter[0].numel() if parameter.dim() == 4 else 16
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (2 / fan_in) ** 0.5)
    return segmenter


def test_full_width_front_end_has_134_346_581_parameters() -> None:
    with torch.device("meta"):
        network = Frontend(FrontendConfig(), 21, "reflect")
    assert sum(parameter.numel() for parameter in network.parameters()) == 134_346_581


@pytest.mark.parametrize(("widths", "count"), [([], 28_392), ([2, 2, 4, 8, 16, 32, 32], 6_803_139)])
def test_basic_and_large_have_the_papers_parameters(widths: list[int], count: int) -> None:
    module = build_context(ModelConfig(context=ContextConfig(widths=widths)), 21, seed=0)
    assert sum(parameter.numel() for parameter in module.parameters()) == count


@pytest.mark.parametrize("padding", get_args(Padding))
@pytest.mark.parametrize("size", [(64, 80), (61, 83)])
def test_output_has_the_computed_size(padding: Padding, size: tuple[int, int]) -> None:
    segmenter = build(ModelConfig(frontend=tiny_frontend(), padding=padding))
    height, width = (side + 2 * segmenter.margin_px for side in size)
    logits = segmenter(torch.zeros(2, 3, height, width, dtype=torch.uint8))
    assert logits.shape == (2, 5, -(-size[0] // 8), -(-size[1] // 8))


def test_two_front_ends_of_one_shape_and_other_dilations_have_digests_of_their_own() -> None:
    """The same weights, but margins of 39, 31 and 0 px: their maps differ."""
    configs = [
        ModelConfig(frontend=tiny_frontend()),
        ModelConfig(frontend=tiny_frontend(fc6_dilation=1)),
        ModelConfig(frontend=tiny_frontend(), padding="zero"),
    ]
    networks = [build(config) for config in configs]
    assert len({network.margin_px for network in networks}) == 3
    assert len({network.frontend_digest() for network in networks}) == 3
    for network in networks[1:]:
        assert all(torch.equal(one, other) for one, other in zip(
            network.state_dict().values(), networks[0].state_dict().values(), strict=True))  # fmt: skip
    assert build(configs[0]).frontend_digest() == networks[0].frontend_digest()


@pytest.mark.parametrize("context_padding", get_args(ContextPadding))
def test_context_keeps_the_size_of_its_maps(context_padding: ContextPadding) -> None:
    config = ModelConfig(context=ContextConfig(dilations=[1, 2, 4], padding=context_padding))
    assert build_context(config, 3, seed=0)(torch.zeros(1, 3, 9, 12)).shape == (1, 3, 9, 12)


def test_one_pixel_reaches_exactly_the_computed_field() -> None:
    """Gradients of one output cell fill the receptive field and nothing beyond it."""
    config = ModelConfig(frontend=tiny_frontend(), context=ContextConfig(dilations=[1, 2]))
    segmenter = build(config)
    segmenter.insert_context(build_context(config, 5, seed=0))
    randomized(segmenter.double())
    layers = [*segmenter.frontend.layers, *segmenter.context.layers]  # type: ignore[union-attr]
    side = 8 * 24 + 2 * segmenter.margin_px
    reached = torch.zeros(side, side, dtype=torch.bool)
    for seed in range(8):  # pooling and ReLU pass a gradient to some of their inputs only
        torch.manual_seed(seed)
        image = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
        maps = segmenter.context(segmenter.frontend(image * 4))  # type: ignore[misc]
        maps[0, :, 12, 12].sum().backward()
        reached |= image.grad[0].abs().sum(0) > 0  # type: ignore[index]
    rows = reached.any(1).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == geometry.receptive_field(layers)
    centre = (int(rows[0]) + int(rows[-1])) / 2 - segmenter.margin_px
    assert centre == 8 * 12 + 3.5


def test_mean_is_the_models_own_and_rides_in_its_state() -> None:
    segmenter = build(ModelConfig(frontend=tiny_frontend()))
    assert segmenter.state_dict()["mean_rgb"].flatten().tolist() == list(MEAN)
    other = build(ModelConfig(frontend=tiny_frontend(), mean_rgb=[1.0, 2.0, 3.0]))
    assert other.state_dict()["mean_rgb"].flatten().tolist() == [1.0, 2.0, 3.0]


def test_fresh_basic_context_is_relu_bit_for_bit() -> None:
    maps = torch.randn(2, 4, 20, 20)
    context = build_context(ModelConfig(), 4, seed=0)
    assert torch.equal(context(maps), maps.relu())


def test_frozen_front_end_has_no_gradient_and_no_dropout() -> None:
    config = ModelConfig(frontend=tiny_frontend())
    segmenter = build(config)
    segmenter.insert_context(build_context(config, 5, seed=0))
    segmenter.freeze(frontend=True, blocks=0)
    segmenter.train()
    side = 64 + 2 * segmenter.margin_px
    images = torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8)
    assert torch.equal(segmenter.frontend_maps(images), segmenter.frontend_maps(images))
    segmenter(images).sum().backward()
    assert all(parameter.grad is None for parameter in segmenter.frontend.parameters())
    assert any(parameter.grad is not None for parameter in segmenter.context.parameters())  # type: ignore[union-attr]
    segmenter.freeze(frontend=False, blocks=0)
    assert segmenter.frontend.training


def test_frozen_blocks_keep_their_weights_and_the_rest_learns() -> None:
    segmenter = build(ModelConfig(frontend=tiny_frontend()))
    segmenter.freeze(frontend=False, blocks=2)
    learning = {name.split(".")[0] for name, p in segmenter.frontend.named_parameters() if p.requires_grad}
    assert learning == {"conv3_1", "conv4_1", "fc6", "fc7", "final"}


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("frozen_frontend", "frozen_blocks"), [(False, 0), (False, 2), (True, 0)])
def test_checkpointed_activations_change_no_bit_of_logits_and_gradients(
    frozen_frontend: bool, frozen_blocks: int, precision: torch.dtype
) -> None:
    """Dropout included: its masks are drawn again from where the generator was, which then stands where it stood."""
    config = ModelConfig(frontend=tiny_frontend(dropout=0.5), context=ContextConfig(dilations=[1, 2]))
    segmenter = build(config)
    segmenter.insert_context(build_context(config, 5, seed=0))
    randomized(segmenter).train()
    segmenter.freeze(frontend=frozen_frontend, blocks=frozen_blocks)
    side = 64 + 2 * segmenter.margin_px
    images = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8)
    results, drawn_afterwards = [], []
    for is_on in (False, True):
        segmenter.checkpoint_activations(is_on)
        segmenter.zero_grad()
        torch.manual_seed(7)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            logits = segmenter(images)
        logits.float().logsumexp(1).sum().backward()
        gradients = {name: p.grad for name, p in segmenter.named_parameters() if p.grad is not None}
        results.append({"logits": logits.detach(), **gradients})
        drawn_afterwards.append(torch.rand(8))
    plain, checkpointed = results
    assert plain.keys() == checkpointed.keys()
    assert all(torch.equal(plain[name], checkpointed[name]) for name in plain)
    assert torch.equal(*drawn_afterwards)


def test_restored_network_gives_the_same_bits() -> None:
    config = ModelConfig(frontend=tiny_frontend())
    segmenter = build(config)
    segmenter.insert_context(build_context(config, 5, seed=0))
    randomized(segmenter)
    restored = restore_segmenter(config, 5, segmenter.state_dict()).eval()
    side = 64 + 2 * segmenter.margin_px
    images = torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8)
    assert torch.equal(restored(images), segmenter(images))


def test_another_architecture_is_refused_with_names_and_shapes() -> None:
    state = build(ModelConfig(frontend=tiny_frontend())).state_dict()
    with pytest.raises(ValueError, match=r"final\.weight: \(5, 16, 1, 1\) in the file, \(6, 16, 1, 1\) in the network"):
        restore_segmenter(ModelConfig(frontend=tiny_frontend()), 6, state)
