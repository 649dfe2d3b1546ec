"""Say what a dilation schedule sees and costs, before anything is trained.

python analyze.py 'model.context.dilations=[2,4,8]'                       any schedule
python analyze.py context=dilation10 frontend=vgg16                       a named one on the paper's front end
python analyze.py context=large num_classes=11 'crop_px=[360,480]' output=DIR

python analyze.py runs=runs/sweeps/NAME                                   the leaderboard of a sweep, from disk
python analyze.py runs=runs/sweeps/NAME 'against=[8,8,8,8]'               every schedule compared with this one

Prints a table, and leaves analysis.json and coverage.png in `output`.
"""

import sys
from pathlib import Path
from typing import Any

from configs.compose import entry_point
from configs.errors import OK, UserError
from configs.schema import AnalyzeConfig, ModelConfig

ANALYSIS_NAME, PICTURE_NAME = "analysis.json", "coverage.png"


def main(config: AnalyzeConfig) -> int:
    # Imported here and below, so that a typo on the command line is answered before torch is loaded.
    from engine.process.exits import guarded

    return guarded(
        lambda: analyze(config) if config.runs is None else compare(config.runs, config.against),
        "compare fewer runs, or give a smaller schedule",
    )


def analyze(config: AnalyzeConfig) -> int:
    """Compute, print, write; returns the exit code."""
    from engine.reporting.coverage_figure import coverage_figure
    from engine.reporting.figures import write_png
    from engine.runs.files import write_json
    from models.coverage import path_counts

    output = results(config)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"output={output} cannot be written ({error.strerror}); set output elsewhere") from error
    found = figures(config)
    dilations = config.model.context.dilations
    counts = [path_counts(dilations[:depth]) for depth in range(1, len(dilations) + 1)]
    write_json(output / ANALYSIS_NAME, found)
    write_png(output / PICTURE_NAME, coverage_figure(dilations, counts))
    print(page(found))
    print(f"\n{ANALYSIS_NAME} and {PICTURE_NAME} are in {output}")
    return OK


def compare(runs: str, against: list[int]) -> int:
    """The leaderboard of a folder of runs, from what they left on disk."""

    from engine.reporting.leaderboard import NAME, write_leaderboard

    rows = write_leaderboard(Path(runs), against)
    if not rows:
        raise UserError(f"runs={runs}: no finished run with a context module lies below it; give a sweep's folder")
    print((Path(runs) / f"{NAME}.md").read_text())
    print(f"leaderboard.md, .csv, .json and .png are in {runs}, the tests in comparisons.json")
    return OK


def results(config: AnalyzeConfig) -> Path:
    """The folder that a command writes to."""
    return Path(config.output if config.runs is None else config.runs)


def figures(config: AnalyzeConfig) -> dict[str, Any]:
    """All that is known of the network, ready for JSON.

    `parameters`, `multiply_adds` and `activation_bytes` at the top are the context module's: what a schedule costs.
    """
    from dataclasses import asdict

    from models.cost import context_cost, frontend_cost, map_cells
    from models.coverage import coverage
    from models.describe import network_geometry, schedule_verdict

    model, crop_px, layers = config.model, config.crop_px, layer_figures(config.model)
    shape, seen = network_geometry(model), coverage(model.context.dilations)
    first, second = (cost(model, config.num_classes, crop_px) for cost in (frontend_cost, context_cost))
    return {
        "dilations": model.context.dilations,
        "num_classes": config.num_classes,
        "crop_px": crop_px,
        "map_cells": map_cells(model, crop_px),
        "receptive_field_cells": [layer["field_cells"] for layer in layers],
        "receptive_field_px": int(shape["field_px"]),
        "frontend_field_px": shape["frontend_field_px"],
        "stride": int(shape["stride"]),
        "layers": layers,
        "holes_per_axis": seen.holes_per_axis,
        "hole_offsets": seen.hole_offsets,
        "gcd": seen.gcd,
        "hdc_m2": seen.hdc_m2,
        "path_counts": seen.path_counts,
        "path_spread": seen.path_spread,
        "sigma_cells": seen.sigma_cells,
        **asdict(second),
        "frontend": asdict(first),
        "network": asdict(first + second),
        "verdict": schedule_verdict(model, crop_px),
    }


def layer_figures(model: ModelConfig) -> list[dict[str, Any]]:
    """Of every 3x3 layer of the context module; the 1x1 after them sees no more than they do."""
    from models import geometry
    from models.layers import context_layers, frontend_layers

    before = frontend_layers(model.frontend, model.padding)
    layers = context_layers(model.context)[: len(model.context.dilations)]
    return [
        {
            "name": layer.name,
            "dilation": layer.dilation,
            "extent_cells": layer.extent,
            "field_cells": geometry.receptive_field(layers[:depth]),
            "field_px": geometry.receptive_field([*before, *layers[:depth]]),
        }
        for depth, layer in enumerate(layers, start=1)
    ]


def page(found: dict[str, Any]) -> str:
    """The figures as people read them."""
    rows = [
        ["layer", "dilation", "kernel extent, cells", "field, cells", "field, px"],
        ["front end", "", "", "1", str(found["frontend_field_px"])],
        *([str(figure) for figure in layer.values()] for layer in found["layers"]),
    ]
    m2 = "none, one layer" if found["hdc_m2"] is None else found["hdc_m2"]
    whole = [
        f"holes per axis      {found['holes_per_axis']} of {found['receptive_field_cells'][-1]} cells",
        f"common factor, gcd  {found['gcd']}",
        f"HDC's M_2           {m2}",
        f"path-count spread   {found['path_spread']:.2f} (standard deviation / mean along an axis)",
        f"uniform sigma       {found['sigma_cells']:.2f} cells",
    ]
    parts = (found["frontend"], found, found["network"])
    costs = [
        ["", "front end", "context", "both"],
        ["parameters", *(f"{part['parameters']:,}" for part in parts)],
        ["multiply-adds", *(f"{part['multiply_adds']:,}" for part in parts)],
        ["activations, MiB", *(f"{part['activation_bytes'] / 2**20:,.1f}" for part in parts)],
    ]
    crop, cells = (" x ".join(map(str, found[key])) for key in ("crop_px", "map_cells"))
    title = f"cost of one image: {found['num_classes']} classes, crop of {crop} px, map of {cells} cells, float32"
    return "\n".join([*_aligned(rows), "", *whole, "", title, *_aligned(costs), "", *found["verdict"]])


def _aligned(rows: list[list[str]]) -> list[str]:
    """Columns of text: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows)
    return ["  ".join(line) for line in lines]


if __name__ == "__main__":
    sys.exit(entry_point("analyze", AnalyzeConfig, main, results=results))
