"""Write one page of HTML on a run, on several side by side, or on a sweep.

    python report.py runs=runs/NAME                                      report.html in the run's folder
    python report.py 'runs=[runs/A,runs/B]' output=FILE.html             B compared with A
    python report.py runs=runs/sweeps/NAME                               the leaderboard, and the best in detail
    python report.py runs=runs/sweeps/NAME 'against=[8,8,8,8]'           all compared with this schedule

The file needs no network and no other file, and weighs less than 5 MB. A few validation images are answered anew by the
runs' checkpoints (num_pictures=0 answers none); what is not there any more, the page says in its place.
"""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from assembly.command import Command
from configs.compose import HYDRA_VERSION
from configs.errors import OK
from configs.schema import ReportConfig

REPORT_NAME, SUFFIX = "report.html", ".html"


@hydra.main(version_base=HYDRA_VERSION, config_path="configs", config_name="report")
def main(composition: DictConfig) -> float:
    return COMMAND.task(composition)


def run(request: ReportConfig) -> int:
    # Imported here and below, so that a typo on the command line is answered before torch is loaded.
    from engine.process.exits import guarded

    return guarded(lambda: report(request), "set num_pictures=0, or report on fewer runs")


def report(request: ReportConfig) -> int:
    """Read, lay out, write; returns the exit code."""
    from assembly.report import report_page
    from data.names import readable
    from engine.reporting.report.page import html
    from engine.reporting.score_files import make_output
    from engine.runs.files import write_text

    target = page_file(request)
    page = report_page(request)
    make_output(target.parent)
    text = html(page)
    write_text(target, text)
    for problem in page.problems:
        print(readable(problem), file=sys.stderr)
    print(f"{readable(page.headline)}\n{readable(target)} ({len(text.encode()) / 1e6:.1f} MB)")
    return OK


def page_file(request: ReportConfig) -> Path:
    if request.output is not None:
        path = Path(request.output)
        return path if path.suffix == SUFFIX and not path.is_dir() else path / REPORT_NAME
    return Path(request.runs[0] if len(request.runs) == 1 else "runs") / REPORT_NAME


def results(request: ReportConfig) -> Path:
    """The folder of the page."""
    return page_file(request).parent


COMMAND = Command(ReportConfig, run, results=results)

if __name__ == "__main__":
    sys.exit(COMMAND.start(main))
