"""Label images with a trained network.

python predict.py checkpoint=runs/NAME/best.pt input=IMAGE output=DIR             DIR/<stem>.png, the class ids
python predict.py checkpoint=FILE input=FOLDER output=DIR protocol=tiles          every image below a folder
python predict.py checkpoint=FILE.caffemodel model=dilation8_voc input=IMAGE output=DIR protocol=authors

Each label map is a gray PNG (mode L) of the image's size, its values the positions of the classes.
"""

import sys

from configs.compose import entry_point
from configs.schema import PredictConfig


def main(told: PredictConfig) -> int:
    # Imported here and below, so that a typo on the command line is answered before torch is loaded.
    from engine.exits import guarded

    return guarded(lambda: label(told), "answer in pieces: protocol=tiles 'tile_px=[256,256]'")


def label(told: PredictConfig) -> int:
    """Load, answer, write; returns the exit code."""
    from pathlib import Path

    import torch
    from tqdm import tqdm

    from configs.errors import DAMAGED_FILE, OK, DamagedFileError
    from data.dataset import read_image
    from data.inputs import requests, write_ids
    from engine.evaluate import predict
    from engine.runtime import choose_runtime
    from restore import restore

    asked = requests(Path(told.input), Path(told.output))
    trained = restore(told)
    runtime = choose_runtime(trained.config.runtime)
    model = trained.model.to(runtime.device).eval()
    print(f"{trained.about}\non {runtime.describe()}", flush=True)
    damaged = 0
    with torch.inference_mode(), runtime.autocast():
        for image, target in tqdm(asked, unit="image", disable=not sys.stderr.isatty()):
            try:
                image_HW3 = read_image(image)
            except DamagedFileError as error:
                print(f"left out: {error}", file=sys.stderr)
                damaged += 1
                continue
            images_13HW = torch.from_numpy(image_HW3).permute(2, 0, 1)[None]
            ids_HW = predict(model, trained.config.validation, runtime, images_13HW)[0]
            write_ids(target, ids_HW.cpu().numpy())
    names = ", ".join(f"{position} {name}" for position, name in enumerate(trained.classes.names))
    print(f"{len(asked) - damaged} of {len(asked)} label maps are in {told.output}; ids: {names}")
    return DAMAGED_FILE if damaged else OK


if __name__ == "__main__":
    sys.exit(entry_point("predict", PredictConfig, main))
