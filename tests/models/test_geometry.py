"""Geometry against the figures of the paper and against counting by hand."""

import pytest

from configs.schema import ContextConfig, FrontendConfig
from models import geometry
from models.geometry import Layer
from models.layers import context_layers, frontend_layers

VGG16 = frontend_layers(FrontendConfig(), "reflect")


def test_vgg16_front_end_sees_380_px_and_needs_a_margin_of_186() -> None:
    assert geometry.receptive_field(VGG16) == 380
    assert geometry.stride(VGG16) == 8
    assert geometry.margin(VGG16) == 186


@pytest.mark.parametrize(("pixels", "cells"), [(500, 16), (628, 32), (852, 60), (900, 66), (1396, 128), (1640, 159)])
def test_output_sizes_are_those_of_the_released_networks(pixels: int, cells: int) -> None:
    assert geometry.out_size(VGG16, pixels) == cells


def test_pooling_rounds_up() -> None:
    assert geometry.out_size([Layer("pool", kernel=2, stride=2)], 5) == 3


@pytest.mark.parametrize(
    ("dilations", "cells"),
    [([1, 1, 2, 4, 8, 1], 35), ([1, 1, 2, 4, 8, 16, 1], 67), ([1, 1, 2, 4, 8, 16, 32, 64, 1], 259), ([2, 4, 8], 29)],
)
def test_context_fields_are_those_of_the_paper(dilations: list[int], cells: int) -> None:
    assert geometry.receptive_field(context_layers(ContextConfig(dilations=dilations))) == cells


@pytest.mark.parametrize(
    ("dilations", "pixels"),
    [([1, 1, 2, 4, 8, 1], 652), ([1, 1, 2, 4, 8, 16, 1], 908), ([1, 1, 2, 4, 8, 16, 32, 64, 1], 2444)],
)
def test_fields_of_front_end_and_context_are_652_908_2444_px(dilations: list[int], pixels: int) -> None:
    layers = [*VGG16, *context_layers(ContextConfig(dilations=dilations))]
    assert geometry.receptive_field(layers) == pixels


def test_zero_padding_needs_no_margin_and_keeps_a_cell_for_each_8_px() -> None:
    padded = frontend_layers(FrontendConfig(), "zero")
    assert geometry.margin(padded) == 0
    assert [geometry.out_size(padded, size) for size in (256, 257, 360)] == [32, 33, 45]


def test_too_small_an_input_has_no_output() -> None:
    assert geometry.out_size(VGG16, 300) == 0
