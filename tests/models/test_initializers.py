"""The identity filler (paper, equations 4 and 5): what it hands on, and the noise it adds."""

import itertools

import pytest
import torch
from torch import Generator, Tensor

from configs.schema import ContextConfig, ModelConfig
from models.build import build_context
from models.context import Context
from models.initializers import identity_

NUM_CLASSES = 21
LARGE = [2, 2, 4, 8, 16, 32, 32]
LAYERS = [*(f"ctx_conv{number}" for number in range(1, 8)), "ctx_final"]
NOISE_STD = 0.01


def large(noise_std: float) -> Context:
    return build_context(ModelConfig(context=ContextConfig(widths=LARGE, noise_std=noise_std)), NUM_CLASSES, seed=0)


def outputs(context: Context, maps: Tensor) -> list[Tensor]:
    """Of every layer, a mean over the channels of each class: (B, C, h, w)."""
    means = []
    for name in LAYERS:
        maps = context.get_submodule(name)(maps)
        maps = maps if name == "ctx_final" else maps.relu()
        means.append(maps.unflatten(1, (NUM_CLASSES, -1)).mean(2))
    return means


def positive_signal() -> Tensor:
    """Whole numbers, so that halves of them and sums of their copies are exact."""
    return torch.randint(1, 1000, (1, NUM_CLASSES, 6, 6), generator=Generator().manual_seed(1)).double()


def test_fresh_basic_changes_no_answer_where_a_logit_is_positive_and_says_class_0_elsewhere() -> None:
    logits = torch.randn(4, NUM_CLASSES, 16, 16, generator=Generator().manual_seed(2)) - 1.5
    answers = build_context(ModelConfig(), NUM_CLASSES, seed=0)(logits).argmax(1)
    positive = logits.amax(1) > 0
    assert 0.05 < float((~positive).float().mean()) < 0.95
    assert torch.equal(answers[positive], logits.argmax(1)[positive])
    assert not answers[~positive].any()


def test_gains_of_fresh_large_are_exactly_those_of_equation_5() -> None:
    """A value copied 2, 2, 4, ... times counts 1/2, 1/2, 1/4, ...; the 1x1 sums 32 copies of 1/32."""
    signal = positive_signal()
    levels = outputs(large(noise_std=0).double(), signal)
    for name, level, gain in zip(LAYERS, levels, [1 / 2, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 32, 1], strict=True):
        assert torch.equal(level, gain * signal), name


def noise_over_signal(context: Context) -> list[float]:
    """After every layer, in rms over all channels, for maps even in space: there a kernel counts by its sum."""
    signal = torch.rand(NUM_CLASSES, 500, generator=Generator().manual_seed(1))
    maps, errors = signal, []
    for name, width in zip(LAYERS, [*LARGE, 1], strict=True):
        maps = context.get_submodule(name).weight.detach().sum((2, 3)) @ maps
        maps = maps if name == "ctx_final" else maps.relu()
        expected = (signal / width).repeat_interleave(width, 0)
        errors.append(float((maps - expected).square().mean().sqrt() / expected.square().mean().sqrt()))
    return errors


def test_noise_drowns_large_unless_it_is_scaled() -> None:
    """Simulated: 1.3 to 1.6 times the signal after the seventh layer; 0.12 to 0.16 after all of them if scaled."""
    context = large(NOISE_STD)
    assert max(noise_over_signal(context)) < 0.2
    generator = Generator().manual_seed(3)
    for name in LAYERS:
        identity_(context.get_submodule(name).weight, NUM_CLASSES, NOISE_STD, generator)
    assert noise_over_signal(context)[6] > 1.2


@pytest.mark.parametrize(("name", "width"), list(zip(LAYERS, [*LARGE, 1], strict=True)))
def test_noise_has_the_fillers_statistics_on_every_tap_but_those_of_the_identity(name: str, width: int) -> None:
    """Mean 0 and std noise_std * C / c_out, each within five standard errors; none on the identity."""
    weight = large(NOISE_STD).get_submodule(name).weight.detach().double()
    std, inputs = NOISE_STD / width, weight.shape[1] // NUM_CLASSES
    own = torch.kron(torch.eye(NUM_CLASSES), torch.ones(width, inputs)).bool()
    middle = weight.shape[-1] // 2
    assert (weight[:, :, middle, middle][own] == 1 / width).all()
    for row, column in itertools.product(range(weight.shape[-1]), repeat=2):
        taps = weight[:, :, row, column]
        noise = taps[~own] if row == column == middle else taps.flatten()
        assert abs(float(noise.mean())) < 5 * std / noise.numel() ** 0.5
        assert abs(float(noise.std()) / std - 1) < 5 / (2 * noise.numel()) ** 0.5
        beyond = float((noise.abs() > 2 * std).double().mean())  # 0.0455 of a Gaussian
        assert abs(beyond - 0.0455) < 5 * (0.0455 / noise.numel()) ** 0.5


def test_channels_that_are_no_multiples_of_the_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"6 -> 4 channels are no multiples of 3 classes"):
        identity_(torch.empty(4, 6, 3, 3), 3, 0.0, Generator())
