"""The picture of the README that shows a photograph, made from what predict.py has left of it.

The photograph is china.jpg of scikit-learn, by danielbuechele (CC BY 2.0); the network that of experiment=camvid_cpu:

python predict.py checkpoint=runs/camvid/best.pt input=china.jpg output=runs/china 'outputs=[ids,overlays,entropy]'
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.labels import CAMVID
from docs.drawing import Drawing
from engine.reporting.figures import Rgb

GAP_PX = 12
SKY, TREES = np.s_[:100, 360:], np.s_[300:360, 400:]  # rows and columns of what is no matter of opinion
LAKE, PAGODA = np.s_[240:280, 380:500], np.s_[40:340, 90:340]


def photograph(predictions: Path) -> Rgb:
    classes = json.loads((predictions / "predictions.json").read_text())["classes"]
    assert [each["name"] for each in classes] == list(CAMVID.names), "a network of CamVid's classes"
    ids_HW, entropy_HW = _map(predictions, "ids"), _map(predictions, "entropy") / 255
    for place, name, least, most in (
        (SKY, "Sky", 0.95, 1.0),
        (TREES, "Tree", 0.95, 1.0),
        (PAGODA, "Building", 0.3, 0.7),
    ):
        share = (ids_HW[place] == CAMVID.names.index(name)).mean()
        assert least <= share <= most, f"{name}: {share:.3f}"
    in_doubt, elsewhere = entropy_HW[PAGODA].mean(), max(entropy_HW[place].mean() for place in (SKY, TREES))
    assert in_doubt > 3 * elsewhere, f"entropy {in_doubt:.3f} at the pagoda, {elsewhere:.3f} elsewhere"
    overlay = np.asarray(Image.open(predictions / "overlays" / "china.jpg").convert("RGB"))
    beside = np.full((len(overlay), GAP_PX + entropy_HW.shape[1], 3), 255, dtype=np.uint8)
    beside[: len(entropy_HW), GAP_PX:] = (255 * entropy_HW).astype(np.uint8)[..., None]
    return np.concatenate([overlay, beside], axis=1)


def _map(predictions: Path, kind: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(predictions / kind / "china.png"))


DRAWINGS = {
    "photograph.jpg": Drawing(
        "A pagoda by a network that has seen nothing but streets of one town: sky and trees are right, the lake passes "
        "for sky, the building is right in part, and the entropy on the right is high where it guesses",
        photograph,
        "photograph",
    )
}
