"""What is wrong with one split: its opening, its files, its void."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from configs.errors import UserError
from configs.schema import VOID, DataConfig
from data.audit.findings import Finding, Place, Severity
from data.audit.label_values import masks, strange_values, wrong_samples
from data.audit.sample import Problem, ProblemKind
from data.audit.split import Split
from data.dataset import FileSet
from data.faults import Fault, FaultKind
from data.names import readable

SKIP_HINT = "replace them, or take the samples out of the split"
VOID_SHARE = 0.5  # of a split's pixels, from which on it is worth a warning
CONVERTED = {
    "L": "gray, repeated in the three channels",
    "LA": "gray with alpha, which is dropped",
    "1": "black and white",
    "P": "palette, looked up",
    "RGBA": "RGB with alpha, which is dropped",
    "CMYK": "CMYK, converted without a colour profile",
    "I;16": "16 bit, of which the high byte is kept",
    "I;16B": "16 bit, of which the high byte is kept",
}
TITLES: dict[ProblemKind, tuple[str, str]] = {
    "damaged_image": ("unreadable images", SKIP_HINT),
    "large_image": ("images with more pixels than are read", "scale them down, or cut them into parts"),
    "turned_image": (
        "images that EXIF says are to be turned, and their labels do not",
        "turn the pixels (ImageMagick: mogrify -auto-orient FILE), or remove the tag where the label fits as it is",
    ),
    "image_samples": ("images whose samples have no agreed range", "save them as 8-bit gray or RGB"),
    "damaged_label": ("unreadable labels", SKIP_HINT),
    "jpeg_label": ("labels saved as JPEG, which alters ids and colours", "write them anew, as PNG, from their source"),
    "sizes": ("images and labels that differ in size", "replace one of the two, or take the samples out of the split"),
}
FAULT_TITLES: dict[FaultKind, str] = {
    "opening": "sets that cannot be opened",
    "missing_partner": "files without a partner",
    "missing_file": "files that the list names and that are not there",
    "same_name": "files that share a name",
    "list_line": "wrong lines of the list",
    "group": "names in which data.folder.group finds nothing",
    "in_two_sets": "files in two sets",
    "unreadable_folder": "unreadable folders",
}


def findings_within(split: Split, config: DataConfig) -> Iterator[Finding]:
    if split.failure is not None:
        yield _failure(split.failure, split.name, config)
    for kind in dict.fromkeys(fault.kind for fault in split.faults):
        yield _opening(kind, split.name, [fault for fault in split.faults if fault.kind == kind])
    yield from _problems(split, config)
    split = split.without_skipped(config)
    yield from _one_file(split)
    yield from _void(split)
    yield from _possible_masks(split, config)
    yield from _image_kinds(split)


def _failure(failure: UserError, split: str, config: DataConfig) -> Finding:
    what, _, advice = str(failure).partition("; ")
    may_share = config.name == "folder" and not config.hold_out and not config.folder.val_share
    if split != config.val_split or split == config.train_split or not may_share:
        return Finding("error", "opening", split, what, advice)
    advice += f"; where there are no images for {split}, a share of {config.train_split} will do, add"
    return Finding("error", "opening", split, what, advice, overrides=["data.folder.val_share=0.2"])


def _one_file(split: Split) -> Iterator[Finding]:
    """A network that is given its own answer."""
    pairs = split.images.pairs if isinstance(split.images, FileSet) else ()
    places = [Place(readable(pair.image)) for pair in pairs if pair.image == pair.label]
    if places:
        what = f"files that are image and label in one: {len(places):,}"
        advice = "data.folder.images and data.folder.labels must find different files; correct one of the two"
        yield Finding("error", "image_is_label", split.name, what, advice, places)


def _opening(kind: FaultKind, split: str, faults: Sequence[Fault]) -> Finding:
    explains_itself = kind in ("missing_partner", "missing_file", "same_name", "group", "in_two_sets")
    places = [
        Place(readable(place), fault.note if explains_itself else str(fault.error))
        for fault in faults
        for place in fault.places
    ]
    if kind == "missing_partner":
        places = _with_other_case(places)
    what = f"{FAULT_TITLES[kind]}: {len(places):,}"
    advice = str(faults[0].error).rpartition("; ")[2]
    return Finding("error", kind, split, what, advice, places)


def _with_other_case(places: Sequence[Place]) -> list[Place]:
    """Files without a partner that have one but for upper and lower case."""
    names = defaultdict[str, list[str]](list)
    for place in places:
        names[Path(place.file).stem.casefold()].append(place.file)
    others = {a: b for files in names.values() if len(files) == 2 for a, b in (files, files[::-1])}
    return [
        place._replace(message=f"{place.message}; {others[place.file]} differs in case alone")
        if place.file in others
        else place
        for place in places
    ]


def _problems(split: Split, config: DataConfig) -> Iterator[Finding]:
    by_kind: dict[ProblemKind, list[Problem]] = defaultdict(list)
    for record in split.records:
        for problem in record.problems:
            by_kind[problem.kind].append(problem)
    num_bad = sum(bool(record.problems) for record in split.records)
    skips = split.skips(config)
    severity: Severity = "warning" if skips else "error"
    for kind, problems in by_kind.items():
        finding = _of_kind(kind, problems, split, config)
        yield Finding(**{**vars(finding), "severity": severity})
    if num_bad and config.on_error == "skip" and not skips:
        what = f"samples to be skipped: {num_bad:,}, and at most data.max_skipped={config.max_skipped} may be"
        yield Finding(
            "error",
            "max_skipped",
            split.name,
            what,
            "and never all; correct the files above, or raise data.max_skipped",
        )


def _of_kind(kind: ProblemKind, problems: Sequence[Problem], split: Split, config: DataConfig) -> Finding:
    if kind == "label_values":
        return strange_values(config, split.name, problems)
    if kind == "label_mask":
        has_objects = bool(split.pixels_256[1:VOID].any())
        return masks(config, split.name, problems, has_objects=has_objects)
    if kind == "label_samples":
        return wrong_samples(config, split.name, problems, len(split.records))
    title, advice = TITLES[kind]
    places = [Place(problem.file, problem.message) for problem in problems]
    return Finding("error", kind, split.name, f"{title}: {len(problems):,}", advice, places)


def _void(split: Split) -> Iterator[Finding]:
    pixels_256 = split.pixels_256
    if not pixels_256.any():
        return
    all_void = [i for i, record in enumerate(split.records) if record.label and not record.label.pixels_256[:-1].any()]
    if all_void:
        whole = not pixels_256[:-1].any()
        what = f"labels of void alone: {len(all_void):,}" + (", all of the split" if whole else "")
        advice = "nothing can be learned of them; label the images, or take them out; or correct what means void"
        places = [Place(file) for file in split.label_files(*all_void)]
        yield Finding("error" if whole else "warning", "all_void", split.name, what, advice, places)
    share = pixels_256[-1] / pixels_256.sum()
    if share > VOID_SHARE and pixels_256[:-1].any():
        what = f"{100 * share:.0f} % of the labels' pixels are void"
        advice = "is an id or a colour that means a class taken as void?"
        yield Finding("warning", "void_share", split.name, what, advice)


def _possible_masks(split: Split, config: DataConfig) -> Iterator[Finding]:
    """Id 0 and void alone: a mask among labels of several classes, whose object would be ignored."""
    folder = config.folder
    if config.name != "folder" or folder.rgb_labels or folder.sets or folder.label_ids or 255 not in folder.ignore_ids:
        return
    suspects = [
        i
        for i, record in enumerate(split.records)
        if record.label and record.label.pixels_256[0] and record.label.pixels_256[-1]
        and not record.label.pixels_256[1:-1].any()
    ]  # fmt: skip
    if suspects:
        what = f"labels of the first class and void alone, as a 0/255 mask would be read: {len(suspects):,}"
        advice = "if 255 means an object there, write the id of its class in its place"
        places = [Place(file) for file in split.label_files(*suspects)]
        yield Finding("warning", "possible_mask", split.name, what, advice, places)


def _image_kinds(split: Split) -> Iterator[Finding]:
    if not isinstance(split.images, FileSet):
        return
    kinds = Counter(record.image.samples for record in split.records if record.image)
    for samples, count in sorted(kinds.items()):
        if samples != "RGB":
            places = [i for i, record in enumerate(split.records) if record.image and record.image.samples == samples]
            what = f"images of kind {CONVERTED.get(samples, samples)}: {count:,}"
            yield Finding("note", "image_kind", split.name, what, "", [Place(file) for file in split.files(*places)])
    labels = Counter(record.label_kind for record in split.records if record.label_kind)
    if len(labels) > 1:
        shown = ", ".join(f"{count} {kind}" for kind, count in labels.most_common())
        yield Finding("note", "label_kinds", split.name, f"labels are files of several kinds: {shown}")
