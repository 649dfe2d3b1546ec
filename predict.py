"""Label images with a trained network.

python predict.py checkpoint=runs/NAME/best.pt input=IMAGE output=DIR             DIR/<stem>.png, the class ids
python predict.py checkpoint=FILE input=FOLDER output=DIR protocol=tiles          every image below a folder
python predict.py checkpoint=FILE.caffemodel model=dilation8_voc input=IMAGE output=DIR protocol=authors

Each label map is a gray PNG (mode L) of the image's size, its values the positions of the classes. A photograph that
EXIF says is to be turned is labelled upright, and its map turned back: it lies on the pixels as they stand in the file.
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

    return guarded(lambda: label(request), "answer in pieces: protocol=tiles 'tile_px=[256,256]'")


def label(request: PredictConfig) -> int:
    """Load, answer, write; returns the exit code."""
    import torch
    from tqdm import tqdm

    from assembly.trained import restore
    from configs.errors import OK, UserError
    from data.inputs import read_photograph, requests, write_ids
    from data.names import readable
    from engine.evaluation.answers import answer
    from engine.runtime import choose_runtime

    to_label = requests(Path(request.input), results(request))
    trained = restore(request)
    runtime = choose_runtime(trained.config.runtime)
    model = trained.model.to(runtime.device).eval()
    print(f"{trained.description}\non {runtime.describe()}", flush=True)
    left_out = []
    with torch.inference_mode(), runtime.autocast():
        for image, target in tqdm(to_label, unit="image", disable=not sys.stderr.isatty()):
            try:
                photograph = read_photograph(image)
            except UserError as error:
                print(f"left out: {error}", file=sys.stderr)
                left_out.append(error.exit_code)
                continue
            images_13HW = torch.from_numpy(photograph.upright_HW3).permute(2, 0, 1)[None]
            ids_HW = answer(model, trained.config.validation, runtime, images_13HW).ids_BHW[0]
            write_ids(target, photograph.on_file_grid(ids_HW.cpu().numpy()))
    names = ", ".join(f"{position} {name}" for position, name in enumerate(trained.classes.names))
    num_written = len(to_label) - len(left_out)
    print(f"{num_written} of {len(to_label)} label maps are in {readable(request.output)}; ids: {names}")
    return max(left_out, default=OK)


def results(request: PredictConfig) -> Path:
    """The folder of the label maps."""
    return Path(request.output)


COMMAND = Command(PredictConfig, run, results=results)

if __name__ == "__main__":
    sys.exit(COMMAND.start(main))
