"""A network in figures and in a few lines: what it sees, what it costs."""

from collections.abc import Sequence
from typing import TypedDict

from configs.schema import ModelConfig, ValidationConfig
from models import geometry
from models.cost import context_cost
from models.coverage import coverage, verdict
from models.layers import context_layers, frontend_layers


class NetworkGeometry(TypedDict):
    """Sizes of a front end, alone and followed by the context module; every checkpoint carries them."""

    stride: int
    margin_px: int
    node_offset_px: float
    frontend_field_px: int
    context_field_cells: int
    field_px: int


class ScheduleFigures(TypedDict):
    """What a context module sees and costs; every checkpoint of a run that trains one carries them."""

    dilations: list[int]
    widths: list[int]
    field_cells: int
    field_px: int
    holes_per_axis: int
    gcd: int
    parameters: int
    multiply_adds: int


def network_geometry(config: ModelConfig) -> NetworkGeometry:
    before, after = frontend_layers(config.frontend, config.padding), context_layers(config.context)
    return {
        "stride": geometry.stride(before),
        "margin_px": geometry.margin(before),
        "node_offset_px": config.node_offset_px,
        "frontend_field_px": geometry.receptive_field(before),
        "context_field_cells": geometry.receptive_field(after),
        "field_px": geometry.receptive_field([*before, *after]),
    }


def schedule_figures(config: ModelConfig, num_classes: int, crop_px: Sequence[int]) -> ScheduleFigures:
    """For one crop (height, width)."""
    covered, cost = coverage(config.context.dilations), context_cost(config, num_classes, crop_px)
    return {
        "dilations": config.context.dilations,
        "widths": config.context.widths,
        "field_cells": covered.field_cells,
        "field_px": network_geometry(config)["field_px"],
        "holes_per_axis": covered.holes_per_axis,
        "gcd": covered.gcd,
        "parameters": cost.parameters,
        "multiply_adds": cost.multiply_adds,
    }


def schedule_verdict(config: ModelConfig, crop_px: Sequence[int]) -> list[str]:
    """The judgement on the schedule in a few lines, for crops of (height, width)."""
    shape = network_geometry(config)
    return verdict(config.context, field_px=shape["field_px"], stride=shape["stride"], crop_px=crop_px)


def network_line(config: ModelConfig) -> str:
    shape = network_geometry(config)
    return (
        f"network: the front end sees {shape['frontend_field_px']} px; dilations {config.context.dilations} see "
        f"{shape['context_field_cells']} cells, {shape['field_px']} px in all; stride {shape['stride']}, "
        f"margin {shape['margin_px']} px"
    )


def tiling_line(config: ModelConfig, validation: ValidationConfig, *, has_context: bool) -> str:
    """Where tiles must answer as the whole image does, and where they cannot; empty for whole images.

    The margin covers the front end; what the context module sees beyond a tile are zeros.
    """
    if validation.protocol == "whole":
        return ""
    height, width = validation.tile_px
    tiles = f"tiles of {height}x{width}"
    if config.padding == "zero":
        return f"{tiles}: the front end pads each with zeros, so answers near a seam are not those of the whole image"
    if not has_context:
        return f"{tiles}: the margin covers the front end, so they answer as the whole image does"
    reach_px = context_reach_px(config)
    if min(height, width) <= 2 * reach_px:
        return (
            f"{tiles}: the context module sees {reach_px} px to every side, so no answer in an image of several tiles "
            "must be that of the whole image"
        )
    return (
        f"{tiles}: within {reach_px} px of a seam, as far as the context module sees, answers may differ from the "
        "whole image's"
    )


def context_reach_px(config: ModelConfig) -> int:
    """How far the context module sees from its cell, to every side."""
    return geometry.stride(frontend_layers(config.frontend, config.padding)) * sum(config.context.dilations)
