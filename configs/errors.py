"""How a command ends: its exit codes, and the errors that are meant for the user. Imports nothing of ours."""

import signal
from collections.abc import Iterable, Mapping
from typing import Any

OK, FAILED, WRONG_INPUT, DAMAGED_FILE, STOPPED = 0, 1, 2, 3, 75
INTERRUPTED = 130  # as shells count SIGINT

# What asks a command to save and stop: Ctrl-C, `kill` and `timeout`, a batch system before its time limit, and a
# terminal that goes away.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
AGAIN_S = 1.0  # signals closer together count as one: `timeout` signals a process and, once more, its group


class UserError(ValueError):
    """What the user can mend: the command ends with this one message, without traceback, and with `exit_code`.

    The message says what came, what is required, what to change and what the options are. Any other exception is a
    fault of this program and shows its traceback.
    """

    exit_code = WRONG_INPUT

    def saying(self, message: str) -> "UserError":
        """The same error in other words."""
        return _error(type(self), (message,), vars(self))

    def __reduce__(self) -> tuple[Any, ...]:
        """As data, whatever a subclass's own arguments are: workers hand their errors to the process that reads."""
        return _error, (type(self), self.args, vars(self))


def _error(kind: type[UserError], arguments: tuple[Any, ...], attributes: Mapping[str, Any]) -> UserError:
    error = kind.__new__(kind)
    error.args = arguments
    vars(error).update(attributes)
    return error


class ConfigError(UserError):
    """Everything that is wrong with a config, one message each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


class DamagedFileError(UserError):
    """A file is not there, cannot be decoded, or is not what was once written; the message names it."""

    exit_code = DAMAGED_FILE


def cannot_write(place: str, error: OSError, advice: str) -> UserError:
    """The error for a file or folder that a setting has the program write to; `advice` says which setting to change."""
    return UserError(f"{place} cannot be written ({error.strerror or error}); {advice}")
