"""Say what is wrong with a data set, all at once, before anything is trained.

python audit.py experiment=folder data=mine                       every file of both splits, read once
python audit.py experiment=camvid_cpu data.root=DIR pictures=24   also draw what the network gets to see

Takes the settings of the run to come. Prints errors, warnings and notes, a line for each kind, and leaves audit.json
in `output`. The exit code is 2 if training would go wrong.
"""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from assembly.command import Command
from configs.compose import HYDRA_VERSION
from configs.schema import AuditConfig


@hydra.main(version_base=HYDRA_VERSION, config_path="configs", config_name="audit")
def main(composition: DictConfig) -> float:
    return COMMAND.task(composition)


def run(config: AuditConfig) -> int:
    # Imported here, so that a typo on the command line is answered at once.
    from assembly.audit import audit
    from engine.process.exits import guarded

    return guarded(lambda: audit(config), "set runtime.threads lower: so many processes read images at once")


def results(config: AuditConfig) -> Path:
    """The folder that the command writes to."""
    return Path(config.output)


COMMAND = Command(AuditConfig, run, results=results)

if __name__ == "__main__":
    sys.exit(COMMAND.start(main))
