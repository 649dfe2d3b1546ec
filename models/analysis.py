"""All that is known of a network before it is trained: what analyze.py writes and prints."""

from dataclasses import astuple, dataclass

from configs.schema import AnalyzeConfig, ModelConfig
from models import geometry
from models.cost import Cost, context_cost, frontend_cost, map_cells
from models.coverage import coverage
from models.describe import network_geometry, schedule_verdict
from models.layers import context_layers, frontend_layers


@dataclass(frozen=True)
class LayerFigures:
    """A 3x3 layer of the context module; its fields are those of all layers up to it."""

    name: str
    dilation: int
    extent_cells: int  # of its kernel
    field_cells: int
    field_px: int  # from the image on


@dataclass(frozen=True)
class Analysis:
    """The content of analysis.json. What a schedule costs stands at the top: the context module's figures."""

    dilations: list[int]
    num_classes: int
    crop_px: list[int]  # height, width
    map_cells: tuple[int, int]
    receptive_field_cells: list[int]  # after each layer
    receptive_field_px: int
    frontend_field_px: int
    stride: int
    layers: list[LayerFigures]
    holes_per_axis: int
    hole_offsets: list[int]
    gcd: int
    hdc_m2: int | None
    path_counts: list[int]
    path_spread: float
    sigma_cells: float
    parameters: int
    multiply_adds: int
    activation_bytes: int
    frontend: Cost
    network: Cost
    verdict: list[str]


def analysis_of(config: AnalyzeConfig) -> Analysis:
    model, crop_px, layers = config.model, config.crop_px, _layer_figures(config.model)
    shape, covered = network_geometry(model), coverage(model.context.dilations)
    before, own = (cost(model, config.num_classes, crop_px) for cost in (frontend_cost, context_cost))
    return Analysis(
        dilations=model.context.dilations,
        num_classes=config.num_classes,
        crop_px=crop_px,
        map_cells=map_cells(model, crop_px),
        receptive_field_cells=[layer.field_cells for layer in layers],
        receptive_field_px=shape["field_px"],
        frontend_field_px=shape["frontend_field_px"],
        stride=shape["stride"],
        layers=layers,
        holes_per_axis=covered.holes_per_axis,
        hole_offsets=covered.hole_offsets,
        gcd=covered.gcd,
        hdc_m2=covered.hdc_m2,
        path_counts=covered.path_counts,
        path_spread=covered.path_spread,
        sigma_cells=covered.sigma_cells,
        parameters=own.parameters,
        multiply_adds=own.multiply_adds,
        activation_bytes=own.activation_bytes,
        frontend=before,
        network=before + own,
        verdict=schedule_verdict(model, crop_px),
    )


def analysis_page(analysis: Analysis) -> str:
    """The figures as people read them."""
    rows = [
        ["layer", "dilation", "kernel extent, cells", "field, cells", "field, px"],
        ["front end", "", "", "1", str(analysis.frontend_field_px)],
        *([str(figure) for figure in astuple(layer)] for layer in analysis.layers),
    ]
    m2 = "none, one layer" if analysis.hdc_m2 is None else analysis.hdc_m2
    coverage_lines = [
        f"holes per axis      {analysis.holes_per_axis} of {analysis.receptive_field_cells[-1]} cells",
        f"common factor, gcd  {analysis.gcd}",
        f"HDC's M_2           {m2}",
        f"path-count spread   {analysis.path_spread:.2f} (standard deviation / mean along an axis)",
        f"uniform sigma       {analysis.sigma_cells:.2f} cells",
    ]
    parts = (analysis.frontend, analysis, analysis.network)
    costs = [
        ["", "front end", "context", "both"],
        ["parameters", *(f"{part.parameters:,}" for part in parts)],
        ["multiply-adds", *(f"{part.multiply_adds:,}" for part in parts)],
        ["activations, MiB", *(f"{part.activation_bytes / 2**20:,.1f}" for part in parts)],
    ]
    crop, cells = (" x ".join(map(str, size)) for size in (analysis.crop_px, analysis.map_cells))
    title = f"cost of one image: {analysis.num_classes} classes, crop of {crop} px, map of {cells} cells, float32"
    return "\n".join([*aligned(rows), "", *coverage_lines, "", title, *aligned(costs), "", *analysis.verdict])


def _layer_figures(model: ModelConfig) -> list[LayerFigures]:
    """Of every 3x3 layer of the context module; the 1x1 after them sees no more than they do."""
    before = frontend_layers(model.frontend, model.padding)
    layers = context_layers(model.context)[: len(model.context.dilations)]
    return [
        LayerFigures(
            layer.name,
            layer.dilation,
            extent_cells=layer.extent,
            field_cells=geometry.receptive_field(layers[:depth]),
            field_px=geometry.receptive_field([*before, *layers[:depth]]),
        )
        for depth, layer in enumerate(layers, start=1)
    ]


def aligned(rows: list[list[str]]) -> list[str]:
    """Columns of text: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows)
    return ["  ".join(line) for line in lines]
