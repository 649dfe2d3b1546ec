"""What crops waste on their margins, and the largest that fits into a memory."""

import pytest

from configs.compose import compose
from configs.schema import AnalyzeConfig, Padding
from models.training_cost import DEVICES, crop_cost, largest_crop_px, training_bytes, training_page


def asked(padding: Padding, **keys: object) -> AnalyzeConfig:
    model = compose(["frontend=vgg16", f"model.padding={padding}"]).model
    return AnalyzeConfig.model_validate({"model": model, **keys})


def test_a_padded_network_wastes_nothing_and_an_unpadded_one_less_in_larger_crops() -> None:
    assert crop_cost(asked("zero"), 64).margin_share == pytest.approx(0, abs=1e-3)
    costs = [crop_cost(asked("reflect"), side_px) for side_px in (64, 128, 512, 2048)]
    shares = [cost.margin_share for cost in costs]
    assert shares == sorted(shares, reverse=True) and 0.8 < shares[0] < 0.9 and shares[-1] < 0.06
    # The scored part is what a padded network computes: the rest is margin.
    scored = crop_cost(asked("zero"), 512).multiply_adds_per_px
    assert costs[2].multiply_adds_per_px * (1 - costs[2].margin_share) == pytest.approx(scored, rel=1e-2)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("padding", ["zero", "reflect"])
def test_the_largest_crop_fits_and_the_next_one_does_not(padding: Padding, device: str) -> None:
    config, memory_bytes = asked(padding), 6 * 2**30
    side_px = largest_crop_px(config, memory_bytes, device)
    assert side_px is not None
    for side, fits in ((side_px, True), (side_px + 8, False)):
        taken = training_bytes(asked(padding, crop_px=[side, side]))[device]["kept"]
        assert (taken <= memory_bytes) == fits


def test_where_no_crop_fits_it_is_said() -> None:
    config = asked("reflect", memory_gib=0.5)  # the weights alone take as much
    assert largest_crop_px(config, 2**29, "cpu float32") is None
    assert training_page(config, training_bytes(config)).count("none fits") == 4
