"""Samples that cannot be read, found and left out before anything is trained or scored."""

from collections.abc import Mapping
from dataclasses import replace

from tqdm import tqdm

from configs.errors import UserError
from data.dataset import FileSet


def without_damaged(images: FileSet, max_skipped: int) -> FileSet:
    """The set without the samples whose reading is an error. Reads every one, with a bar where there is a terminal.

    Now, and not when a step meets one: what a step is trained on must not depend on what others have met. Raises
    UserError, of the first one's kind, where there are more than `max_skipped`, or where none is left.
    """
    errors = dict[int, UserError]()
    for index in tqdm(range(len(images)), f"reading {images.split}", unit="image", leave=False, disable=None):
        try:
            images.read(index)
        except UserError as error:
            errors[index] = error
    if errors and not may_skip(len(errors), len(images), max_skipped):
        first = next(iter(errors.values()))
        raise first.saying(
            f"data.on_error=skip: {len(errors)} of the {len(images)} samples of {images.split} cannot be used, and at "
            f"most data.max_skipped={max_skipped} may be left out, and not all; the first: {first}"
        )
    return leave_out(images, {index: str(error) for index, error in errors.items()})


def may_skip(num_skipped: int, num_samples: int, max_skipped: int) -> bool:
    return num_skipped <= max_skipped and num_skipped < num_samples


def leave_out(images: FileSet, reasons: Mapping[int, str]) -> FileSet:
    """The set without the samples at these positions, and what is wrong with each; `first` was called before."""
    pairs = [pair for index, pair in enumerate(images.pairs) if index not in reasons]
    num_in_split = images.num_in_split - len(reasons)
    return replace(images, pairs=pairs, left_out=list(reasons.values()), num_in_split=num_in_split)
