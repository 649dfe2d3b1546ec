"""Configs as plain nested data (what a checkpoint carries) and back, every key and type checked.

Nothing is interpolated, resolved or executed on the way: what comes may be from a stranger.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, overload

from configs.keys import ConfigError, Key, did_you_mean, joined, keys_in, known_keys, unknown_key
from configs.schema import Config

Section = TypeVar("Section")
WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def to_plain(config: Any) -> dict[str, Any]:
    """A config, or a section of one, as nested dicts, lists and scalars; enumeration members by their names."""
    return {entry.name: _plain(getattr(config, entry.name)) for entry in fields(config)}


@overload
def from_plain(plain: Mapping[str, Any]) -> Config: ...
@overload
def from_plain(plain: Mapping[str, Any], kind: type[Section], parent: str = "") -> Section: ...
def from_plain(plain: Mapping[str, Any], kind: type[Any] = Config, parent: str = "") -> Any:
    """The config that `to_plain` turned into data. Keys that are missing take their defaults.

    Raises ConfigError with every unknown key and wrong type. `parent` is where the section stands in the whole config,
    for the messages.
    """
    problems: list[str] = []
    section = read(plain, Key(kind, kind), parent, problems)
    if problems:
        raise ConfigError(problems)
    return section


def with_changes(section: Section, changes: Mapping[str, Any], parent: str = "") -> Section:
    """A section with some of its keys changed, e.g. with `EvalConfig.data`. Raises ConfigError."""
    return from_plain(_merged(to_plain(section), changes), type(section), parent)


def shown(value: Any) -> str:
    """A value as one types it on the command line."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{shown(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(shown, value)) + "]"
    if isinstance(value, Enum):
        return value.name
    names = {None: "null", True: "true", False: "false"}
    return names[value] if value is None or isinstance(value, bool) else f"{value}"


def read(value: Any, key: Key, full: str, problems: list[str]) -> Any:
    """A plain value as the type that a key holds. What does not fit is told in `problems`, and None comes back."""
    if key.section is not None:
        return _read_section(value, key, full, problems)
    if get_origin(key.annotation) is UnionType:
        (inner,) = (kind for kind in get_args(key.annotation) if kind is not type(None))
        return None if value is None else read(value, Key(inner), full, problems)
    if get_origin(key.annotation) is list:
        return _read_list(value, key, full, problems)
    if issubclass(key.annotation, Enum):
        return _read_member(value, key.annotation, full, problems)
    return _read_scalar(value, key.annotation, full, problems)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return to_plain(value)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value.name if isinstance(value, Enum) else value


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merged(merged[name], value) if both else value
    return merged


def _read_section(value: Any, key: Key, full: str, problems: list[str]) -> Any:
    section = key.section
    assert section is not None
    inside = keys_in(section)
    if not isinstance(value, Mapping):
        problems.append(
            f"{full}={shown(value)}: {full} is a section with keys of its own; set one of them, for example "
            f"{full}.{next(iter(inside))}=...; known in {full}: {', '.join(inside)}"
        )
        return None
    known = known_keys(section, full)
    arguments = {}
    for name, inner in value.items():
        if name in inside:
            part = replace(inside[name], partial=key.partial or inside[name].partial)
            arguments[name] = read(inner, part, joined(full, name), problems)
        else:
            problems.append(unknown_key(joined(full, str(name)), known))
    return arguments if key.partial else section(**arguments)


def _read_list(value: Any, key: Key, full: str, problems: list[str]) -> Any:
    (inner,) = get_args(key.annotation)
    if not isinstance(value, list | tuple):
        problems.append(f"{full}={shown(value)}: a list is required; write {full}=[{shown(value)}]")
        return None
    elements = []
    for position, element in enumerate(value):
        misfits: list[str] = []
        elements.append(read(element, Key(inner), full, misfits))
        if misfits:
            required = WORDS.get(inner, "a list")
            problems.append(
                f"{full}={shown(value)}: {required} is required at position {position}; got {shown(element)}"
            )
    return elements


def _read_member(value: Any, kind: type[Enum], full: str, problems: list[str]) -> Any:
    if isinstance(value, kind):
        return value
    names = list(kind.__members__)
    if value in names:
        return kind[value]
    hint = did_you_mean(str(value), names)
    problems.append(f"{full}={shown(value)}: one of {', '.join(names)} is required; {hint}got {shown(value)}")
    return None


def _read_scalar(value: Any, kind: type, full: str, problems: list[str]) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and is_number:
        return float(value)
    if isinstance(value, kind) and (kind is not int or is_number):
        return value
    if kind is int and is_number and float(value).is_integer():
        advice = f"write {full}={int(value)}"
    elif kind is bool:
        advice = "write true or false"
    else:
        advice = f"got {_described(value)}"
    problems.append(f"{full}={shown(value)}: {WORDS[kind]} is required; {advice}")
    return None


def _described(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return f'the text "{value}"' if value else "nothing"
    return f"the list {shown(value)}" if isinstance(value, list | tuple) else shown(value)
