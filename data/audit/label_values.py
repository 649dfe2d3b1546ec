"""Labels whose values mean nothing under these settings, and the overrides under which they would."""

from collections import Counter
from collections.abc import Sequence

from configs.schema import DataConfig
from data.audit.findings import Finding, Place, counted, listing
from data.audit.sample import Problem
from data.labels import CITYSCAPES_LABEL_IDS

MOST_LISTED = 8  # values in a sentence
MOST_ADDED = 16  # values in an override: labels of more strange ones hold something else than classes
GRAY = ("L", "1", "I;16")
COLORED = ("RGB", "RGBA")


def strange_values(config: DataConfig, split: str, problems: Sequence[Problem]) -> Finding:
    """Ids or colours that mean neither a class nor void."""
    is_rgb = config.name == "folder" and config.folder.rgb_labels
    noun = "colour" if is_rgb else "id"
    pixels, files = _summed(problems), Counter(value for problem in problems for value in problem.values)
    shown = [
        f"{listing(_rgb(value)) if is_rgb else value} ({counted(count, 'pixel')} in {counted(files[value], 'file')})"
        for value, count in pixels.most_common(MOST_LISTED)
    ]
    more = f" and {len(pixels) - MOST_LISTED:,} more" if len(pixels) > MOST_LISTED else ""
    what = f"labels with {noun}s that mean neither a class nor void: {len(problems):,}; {', '.join(shown)}{more}"
    advice, overrides = _meaning(config, problems, pixels)
    return Finding("error", "label_values", split, what, advice, _places(problems), overrides)


def _meaning(config: DataConfig, problems: Sequence[Problem], pixels: Counter[int]) -> tuple[str, list[str]]:
    folder = config.folder
    if config.name != "folder" or folder.sets:
        return problems[0].message.rpartition("void; ")[2].rpartition("such colours; ")[2], []
    if folder.rgb_labels and all(problem.samples in GRAY for problem in problems):
        overrides = ["data.folder.rgb_labels=false", "data.folder.palette=[]", "data.folder.void_colors=[]"]
        return "these labels are gray: where they hold ids, add", overrides
    if len(pixels) > MOST_ADDED:
        return (
            "so many values are no classes: the labels were resized with interpolation, or are something else; write "
            "them anew from their source",
            [],
        )
    if folder.rgb_labels:
        colors = [*folder.void_colors, *map(_rgb, sorted(pixels))]
        advice = "a colour that is a class belongs in data.folder.palette, with its name in class_names; if void, add"
        return advice, [f"data.folder.void_colors={listing(colors)}"]
    if len(folder.class_names) == len(CITYSCAPES_LABEL_IDS) and not folder.label_ids and max(pixels) < 34:
        void = sorted({*range(34), *folder.ignore_ids} - {*CITYSCAPES_LABEL_IDS})
        overrides = [
            f"data.folder.label_ids={listing(CITYSCAPES_LABEL_IDS)}",
            f"data.folder.ignore_ids={listing(void)}",
        ]
        return "19 classes and ids up to 33 are those of Cityscapes, of which these are the labelIds; add", overrides
    ids = sorted({*folder.ignore_ids, *pixels})
    return (
        "an id that is a class belongs in data.folder.label_ids, with its name in class_names; if void, add",
        [f"data.folder.ignore_ids={listing(ids)}"],
    )


def masks(config: DataConfig, split: str, problems: Sequence[Problem], *, has_objects: bool) -> Finding:
    """Labels of 0 and 255 alone. `has_objects`: other labels hold the second class by another id."""
    what = f"labels of 0 and 255 alone, as masks are saved: {len(problems):,}"
    is_whole = config.name == "folder" and len(config.folder.class_names) == 2 and not config.folder.sets
    if not is_whole or has_objects:
        advice = "in these files, write the id of the class in place of 255"
        return Finding("error", "label_mask", split, what, advice, _places(problems))
    void = [i for i in config.folder.ignore_ids if i != 255]
    overrides = ["data.folder.label_ids=[0,255]", f"data.folder.ignore_ids={listing(void)}"]
    name = config.folder.class_names[1]
    return Finding("error", "label_mask", split, what, f"if 255 is {name}, add", _places(problems), overrides)


def wrong_samples(config: DataConfig, split: str, problems: Sequence[Problem], num_labels: int) -> Finding:
    """Labels of a kind that cannot hold what is looked for: colours where ids are, for example."""
    kinds = ", ".join(f"{count} {kind or 'unknown'}" for kind, count in Counter(p.samples for p in problems).items())
    what = f"labels of a kind that holds no class ids: {kinds}"
    num_classes, pixels = len(config.folder.class_names), _summed(problems)
    is_colored = config.name == "folder" and not config.folder.sets and all(p.samples in COLORED for p in problems)
    if not is_colored or len(problems) < num_labels:
        advice = "save them as the others are, one channel of class ids (gray or palette PNG), or take the samples out"
        return Finding("error", "label_samples", split, what, advice, _places(problems))
    colors = [_rgb(code) for code, _ in pixels.most_common()]
    what += f"; {counted(len(colors), 'colour')}: " + ", ".join(
        f"{listing(_rgb(code))} ({counted(count, 'pixel')})" for code, count in pixels.most_common(MOST_LISTED)
    )
    if not num_classes <= len(colors) <= num_classes + MOST_ADDED:
        advice = (
            f"{num_classes} class_names need a colour each: set data.folder.rgb_labels=true, and data.folder.palette "
            "in the order of the names"
        )
        return Finding("error", "label_samples", split, what, advice, _places(problems))
    overrides = ["data.folder.rgb_labels=true", f"data.folder.palette={listing(colors[:num_classes])}"]
    if config.folder.label_ids:
        overrides.append("data.folder.label_ids=[]")
    if colors[num_classes:]:
        overrides.append(f"data.folder.void_colors={listing(colors[num_classes:])}")
    advice = "the colours are sorted by their pixels: put those of the palette in the order of class_names, and add"
    return Finding("error", "label_samples", split, what, advice, _places(problems), overrides)


def _summed(problems: Sequence[Problem]) -> Counter[int]:
    total: Counter[int] = Counter()
    for problem in problems:
        total.update(problem.values)
    return total


def _rgb(code: int) -> list[int]:
    return [code >> 16, code >> 8 & 255, code & 255]


def _places(problems: Sequence[Problem]) -> list[Place]:
    return [Place(problem.file, problem.message) for problem in problems]
