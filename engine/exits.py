"""How a command ends where it does not end well: one clear message for what the user can mend, a traceback else."""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from configs.errors import FAILED, INTERRUPTED, UserError


def guarded(command: Callable[[], int]) -> int:
    """Run a command; what the user can mend becomes a message on stderr and an exit code."""
    try:
        return command()
    except KeyboardInterrupt:
        return _tell("interrupted", INTERRUPTED)
    except UserError as error:
        return _tell(error, error.exit_code)
    except torch.OutOfMemoryError as error:
        advice = "out of memory: lower stage.*.crop_px, stage.*.batch, or raise stage.*.accumulation"
        return _tell(f"{advice} ({str(error).splitlines()[0]})", FAILED)
    except Exception:
        traceback.print_exc()
        return FAILED


def _tell(message: object, code: int) -> int:
    print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
    return code
