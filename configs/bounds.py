"""Which values lie outside the bounds that stand in the schema's field metadata (see `schema.bounded`)."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields, is_dataclass
from typing import Any

from configs.keys import joined
from configs.plain import shown

POSITIVE = "a positive integer"


def out_of_bounds(section: Any, parent: str = "") -> list[str]:
    """One message for every value, or list element, of a config (or its section `parent`) that breaks a bound."""
    return [message for key, value, entry in _entries(section, parent) for message in _broken(key, value, entry)]


def _entries(section: Any, parent: str) -> Iterator[tuple[str, Any, Field[Any]]]:
    """Every key below a section with its value and field; sections themselves left out."""
    for entry in fields(section):
        key, value = joined(parent, entry.name), getattr(section, entry.name)
        if is_dataclass(value):
            yield from _entries(value, key)
        else:
            yield key, value, entry


def _broken(key: str, value: Any, entry: Field[Any]) -> list[str]:
    bounds, name = entry.metadata, entry.name
    if not isinstance(value, list):
        required = _required(value, bounds)
        return [f"{key}={shown(value)}: it must be {required}"] if required else []
    assert callable(entry.default_factory), f"{key} is a list, it has a default factory"
    found = _wrong_length(key, value, bounds, example=shown(entry.default_factory()))
    for position, element in enumerate(value):
        required = _required(element, bounds)
        if required:
            plural = "positive integers" if required == POSITIVE else required
            found.append(f"{key}={shown(value)}: {name} are {plural}; got {shown(element)} at position {position}")
    return found


def _wrong_length(key: str, values: list[Any], bounds: Mapping[str, Any], example: str) -> list[str]:
    if bounds.get("filled") and not values:
        return [f"{key}=[]: at least one value is required; for example {key}={example}"]
    lengths = bounds.get("lengths", (len(values),))
    if len(values) in lengths:
        return []
    wanted = " or ".join("none" if length == 0 else str(length) for length in lengths)
    return [f"{key}={shown(values)}: {wanted} values are required; got {len(values)}"]


def _required(value: Any, bounds: Mapping[str, Any]) -> str:
    """The bound that a number breaks, in words; empty if it breaks none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    if not math.isfinite(value):
        return "finite"
    if "above" in bounds and value <= bounds["above"]:
        return f"greater than {bounds['above']}"
    if "at_least" in bounds and value < bounds["at_least"]:
        positive = bounds["at_least"] == 1 and isinstance(value, int)
        return POSITIVE if positive else f"at least {bounds['at_least']}"
    if "at_most" in bounds and value > bounds["at_most"]:
        return f"at most {bounds['at_most']}"
    if "multiple_of" in bounds and value % bounds["multiple_of"]:
        return f"divisible by {bounds['multiple_of']}"
    return ""
