"""Our YAML files: where they lie, and what a group of them offers."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def options_of(group: str) -> list[str]:
    """The names of the YAML files of one of our groups, sorted."""
    return sorted(path.stem for path in (FOLDER / group).glob("*.yaml"))
