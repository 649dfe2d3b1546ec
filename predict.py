"""Label images and videos with a trained network.

python predict.py checkpoint=runs/NAME/best.pt input=IMAGE output=DIR          DIR/ids/, DIR/overlays/
python predict.py checkpoint=FILE input=FOLDER output=DIR protocol=tiles       every image and video below a folder
python predict.py checkpoint=FILE 'input=photos/**/*.jpg' resize.long_px=960   a pattern; the network sees 960 px
python predict.py checkpoint=FILE input=drive.mp4 'outputs=[ids,confidence]'   a video: a file for each frame
python predict.py checkpoint=FILE.caffemodel model=dilation8_voc protocol=authors input=IMAGE output=DIR

What is finished is not done again. A photograph that EXIF says is to be turned is labelled upright, and its maps turned
back: they lie on the pixels as they stand in the file.
"""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from assembly.command import Command
from configs.compose import HYDRA_VERSION
from configs.schema import PredictConfig


@hydra.main(version_base=HYDRA_VERSION, config_path="configs", config_name="predict")
def main(composition: DictConfig) -> float:
    return COMMAND.task(composition)


def run(request: PredictConfig) -> int:
    # Imported here and below, so that a typo on the command line is answered before torch is loaded.
    from engine.process.exits import guarded

    return guarded(lambda: label(request), "look at the image smaller, for example resize.long_px=1024")


def label(request: PredictConfig) -> int:
    """Find, load, answer, report; returns the exit code."""
    from assembly.finished import Finished
    from assembly.prediction_record import begin, record_of
    from assembly.predictions import joined, label_inputs
    from assembly.predictor import Predictor, file_ids
    from assembly.trained import restore, runtime_lines
    from data.inputs import find_inputs
    from data.names import readable
    from data.resize import resize_line
    from data.results import Results
    from engine.process.ranks import ranks_of_torchrun
    from engine.runtime import choose_runtime

    folders = Results(results(request), request.outputs)
    folders.require_own_folders()
    inputs = find_inputs(request.input)
    folders.require_outside([item.file for item in inputs])
    with ranks_of_torchrun() as ranks:
        trained = restore(request)
        runtime = choose_runtime(trained.config.runtime, ranks, trained.config.cache)
        trained.model.to(runtime.device).eval()
        values = file_ids(trained, request.ids)
        record = record_of(request, trained, runtime, values)
        ranks.of_first(lambda: begin(folders, record, request.overwrite))
        lines = [trained.description, *runtime_lines(trained, runtime), resize_line(trained.config.data.resize)]
        if ranks.is_first:
            print("\n".join(filter(None, lines)), flush=True)

        predictor = Predictor(trained, runtime, request.ids)
        own = inputs[ranks.rank :: ranks.size]
        report = joined(ranks.gather(label_inputs(own, folders, predictor, Finished(folders.finished))))
    if ranks.is_first:
        print(f"{report}\nresults are in {folders}")
    if ranks.is_first and "ids" in request.outputs:
        pairs = zip(values, trained.classes.names, strict=True)
        print("ids: " + ", ".join(f"{value} {readable(name)}" for value, name in pairs))
    return report.exit_code


def results(request: PredictConfig) -> Path:
    """The folder of the results."""
    return Path(request.output)


COMMAND = Command(PredictConfig, run, results=results, is_parallel=True)

if __name__ == "__main__":
    sys.exit(COMMAND.start(main))
