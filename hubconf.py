"""What `torch.hub` offers of this project, from a folder that holds it.

    import torch

    segmenter = torch.hub.load("FOLDER", "segmenter", checkpoint="runs/NAME/best.pt", source="local")
    context = torch.hub.load("FOLDER", "context_module", num_classes=21, source="local")
    frontend = torch.hub.load("FOLDER", "dilated_vgg16", num_classes=21, source="local")

The process then holds our packages `assembly`, `configs`, `data`, `engine` and `models` under these names. The hub
offers every public name below that can be called, so this file imports modules, not names.
"""

from __future__ import annotations

import pathlib
import sys
import typing

if typing.TYPE_CHECKING:
    from collections.abc import Sequence

    from assembly.labeller import Labeller
    from configs.schema import ModelConfig
    from models.context import Context
    from models.segmenter import Segmenter

dependencies = ["torch", "numpy", "PIL", "pydantic", "pydantic_core", "omegaconf", "safetensors", "google.protobuf"]

_ROOT = pathlib.Path(__file__).resolve().parent
_PACKAGES = ("assembly", "configs", "data", "engine", "models")


def segmenter(checkpoint: str, *, probabilities: bool = False) -> Labeller:
    """A trained network: uint8 RGB images (B, 3, H, W) of any size to class ids (B, H, W), uint8.

    checkpoint: a run's best.pt, or a model.safetensors that export.py has written.
    probabilities: answer with a pair, ids and class probabilities (B, K, H, W), float32.

    Mean, margin and upsampling are inside; a `data.resize` of the run is not: images are answered at the size that they
    are given. The module is in evaluation mode, on the CPU (`.to("cuda")` moves it), and has no gradients. It has
    `class_names`, `palette` (RGB of each class), and the network itself as `model`.
    """
    _require_own_packages()
    from assembly.labeller import Labeller
    from assembly.trained import restore
    from configs.errors import UserError
    from configs.schema import CAFFE_SUFFIX, PredictConfig

    if pathlib.Path(checkpoint).suffix == CAFFE_SUFFIX:
        raise UserError(
            f"checkpoint={checkpoint}: Caffe's weights do not say what network they are of; give the model.safetensors "
            f"that python export.py checkpoint={checkpoint} model=NAME output=DIR writes"
        )
    trained = restore(PredictConfig(checkpoint=str(checkpoint), protocol="whole", precision="float32"))
    return Labeller(trained.model, trained.classes, with_probabilities=probabilities)


def context_module(
    num_classes: int,
    *,
    dilations: Sequence[int] = (1, 1, 2, 4, 8, 16, 1),
    widths: Sequence[int] = (),
    padding: typing.Literal["each", "once"] = "each",
    noise_std: float = 0.0,
    seed: int = 0,
) -> Context:
    """The paper's context module, to put behind any network: class maps (B, C, h, w) to class maps of the same shape.

    num_classes: C.
    dilations: of the 3x3 convolutions, one each; a 1x1 follows.
    widths: their channels as multiples of C; () means 1 for all (the paper's Basic); Large is (2, 2, 4, 8, 16, 32, 32).
    padding: zeros at the map's edge, by every layer's dilation ("each") or all at the first layer ("once").
    noise_std: of the noise around the identity, scaled by C over a layer's channels; seed: what it is drawn from.

    Fresh, it computes relu(x), so a network that ends in scores answers as before wherever one of them is positive. Its
    `layers` say name, dilation and channels of every layer.
    """
    _require_own_packages()
    from models.build import build_context

    context = {"dilations": list(dilations), "widths": list(widths), "padding": padding, "noise_std": noise_std}
    return build_context(_model_config(num_classes, context=context), num_classes, seed)


def dilated_vgg16(
    num_classes: int,
    *,
    pretrained: str | None = None,
    padding: typing.Literal["reflect", "zero"] = "zero",
    width: float = 1.0,
    dropout: float = 0.5,
    seed: int = 0,
) -> Segmenter:
    """The paper's front end, VGG-16 without its last two poolings: uint8 RGB images to class maps at stride 8.

    num_classes: C.
    pretrained: None (fresh weights from `seed`), IMAGENET1K_V1 or IMAGENET1K_FEATURES (torchvision fetches them), or a
        .pth, .safetensors or .caffemodel file. Mean and scale are those of the weights, and are subtracted inside.
    padding: "zero": every convolution pads itself, images (B, 3, H, W) to maps (B, C, ceil(H / 8), ceil(W / 8));
        "reflect": nothing pads, the image carries `margin_px` = 186 px more on every side than the map covers, real or
        reflected: (B, 3, H + 372, W + 372) to (B, C, ceil(H / 8), ceil(W / 8)). H and W may be anything.
    width: multiplies every channel count. dropout: after fc6 and fc7.

    Cell (i, j) stands for pixel (8 i, 8 j) of what the map covers, as in the authors' training, and sees 380 px. The
    module is in training mode; `insert_context(context_module)` puts one behind it, and `stride` and `margin_px` say
    the geometry.
    """
    _require_own_packages()
    from models.build import build_segmenter

    frontend = {"width": width, "dropout": dropout}
    config = _model_config(num_classes, frontend=frontend, padding=padding, pretrained=pretrained)
    model, _ = build_segmenter(config, num_classes, (), seed)
    return model


def _model_config(num_classes: int, **settings: object) -> ModelConfig:
    """Raises ConfigError, a ValueError, with all that is wrong."""
    from configs.errors import ConfigError
    from configs.rules import broken_rules
    from configs.schema import AnalyzeConfig
    from configs.validation import validated

    config = validated(AnalyzeConfig, {"num_classes": num_classes, "model": settings})
    problems = broken_rules(config)
    if problems:
        raise ConfigError(problems)
    return config.model


def _require_own_packages() -> None:
    """Raises ImportError where this process has imported a package of another program under a name of ours."""
    for name in _PACKAGES:
        module = sys.modules.get(name)
        if module is None:
            continue
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
        if not any(place and pathlib.Path(place).resolve().is_relative_to(_ROOT) for place in places):
            raise ImportError(
                f"hubconf.py: a package called {name} is already imported in this process, from "
                f"{next(filter(None, places), 'no file')}, and the one of {_ROOT} has the same name; load this network "
                "in a process of its own, or use the model.pt2 or model.onnx that export.py writes: they need no "
                "module of ours"
            )
