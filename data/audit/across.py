"""What only a look at all samples together shows: files that repeat, names that clash, classes that are missing."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from data.audit.findings import Finding, Place, Severity
from data.audit.split import Split
from data.dataset import FileSet
from data.names import readable

Chosen = NDArray[np.bool]  # of every train id and void
Sample = tuple[int, int]  # position of the split, of the sample in it


def findings_across(train: Split, val: Split) -> Iterator[Finding]:
    splits = (train, val) if val.name != train.name else (train,)
    if len(splits) == 1 and train.images is not None:
        what = f"all images of {train.name} are trained on and scored"
        yield Finding("warning", "in_two_splits", "", what, "the score flatters; set data.val_split to another split")
    digests = _digests(splits)
    yield from _repeated_files(splits, digests)
    for split in splits:
        yield from _names(split)
    if len(splits) == 2:
        yield from _same_names(train, val, digests)
    if train.pixels_256.any():
        yield from _classes(train, val)


def _digests(splits: Sequence[Split]) -> dict[Sample, str]:
    """SHA-256 of the image files that may be equal: those of which another has the same number of bytes."""
    samples = [
        (record.num_bytes, (which, i))
        for which, split in enumerate(splits)
        for i, record in enumerate(split.records)
        if record.num_bytes
    ]
    digests: dict[Sample, str] = {}
    for which, i in chain(*_repeats(samples)):
        images = splits[which].images
        assert isinstance(images, FileSet), "it has bytes"
        with suppress(OSError), images.pairs[i].image.open("rb") as file:  # it may be gone by now
            digests[which, i] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _repeated_files(splits: Sequence[Split], digests: Mapping[Sample, str]) -> Iterator[Finding]:
    leaks, repeats = list[Place](), [list[Place]() for _ in splits]
    for group in _repeats((digest, sample) for sample, digest in digests.items()):
        by_split = [[splits[s].files(i)[0] for s, i in group if s == which] for which in range(len(splits))]
        if len(splits) == 2 and all(by_split):
            leaks += [Place(file, f"is {by_split[0][0]}") for file in by_split[1]]
        for files, places in zip(by_split, repeats, strict=True):
            places += [Place(file, f"is {files[0]}") for file in files[1:]]
    if leaks:
        what = f"images that stand in {splits[0].name} and in {splits[1].name}: {len(leaks):,}"
        advice = "the score flatters; take them out of one of the two splits"
        yield Finding("warning", "in_two_splits", "", what, advice, leaks)
    for split, places in zip(splits, repeats, strict=True):
        if places:
            what = f"images that the split holds more than once: {len(places):,}"
            advice = "they count more than once; keep one of each"
            yield Finding("warning", "repeated_image", split.name, what, advice, places)


def _names(split: Split) -> Iterator[Finding]:
    if not isinstance(split.images, FileSet):
        return
    names = [pair.name for pair in split.images.pairs]
    alike = [i for group in _repeats((name.casefold(), (0, i)) for i, name in enumerate(names)) for _, i in group]
    if alike:
        what = f"names that differ in case alone: {len(alike):,}"
        advice = "some file systems hold one of them only, and whoever copies the set there loses images; rename them"
        places = [Place(file) for file in split.files(*alike)]
        yield Finding("warning", "names_in_case", split.name, what, advice, places)
    no_text = [i for i, name in enumerate(names) if os.fsencode(name).decode("utf-8", "replace") != name]
    if no_text:
        what = f"names not in UTF-8: {len(no_text):,}"
        advice = "they are read, and shown with escapes such as \\xe9"
        yield Finding("note", "not_utf8", split.name, what, advice, [Place(file) for file in split.files(*no_text)])


def _same_names(train: Split, val: Split, digests: Mapping[Sample, str]) -> Iterator[Finding]:
    if not isinstance(train.images, FileSet) or not isinstance(val.images, FileSet):
        return
    positions = {pair.name: i for i, pair in enumerate(train.images.pairs)}
    places = [
        Place(readable(pair.image))
        for i, pair in enumerate(val.images.pairs)
        if pair.name in positions
        and digests.get((0, positions[pair.name]), "in train") != digests.get((1, i), "in val")
    ]
    if places:
        what = f"names that both splits have for different images: {len(places):,}"
        yield Finding("note", "same_names", "", what, "", places)


def _classes(train: Split, val: Split) -> Iterator[Finding]:
    assert train.images is not None, "it has pixels"
    in_train, in_val = train.pixels_256 > 0, val.pixels_256 > 0
    has_val = val.pixels_256[:-1].any()
    kinds: tuple[tuple[Severity, str, Chosen, str, str], ...] = (
        ("warning", "class_nowhere", ~in_train & ~in_val, "in no label", "nothing can be learned of {}"),
        (
            "warning",
            "class_in_val_alone",
            ~in_train & in_val,
            "in labels of {val} alone",
            "nothing can be learned of {}, and its IoU will be 0; add such images to training, or take these out",
        ),
        ("note", "class_in_train_alone", in_train & ~in_val & has_val, "in labels of {train} alone", "not scored"),
    )
    for severity, kind, chosen, what, advice in kinds:
        names = [name for k, name in enumerate(train.images.classes.names) if chosen[k]]
        if names:
            where = what.format(train=train.name, val=val.name)
            sentence = f"{len(names)} class{'' if len(names) == 1 else 'es'} {where}: {', '.join(names)}"
            places = [Place(file) for file in _with_class(val, chosen)]  # none of a class in train alone
            yield Finding(severity, kind, "", sentence, advice.format("them" if len(names) > 1 else "it"), places)


def _with_class(split: Split, chosen_256: Chosen) -> list[str]:
    """The labels that hold a pixel of one of these classes."""
    if split.images is None:
        return []
    labels = [record.label for record in split.records]
    return split.label_files(
        *(i for i, label in enumerate(labels) if label and label.pixels_256[:-1][chosen_256[:-1]].any())
    )


def _repeats(samples: Iterable[tuple[Hashable, Sample]]) -> list[list[Sample]]:
    groups: dict[Hashable, list[Sample]] = defaultdict(list)
    for key, sample in samples:
        groups[key].append(sample)
    return [group for group in groups.values() if len(group) > 1]
