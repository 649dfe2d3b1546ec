"""A network in figures and in a few lines: what it sees, what it costs."""

from collections.abc import Sequence
from typing import Any

from configs.schema import ModelConfig, Padding, Protocol, ValidationConfig
from models import geometry
from models.cost import context_cost
from models.coverage import coverage, verdict
from models.layers import context_layers, frontend_layers


def network_geometry(config: ModelConfig) -> dict[str, float]:
    """Fields in pixels and cells; sizes of a front end alone and followed by the context module."""
    before, after = frontend_layers(config.frontend, config.padding), context_layers(config.context)
    return {
        "stride": geometry.stride(before),
        "margin_px": geometry.margin(before),
        "node_offset_px": config.node_offset_px,
        "frontend_field_px": geometry.receptive_field(before),
        "context_field_cells": geometry.receptive_field(after),
        "field_px": geometry.receptive_field([*before, *after]),
    }


def schedule_figures(config: ModelConfig, num_classes: int, crop_px: Sequence[int]) -> dict[str, Any]:
    """What a context module sees and costs for one crop (height, width): a row of a leaderboard, without its scores."""
    seen, cost = coverage(config.context.dilations), context_cost(config, num_classes, crop_px)
    return {
        "dilations": config.context.dilations,
        "widths": config.context.widths,
        "field_cells": seen.field_cells,
        "field_px": network_geometry(config)["field_px"],
        "holes_per_axis": seen.holes_per_axis,
        "gcd": seen.gcd,
        "parameters": cost.parameters,
        "multiply_adds": cost.multiply_adds,
    }


def schedule_verdict(config: ModelConfig, crop_px: Sequence[int]) -> list[str]:
    """The judgement on the schedule in a few lines, for crops of (height, width)."""
    figures = network_geometry(config)
    field_px, stride = int(figures["field_px"]), int(figures["stride"])
    return verdict(config.context, field_px=field_px, stride=stride, crop_px=crop_px)


def network_line(config: ModelConfig) -> str:
    figures = network_geometry(config)
    return (
        f"network: the front end sees {figures['frontend_field_px']} px; dilations {config.context.dilations} see "
        f"{figures['context_field_cells']} cells, {figures['field_px']} px in all; stride {figures['stride']}, "
        f"margin {figures['margin_px']} px"
    )


def tiling_line(config: ModelConfig, validation: ValidationConfig, *, has_context: bool) -> str:
    """Where tiles must answer as the whole image does, and where they cannot; empty for whole images.

    The margin covers the front end; what the context module sees beyond a tile are zeros.
    """
    if validation.protocol is Protocol.whole:
        return ""
    height, width = validation.tile_px
    tiles = f"tiles of {height}x{width}"
    if config.padding is Padding.zero:
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
