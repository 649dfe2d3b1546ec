"""The data of a run that begins: opened and checked quickly; what is refused names the command that checks all."""

from collections.abc import Iterator
from contextlib import contextmanager

from configs.errors import UserError
from configs.schema import DataConfig
from data.build import open_images
from data.dataset import ImageSet
from data.quick_check import quick_check
from engine.reporting.commands import audit_command


def open_sets(config: DataConfig) -> tuple[ImageSet, ImageSet]:
    """To train on, and to score. Raises UserError for files that are missing, and as `quick_check`."""
    with naming_audit():
        train_set, val_set = open_images(config, config.train_split), open_images(config, config.val_split)
        quick_check(train_set)
        quick_check(val_set)
    return train_set, val_set


@contextmanager
def naming_audit() -> Iterator[None]:
    """A UserError that is raised inside is about the data: it ends with the command that lists all such faults."""
    try:
        yield
    except UserError as error:
        raise error.saying(f"{error}\nall that is wrong with the data, in one pass:  {audit_command()}") from error
