"""What Hydra or OmegaConf says of a composition, in our words, and the YAML file that a problem comes from."""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from configs.errors import ConfigError
from configs.files import FOLDER, options_of
from configs.keys import known_keys, unknown_key
from configs.schema import Section
from configs.validation import section_message

RECIPE_GROUPS = ("experiment", "debug", "sweep", "launcher")  # whose files set keys of the whole config


def explained(error: Exception, kind: type[Section], overrides: Sequence[Override]) -> str:
    """What Hydra or OmegaConf says, in our words where it is about a key."""
    message = _in_one_line(error)
    known = known_keys(kind)
    group = re.match(r"Could not override '([\w/@]+)'\. ?No match in the defaults list", message)
    if group:
        section = known.get(group[1])
        values = [override.value() for override in overrides if override.key_or_group == group[1]]
        if isinstance(section, type):
            return section_message(group[1], values[-1] if values else None, section)
        return unknown_key(group[1], known)
    again = re.match(r"Multiple values for (\S+)\.", message)
    if again:
        return f"+{again[1]}=...: {again[1]} is chosen already; write {again[1]}=... without the plus sign"
    missing = re.match(r"Could not (?:override|append to config|delete from config).*?'?(hydra\.[\w.]+)", message)
    if missing:
        part = next((part for part in ("launcher", "sweeper") if missing[1].startswith(f"hydra.{part}")), None)
        if part is None:
            return f"{missing[1]}: Hydra has no such setting; --cfg hydra shows those that it has"
        group_name = {"launcher": "launcher", "sweeper": "sweep"}[part]
        options = " or ".join(f"{group_name}={option}" for option in options_of(group_name) if option != "none")
        return f"{missing[1]}: the {part} that is chosen has no such setting; choose another one by {options}"
    if message.startswith("Error merging override") and error.__cause__ is not None:
        return f"{message}: {_in_one_line(error.__cause__)}"
    return message


def _in_one_line(error: BaseException) -> str:
    """What an error says, the key first that OmegaConf names last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    key = next((line.removeprefix("full_key: ") for line in lines if line.startswith("full_key: ")), None)
    message = " ".join(line for line in lines if not line.startswith(("full_key: ", "object_type=", "reference_type=")))
    return f"{key}: {message}" if key else message


def require_packages(plain: Mapping[str, Any], chosen: Mapping[str, str | None]) -> None:
    """Raises ConfigError for a recipe whose settings stand below its group's name, because it names no package."""
    for group, option in chosen.items():
        if group in RECIPE_GROUPS and isinstance(plain.get(group), Mapping):
            reason = "its first line must be '# @package _global_', so that it sets keys of the whole config"
            raise ConfigError([f"{group}/{option}.yaml: {reason}"])


def located(problem: str, files: Sequence[str], folders: Sequence[Path], typed_keys: Collection[str]) -> str:
    """With the YAML file before it that the key comes from, unless the key was typed.

    `files` are those that were composed, without their extension, the strongest first; `folders` is where they lie.
    """
    key = re.split("[=:]", problem, maxsplit=1)[0]
    if any(key == name or key.startswith(f"{name}.") or name.startswith(f"{key}.") for name in typed_keys):
        return problem
    paths = [folder / f"{file}.yaml" for file in files for folder in folders]
    path = next((path for path in paths if path.is_file() and _holds(path, key)), None)
    if path is None:
        return problem
    return f"{path.relative_to(FOLDER.parent) if path.is_relative_to(FOLDER) else path}: {problem}"


def _holds(path: Path, key: str) -> bool:
    """Whether a YAML file sets a key, or the rest of one below the package that it is for."""
    settings = OmegaConf.load(path)
    package = re.search(r"^# *@package +(\S+)", path.read_text(), re.MULTILINE)
    prefix = "" if package and package[1] == "_global_" else f"{package[1] if package else path.parent.name}."
    name = key.removeprefix(prefix)
    is_set = name in map(str, settings) or OmegaConf.select(settings, name, default=None) is not None
    return key.startswith(prefix) and is_set
