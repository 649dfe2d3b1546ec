"""How a command ends where it does not end well: one clear message for what the user can mend, a traceback else."""

import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from configs.errors import FAILED, INTERRUPTED, STOPPED, UserError
from engine.process.stop import Stopped
from engine.process.terminal import surviving_terminal

# How RuntimeErrors say it that are no torch.OutOfMemoryError: of the CPU's allocator, of CUDA itself (pinned memory is
# the host's), and of the libraries that allocate on their own.
OUT_OF_MEMORY = (
    "DefaultCPUAllocator: ",
    "CUDA error: out of memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


class SaidElsewhere(Exception):
    """This process of several ends for a reason that another has said."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code


def guarded(command: Callable[[], int], memory_advice: str) -> int:
    """Run a command; what the user can mend becomes a message on stderr and an exit code.

    That is UserError, with its subclasses, and a lack of memory. Any other exception, a library's ValueError included,
    is a fault of this program: it keeps its traceback, and the exit code is 1.

    `memory_advice` says which settings of this command need less memory.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with surviving_terminal():
        try:
            return command()
        except KeyboardInterrupt:
            return _report("interrupted", INTERRUPTED)
        except Stopped:
            return STOPPED  # the run has logged how to resume it
        except SaidElsewhere as said:
            return said.exit_code
        except UserError as error:
            return _report(error, error.exit_code)
        except Exception as error:
            if is_out_of_memory(error):
                first_line = (str(error).splitlines() or ["no more memory"])[0]
                return _report(f"out of memory: {memory_advice} ({first_line})", FAILED)
            traceback.print_exc()
            return FAILED


def is_out_of_memory(error: Exception) -> bool:
    torch = sys.modules.get("torch")  # a command that has not imported it cannot have its errors
    return (
        isinstance(error, MemoryError)
        or (torch is not None and isinstance(error, torch.OutOfMemoryError))
        or (isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY))
    )


def _report(message: object, code: int) -> int:
    print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
    return code
