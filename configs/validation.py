"""Plain data judged by a schema: pydantic finds what is wrong, and says it here in the words of the command line."""

import functools
import operator
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from configs.errors import ConfigError
from configs.keys import Key, did_you_mean, known_keys, named_section, takes_names, unknown_key
from configs.schema import Section

Kind = TypeVar("Kind", bound=Section)
NAME_FAULT = "[key]"  # pydantic's last word on the place of a name that is at fault
TYPES = {"int": "a whole number", "float": "a number", "string": "a text", "bool": "true or false"}
BOUNDS = {
    "greater_than": "greater than {}",
    "greater_than_equal": "at least {}",
    "less_than_equal": "at most {}",
    "multiple_of": "divisible by {}",
    "finite_number": "finite",
}


def validated(kind: type[Kind], plain: Mapping[str, Any], parent: str = "", groups: Collection[str] = ()) -> Kind:
    """The config, or its section `parent`, that plain data describes. Keys that are missing take their defaults.

    Raises ConfigError with every unknown key, wrong type and broken bound; `groups` are named beside unknown keys.
    Nothing is interpolated or executed on the way: the data may be a stranger's.
    """
    try:
        return kind.model_validate(plain)
    except ValidationError as error:
        raise ConfigError(_messages(error, kind, plain, parent, groups)) from None


def without_errors(kind: type[Kind], plain: Mapping[str, Any]) -> Kind:
    """The config without what `validated` refuses, so that other rules can judge the rest."""
    try:
        return kind.model_validate(plain)
    except ValidationError as error:
        for detail in error.errors():
            place = detail["loc"] if detail["type"] != "missing" else detail["loc"][:-1]
            plain = _without(plain, [part for part in place if isinstance(part, str) and part != NAME_FAULT])
        return kind.model_validate(plain)


def with_changes(section: Kind, changes: Mapping[str, Any], parent: str = "") -> Kind:
    """A section with some of its keys changed. Raises ConfigError."""
    return validated(type(section), _merged(section.model_dump(), changes), parent)


def shown(value: Any) -> str:
    """A value as one types it on the command line."""
    if isinstance(value, BaseModel):
        return shown(value.model_dump())
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{shown(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(shown, value)) + "]"
    names = {None: "null", True: "true", False: "false"}
    return names[value] if value is None or isinstance(value, bool) else f"{value}"


def section_message(full: str, value: Any, section: type[Section]) -> str:
    """The message for a section `full` that was set as if it were a value."""
    names = list(section.model_fields)
    return (
        f"{full}={shown(value)}: {full} is a section with keys of its own; set one of them, for example "
        f"{full}.{names[0]}=...; known in {full}: {', '.join(names)}"
    )


def _messages(
    error: ValidationError, kind: type[Section], plain: Mapping[str, Any], parent: str, groups: Collection[str]
) -> Iterator[str]:
    known = _with_given_names(known_keys(kind, parent), plain, parent)
    for detail in error.errors(include_url=False):
        names = _names(detail["loc"], known, parent)
        full = ".".join([parent, *names] if parent else names)
        if detail["type"] == "extra_forbidden":
            yield unknown_key(_first_leaf(full, detail["input"]), known, groups)
            continue
        if detail["type"] == "missing":
            yield f"{full}: it is required; write {full}=..."
            continue
        key, value = known[full], functools.reduce(operator.getitem, names, plain)
        if detail["loc"][-1] == NAME_FAULT:
            yield f"{full}: {detail['msg']} is required"
        elif isinstance(key, FieldInfo):
            yield f"{full}={shown(value)}: {_fault(detail, full, key)}"
        else:
            yield section_message(full, value, key)


def _with_given_names(known: Mapping[str, Key], plain: Mapping[str, Any], parent: str) -> dict[str, Key]:
    """The known keys, with those below every name that a user has given to a section."""
    every = dict(known)
    for full, key in known.items():
        if not isinstance(key, FieldInfo) or not takes_names(key):
            continue
        value: Any = plain
        for name in full.removeprefix(f"{parent}.").split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, Mapping):
            every[full] = named_section(key)
            for name in value:
                every |= known_keys(named_section(key), f"{full}.{name}")
    return every


def _names(place: Sequence[str | int], known: Mapping[str, Any], parent: str) -> list[str]:
    """The key of a fault, without what follows it: a position in a list, or the branch of a union."""
    names: list[str] = []
    for part in place:
        full = ".".join([parent, *names] if parent else names)
        if isinstance(part, int) or part == NAME_FAULT or isinstance(known.get(full), FieldInfo):
            break
        names.append(part)
    return names


def _first_leaf(full: str, value: Any) -> str:
    """The first whole key below a key, as it was typed."""
    while isinstance(value, Mapping) and value:
        name, value = next(iter(value.items()))
        full = f"{full}.{name}"
    return full


def _fault(detail: ErrorDetails, full: str, field: FieldInfo) -> str:
    """What is required of a value or of an element of a list, and what to write instead."""
    value, error, bounds = detail["input"], detail["type"], detail.get("ctx", {})
    positions = [part for part in detail["loc"] if isinstance(part, int)]
    if error in BOUNDS:
        required = BOUNDS[error].format(*map(_number, bounds.values()))
        if error == "greater_than_equal" and bounds["ge"] == 1 and isinstance(value, int):
            required = "positive integers" if positions else "a positive integer"
        if not positions:
            return f"it must be {required}"
        return f"{full.rpartition('.')[2]} are {required}; got {shown(value)} at position {positions[0]}"
    if error == "none_or":
        return f"{detail['msg']}; got {len(value)}"
    if error in ("too_short", "too_long"):
        length = bounds.get("min_length", bounds.get("max_length"))
        if length == 1:
            return f"at least one value is required; for example {full}={shown(field.get_default())}"
        return f"{length} values are required; got {len(value)}"
    if error == "list_type":
        return f"a list is required; write {full}=[{shown(value)}]"
    if error == "literal_error":
        options = _options(field.annotation)
        alternative = " or a list" if list in map(_kind, get_args(field.annotation)) else ""
        hint = did_you_mean(str(value), options)
        return f"one of {', '.join(options)}{alternative} is required; {hint}got {shown(value)}"
    required = TYPES.get(error.partition("_")[0], detail["msg"])
    if positions:
        return f"{required} is required at position {positions[0]}; got {shown(value)}"
    return f"{required} is required; {_hint(full, value, error)}"


def _options(annotation: Any) -> tuple[str, ...]:
    """The values of a Literal, or of those in a union."""
    arguments = get_args(annotation)
    if get_origin(annotation) is Literal:
        return arguments
    return tuple(option for argument in arguments for option in _options(argument))


def _kind(annotation: Any) -> Any:
    """What an annotation is of, for example `list`."""
    return get_origin(get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation)


def _hint(full: str, value: Any, error: str) -> str:
    if error == "int_type" and isinstance(value, float) and value.is_integer():
        return f"write {full}={int(value)}"
    if error == "bool_type":
        return "write true or false"
    if value is None:
        return "got null"
    if isinstance(value, str):
        return f'got the text "{value}"' if value else "got nothing"
    return f"got the list {shown(value)}" if isinstance(value, list) else f"got {shown(value)}"


def _number(bound: float) -> float:
    return int(bound) if float(bound).is_integer() else bound


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merged(merged[name], value) if both else value
    return merged


def _without(plain: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """A copy without the key that the names lead to."""
    copy = dict(plain)
    if len(names) > 1 and isinstance(copy.get(names[0]), Mapping):
        copy[names[0]] = _without(copy[names[0]], names[1:])
    else:
        copy.pop(names[0], None)
    return copy
