"""Write docs/protocol.md, paper, authors' code and this project side by side: python docs/make_protocol.py"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from assembly.protocol import recipe, rows, sources, value_text, with_margin
from configs.compose import composed
from configs.files import options_of
from configs.schema import AnalyzeConfig

PAGE = Path(__file__).resolve().with_name("protocol.md")
INTRODUCTION = """# Protocol

Written by `python docs/make_protocol.py` from the configs and [protocol.yaml](../configs/protocol.yaml); a test holds
it to them. *Paper* is the text of Yu and Koltun (ICLR 2016), *code* the authors' release, *here* the recipe as it runs.
**Bold** differs from one of the two, or fills in what neither says; the number leads to the reason. Settings have the
names and units of [schema.py](../configs/schema.py); inputs include the margin. A run prints the bold lines of its own
config when it starts, with what the user changed.

The paper trains its front end for VOC twice, with COCO and then without it; here each is a command of its own,
`voc_coco` and `voc_coco_tune`. Of COCO it takes all images with an object of VOC's classes, and all other classes as
background. How objects that overlap are drawn it does not say: here crowds are void and lie lowest, then the larger
object comes before the smaller."""


def page() -> str:
    """All of `docs/protocol.md`."""
    fixed = [[fact["name"], fact["says"], fact["by"], f"`{fact['file']}`"] for fact in sources()["fixed"]]
    released = {name: _released(name) for name in options_of("model")}
    figures = list(next(iter(released.values())))
    sections = [
        INTRODUCTION,
        *map(_recipe_section, sources()["recipes"]),
        "## What no key changes",
        _table(["", "fact", "of", "here the same, in"], fixed),
        "## Not compared",
        "\n".join(f"* `{key}`: {reason}" for key, reason in sources()["not compared"].items()),
        "## The released networks",
        "`eval.py checkpoint=FILE.caffemodel model=NAME` scores them. Their front end is that of the recipes.",
        _table(["", *released], [[figure, *(each[figure] for each in released.values())] for figure in figures]),
    ]
    return "\n\n".join(sections) + "\n"


def _recipe_section(name: str) -> str:
    config = recipe(name)
    reasons: list[str] = []
    lines = []
    for row in rows(config):
        here = row.here
        if row.deviates:
            reasons += [row.remark] if row.remark not in reasons else []
            here = f"**{here}** ({reasons.index(row.remark) + 1})"
        stages = "every" if list(row.stages) == config.stages else ", ".join(row.stages) or "run"
        lines.append([stages, row.name, row.paper, row.code, here])
    listed = "\n".join(f"{number}. {reason}" for number, reason in enumerate(reasons, start=1))
    return f"## {name}\n\n{_table(['stage', 'setting', 'paper', 'code', 'here'], lines)}\n\n{listed}"


def _released(name: str) -> dict[str, str]:
    """A released network in figures."""
    model = composed(AnalyzeConfig, [f"model={name}"]).model
    figures = {
        "classes of": model.classes_of,
        "dilations": model.context.dilations,
        "widths": model.context.widths,
        "context padding": model.context.padding,
        "head": model.head,
        "node_offset_px": model.node_offset_px,
        "mean_rgb": model.mean_rgb,
        "scale_rgb": model.scale_rgb,
        "tile_input_px": with_margin(model, model.tile_px),
    }
    return {figure: value_text(value) for figure, value in figures.items()}


def _table(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *lines])


if __name__ == "__main__":
    PAGE.write_text(page())
    print(PAGE)
