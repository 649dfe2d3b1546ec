"""Say what a dilation schedule sees and costs, before anything is trained.

python analyze.py 'model.context.dilations=[2,4,8]'                       any schedule
python analyze.py context=dilation10 frontend=vgg16                       a named one on the paper's front end
python analyze.py context=large num_classes=11 'crop_px=[360,480]' output=DIR

python analyze.py runs=runs/sweeps/NAME                                   the leaderboard of a sweep, from disk
python analyze.py runs=runs/sweeps/NAME 'against=[8,8,8,8]'               every schedule compared with this one

Prints a table, and leaves analysis.json and coverage.png in `output`.
"""

import sys
from dataclasses import asdict
from pathlib import Path

import hydra
from omegaconf import DictConfig

from assembly.command import Command
from configs.compose import HYDRA_VERSION
from configs.errors import OK, UserError
from configs.schema import AnalyzeConfig

ANALYSIS_NAME, PICTURE_NAME = "analysis.json", "coverage.png"


@hydra.main(version_base=HYDRA_VERSION, config_path="configs", config_name="analyze")
def main(composition: DictConfig) -> float:
    return COMMAND.task(composition)


def run(config: AnalyzeConfig) -> int:
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
    from engine.reporting.score_files import make_output
    from engine.runs.files import write_json
    from models.analysis import analysis_of, analysis_page
    from models.coverage import path_counts
    from models.training_cost import training_bytes, training_page

    output = results(config)
    make_output(output)
    analysis, taken = analysis_of(config), training_bytes(config)
    dilations = config.model.context.dilations
    counts = [path_counts(dilations[:depth]) for depth in range(1, len(dilations) + 1)]
    write_json(output / ANALYSIS_NAME, {**asdict(analysis), "training_bytes": taken})
    write_png(output / PICTURE_NAME, coverage_figure(dilations, counts))
    print(f"{analysis_page(analysis)}\n\n{training_page(config, taken)}")
    print(f"\n{ANALYSIS_NAME} and {PICTURE_NAME} are in {output}")
    return OK


def compare(runs: str, against: list[int]) -> int:
    """The leaderboard of a folder of runs, from what they left on disk."""
    from engine.reporting.leaderboard import NAME, write_leaderboard

    rows = write_leaderboard(Path(runs), against)
    if not rows:
        raise UserError(f"runs={runs}: no finished run with a context module lies below it; give a sweep's folder")
    print((Path(runs) / f"{NAME}.md").read_text())
    print(f"{NAME}.md, .csv, .json and .png are in {runs}, the tests in comparisons.json")
    return OK


def results(config: AnalyzeConfig) -> Path:
    """The folder that a command writes to."""
    return Path(config.output if config.runs is None else config.runs)


COMMAND = Command(AnalyzeConfig, run, results=results)

if __name__ == "__main__":
    sys.exit(COMMAND.start(main))
