"""Commands and settings to paste, with paths as one would type them from the working directory."""

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.runs.folder import RunFolder
from engine.runs.header import PROJECT


def resume_command(folder: RunFolder) -> str:
    """This very command, in this folder, going on from its newest checkpoint."""
    return command("train.py", [*_settings(), f"run.dir={relative(folder.path)}", "resume=auto"], is_parallel=True)


def audit_command() -> str:
    """What looks at all of the data of this very command."""
    return command("audit.py", _settings())


def _settings() -> list[str]:
    """The overrides of this command, without those of where it writes and whether it goes on."""
    return [word for word in sys.argv[1:] if not word.startswith(("run.dir=", "hydra.run.dir=", "resume="))]


def command(program: str, arguments: Sequence[str], *, is_parallel: bool = False) -> str:
    """A line to paste. Its paths are those of the working directory, so outside the project's folder it names both.

    `is_parallel`: by as many processes as this command has, started by torchrun on this machine.
    """
    launcher = _torchrun() if is_parallel else []
    if Path.cwd() == PROJECT:
        return shlex.join([python(), *launcher, program, *arguments])
    words = [python(), *launcher, str(PROJECT / program), *arguments]
    return f"cd {shlex.quote(str(Path.cwd()))} && {shlex.join(words)}"


def _torchrun() -> list[str]:
    """What torchrun is short for; of several machines, each is to be named by hand."""
    number = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return [] if number == "1" else ["-m", "torch.distributed.run", f"--nproc-per-node={number}"]


def typed(value: Any) -> str:
    """A setting's value as one types it: null, true, [1,2,4]."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def python() -> str:
    """The running interpreter as one would type it here."""
    executable = Path(sys.executable)
    try:
        return str(executable.relative_to(Path.cwd()))
    except ValueError:
        return str(executable) if executable.parent.parent != Path(sys.base_prefix) else "python"


def relative(path: Path) -> str:
    """A path as one would type it from the working directory."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
