"""Make the pictures of the documents, and prove what their captions say: one whose caption is not true is an error.

python docs/make_pictures.py --run runs/shapes_0 --sweep runs/schedules --growth runs/growth --photograph runs/china
                                                                          all of them
python docs/make_pictures.py coverage.png sliding.gif                     some of them; these two need no run
python docs/make_pictures.py predictions.png --run runs/shapes_0 --output /tmp

The run is one of the built-in scenes with all three stages, `train.py run.dir=runs/shapes_0`; the sweep a finished
`train.py -m sweep=schedules`; the growth a context stage of that run stopped at several steps, by the command in
docs/dilation.md; the photograph what predict.py left of it (pictures_of_photographs.py). Nothing is written into any.
A few minutes on two CPU cores: the runs are scored again.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from PIL import Image

from docs import pictures_of_dilation, pictures_of_photographs, pictures_of_scenes
from engine.reporting.figures import Rgb, write_png

ROOT = Path(__file__).resolve().parent.parent
FRAME_MS, FILM_COLOURS = 140, 32
DRAWINGS = pictures_of_scenes.DRAWINGS | pictures_of_dilation.DRAWINGS | pictures_of_photographs.DRAWINGS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(DRAWINGS)}")
    parser.add_argument("--run", type=Path, help="folder of a finished run on the built-in scenes")
    parser.add_argument("--sweep", type=Path, help="folder of a finished sweep=schedules")
    parser.add_argument("--growth", type=Path, help="folder of a finished sweep of stage.context.steps")
    parser.add_argument("--photograph", type=Path, help="folder of predict.py's results for china.jpg")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "pictures")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(DRAWINGS)
    if unknown:
        parser.error(f"no such picture: {', '.join(sorted(unknown))}; there are: {', '.join(DRAWINGS)}")
    for name in arguments.names or DRAWINGS:
        drawing = DRAWINGS[name]
        if drawing.needs and getattr(arguments, drawing.needs) is None:
            parser.error(f"{name}: give --{drawing.needs} DIR, the folder that it is made from, or name other pictures")
    for name in arguments.names or DRAWINGS:
        drawing = DRAWINGS[name]
        write(arguments.output / name, drawing.make(getattr(arguments, drawing.needs) if drawing.needs else ROOT))
        print(f"{arguments.output / name}: {drawing.caption}", flush=True)


def write(path: Path, picture: Rgb | Sequence[Rgb]) -> None:
    if isinstance(picture, np.ndarray):
        return write_png(path, picture)
    palette = Image.fromarray(picture[-1]).quantize(FILM_COLOURS)  # one for all frames, so that they compress
    first, *others = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in picture]
    first.save(path, save_all=True, append_images=others, duration=FRAME_MS, loop=0)


if __name__ == "__main__":
    main()
