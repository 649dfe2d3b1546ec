"""Write a trained network for other programs, and compare every file with it.

python export.py checkpoint=runs/NAME/best.pt output=DIR                                   all three formats
python export.py checkpoint=FILE output=DIR 'formats=[onnx]' probabilities=true image=PHOTOGRAPH
python export.py checkpoint=FILE.caffemodel model=dilation8_voc output=DIR                 a released network

model.safetensors serves in place of a checkpoint; model.onnx and model.pt2 need nothing of this project. They take
uint8 RGB images (B, 3, H, W) of any size, and answer with class ids (B, H, W) as protocol=whole does in float32.
export.json says what was compared, and as "resize" at what size the network was trained to see images.
"""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from assembly.command import Command
from configs.compose import HYDRA_VERSION
from configs.schema import ExportConfig

REPORT_NAME = "export.json"


@hydra.main(version_base=HYDRA_VERSION, config_path="configs", config_name="export")
def main(composition: DictConfig) -> float:
    return COMMAND.task(composition)


def run(request: ExportConfig) -> int:
    # Imported here and below, so that a typo on the command line is answered before torch is loaded.
    from engine.process.exits import guarded

    return guarded(lambda: export(request), "compare on a smaller photograph: image=FILE")


def export(request: ExportConfig) -> int:
    """Load, write, compare, report; returns the exit code."""
    from assembly.exporting import EXPORTED, Exporter, comparison_images, export_report, introduction
    from assembly.labeller import Labeller
    from assembly.trained import restore
    from configs.errors import OK
    from configs.schema import RuntimeConfig
    from data.photographs import read_photograph
    from data.shapes import draw
    from engine.reporting.score_files import make_output
    from engine.runs.files import write_json
    from engine.runtime import choose_runtime

    folder = results(request)
    choose_runtime(RuntimeConfig(device="cpu", precision="float32", threads=request.threads))
    photograph = read_photograph(Path(request.image)).upright_HW3 if request.image else draw("val", 0, 256)[0]
    changes = {"checkpoint": request.checkpoint, "model": request.model}
    trained = restore(EXPORTED.model_copy(update=changes))
    labeller = Labeller(trained.model, trained.classes, with_probabilities=request.probabilities)
    make_output(folder)
    print(introduction(trained), flush=True)
    exporter = Exporter(trained, labeller, comparison_images(photograph), folder, request.opset)
    files = []
    for format in dict.fromkeys(request.formats):
        files.append(exporter.export(format))
        print(files[-1], flush=True)
    write_json(folder / REPORT_NAME, export_report(request, trained, files))
    print(f"compared on {request.image or 'a built-in scene'}; the files and {REPORT_NAME} are in {folder}")
    return OK


def results(request: ExportConfig) -> Path:
    """The folder of the files."""
    return Path(request.output)


COMMAND = Command(ExportConfig, run, results=results)

if __name__ == "__main__":
    sys.exit(COMMAND.start(main))
