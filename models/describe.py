"""A network in figures and in a few lines: what it sees, what it costs."""

from configs.schema import ModelConfig
from models import context, frontend, geometry


def network_geometry(config: ModelConfig) -> dict[str, float]:
    """Fields in pixels and cells; sizes of a front end alone and followed by the context module."""
    frontend_layers = frontend.layer_table(config.frontend, config.padding)
    context_layers = context.layer_table(config.context)
    return {
        "stride": geometry.stride(frontend_layers),
        "margin_px": geometry.margin(frontend_layers),
        "node_offset_px": config.node_offset_px,
        "frontend_field_px": geometry.receptive_field(frontend_layers),
        "context_field_cells": geometry.receptive_field(context_layers),
        "field_px": geometry.receptive_field([*frontend_layers, *context_layers]),
    }


def network_line(config: ModelConfig) -> str:
    figures = network_geometry(config)
    return (
        f"network: the front end sees {figures['frontend_field_px']} px; dilations {config.context.dilations} see "
        f"{figures['context_field_cells']} cells, {figures['field_px']} px in all; stride {figures['stride']}, "
        f"margin {figures['margin_px']} px"
    )
