"""The built-in scenes against the computed geometry of the networks they are for."""

from configs.compose import compose
from data.shapes import TWIN_FARTHEST_PX, TWIN_NEAREST_PX
from models.describe import network_geometry


def half_field_px(*overrides: str) -> float:
    """How far from its own pixel an answer can look: half the field, and a cell for the grid."""
    return network_geometry(compose(overrides).model)["field_px"] / 2


def test_the_sky_is_out_of_sight_for_dilations_of_1_and_in_sight_for_the_default_module() -> None:
    stride = network_geometry(compose().model)["stride"]
    assert half_field_px("context=local") + stride < TWIN_NEAREST_PX
    assert half_field_px("model.context.dilations=[1,1,1,1,1,1,1]") + stride < TWIN_NEAREST_PX
    assert half_field_px() - stride > TWIN_FARTHEST_PX


def test_the_front_end_alone_sees_no_sky_either() -> None:
    geometry = network_geometry(compose().model)
    assert geometry["frontend_field_px"] / 2 + geometry["stride"] < TWIN_NEAREST_PX
