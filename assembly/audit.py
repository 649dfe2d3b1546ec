"""What is wrong with the data of a run to come, and what is worth knowing of them."""

from configs.errors import OK
from configs.schema import AuditConfig
from data.build import open_images


def audit(config: AuditConfig) -> int:
    """Returns the exit code. Raises UserError."""
    for split in dict.fromkeys((config.data.train_split, config.data.val_split)):
        print(open_images(config.data, split).describe())
    return OK
