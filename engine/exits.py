"""How a command ends: exit codes, and one clear message instead of a traceback where the user can mend it."""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

OK, FAILED, WRONG_INPUT, DAMAGED_FILE, STOPPED = 0, 1, 2, 3, 75
INTERRUPTED = 130  # as shells count SIGINT
PROJECT = Path(__file__).resolve().parent.parent


def guarded(command: Callable[[], int]) -> int:
    """Run a command and turn what users can act on into a message on stderr and an exit code.

    Our errors carry an `exit_code` where it is not that of wrong input.
    """
    try:
        return command()
    except KeyboardInterrupt:
        return _tell("interrupted", INTERRUPTED)
    except torch.OutOfMemoryError as error:
        advice = "out of memory: lower stage.*.crop_px, stage.*.batch, or raise stage.*.accumulation"
        return _tell(f"{advice} ({str(error).splitlines()[0]})", FAILED)
    except Exception as error:
        code = getattr(error, "exit_code", WRONG_INPUT if _is_ours(error) else None)
        if code is None:
            traceback.print_exc()
            return FAILED
        return _tell(error, int(code))


def _is_ours(error: Exception) -> bool:
    """Our ValueErrors are written for users; one out of a library is a fault of this project: it shows a traceback."""
    place = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    return isinstance(error, ValueError) and place.is_relative_to(PROJECT) and ".venv" not in place.parts


def _tell(message: object, code: int) -> int:
    print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
    return code
