"""Samples that cannot be read, found and left out before anything is trained or scored."""

from dataclasses import replace

from tqdm import tqdm

from configs.errors import UserError
from data.dataset import FileSet, Pair


def without_damaged(images: FileSet, max_skipped: int) -> FileSet:
    """The set without the samples whose reading is an error. Reads every one, with a bar where there is a terminal.

    Now, and not when a step meets one: what a step is trained on must not depend on what others have met. Raises
    UserError, of the first one's kind, where there are more than `max_skipped`, or where none is left.
    """
    kept, errors = list[Pair](), list[UserError]()
    for index in tqdm(range(len(images)), f"reading {images.split}", unit="image", leave=False, disable=None):
        try:
            images.read(index)
        except UserError as error:
            errors.append(error)
            continue
        kept.append(images.pairs[index])
    if len(errors) > max_skipped or (errors and not kept):
        raise errors[0].saying(
            f"data.on_error=skip: {len(errors)} of the {len(images)} samples of {images.split} cannot be used, and at "
            f"most data.max_skipped={max_skipped} may be left out, and not all; the first: {errors[0]}"
        )
    left_out = [str(error) for error in errors]
    return replace(images, pairs=kept, left_out=left_out, num_in_split=images.num_in_split - len(errors))
