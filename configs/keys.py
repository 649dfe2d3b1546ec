"""Which keys a schema has, and the nearest names to one that it has not."""

from collections.abc import Collection, Iterable, Mapping
from difflib import SequenceMatcher
from typing import Annotated, Any, get_args, get_origin

from pydantic.fields import FieldInfo

from configs.schema import Section

LIKENESS = 0.6  # names less alike than this are no help
LEAF_DISCOUNT = 0.05  # the last word alone counts a little less than the whole key
NEARLY = 0.05  # names so much less alike than the best are named with it


def joined(parent: str, name: str) -> str:
    return f"{parent}.{name}" if parent else name


Key = FieldInfo | type[Section]


def known_keys(section: type[Section], parent: str = "") -> dict[str, Key]:
    """Every full key from `parent`, the section itself, down: `model`, `model.context`, `model.context.padding`, ..."""
    known: dict[str, Key] = {parent: section}
    for name, field in section.model_fields.items():
        full, annotation = joined(parent, name), field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            known |= known_keys(annotation, full)
        else:
            known[full] = field
    return known


def takes_names(key: Key | None) -> bool:
    """Whether the value of a key is sections under names that a user gives."""
    return isinstance(key, FieldInfo) and get_origin(key.annotation) is dict


def named_section(key: FieldInfo) -> type[Section]:
    """What each name of such a key stands for."""
    section: type[Section] = get_args(key.annotation)[1]
    return section


def takes_text(key: Key) -> bool:
    """Whether the value of a key is any text, a path for example."""
    if not isinstance(key, FieldInfo) or get_origin(key.annotation) is list or takes_names(key):
        return False
    return key.annotation is str or str in map(_plain_type, get_args(key.annotation))


def _plain_type(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def nearest(word: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names most like a word, best first; keys are also alike when their last words are."""

    def likeness(name: str) -> tuple[float, float]:
        whole = SequenceMatcher(None, word, name).ratio()
        leaf = SequenceMatcher(None, word.rpartition(".")[2], name.rpartition(".")[2]).ratio()
        return max(whole, leaf - LEAF_DISCOUNT), whole

    ranked = sorted(set(known), key=likeness, reverse=True)[:count]
    threshold = max(LIKENESS, *(likeness(name)[0] - NEARLY for name in ranked), 0)
    return [name for name in ranked if likeness(name)[0] >= threshold]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A clause with the nearest names, or nothing; ends in a blank."""
    names = nearest(word, known)
    return f"did you mean {' or '.join(names)}? " if names else ""


def unknown_key(full: str, known: Mapping[str, Key], groups: Collection[str] = ()) -> str:
    """Why `full`, which is none of the known keys, is none, and what to write instead."""
    names = full.split(".")
    depth = next(n for n in reversed(range(len(names))) if ".".join(names[:n]) in known)
    name, place = names[depth], ".".join(names[:depth])
    section = known[place]
    if isinstance(section, FieldInfo):
        return f'{full}: {place} holds a value, there is no "{name}" in it; write {place}=...'
    where = f"in {place}" if place else "at the top"
    listing = ", ".join(dict.fromkeys([*section.model_fields, *([] if place else groups)]))
    candidates = [*filter(None, known), *groups]
    return f'{full}: there is no key "{name}" {where}; {did_you_mean(full, candidates)}known {where}: {listing}'


def unknown_option(group: str, option: object, options: Collection[str]) -> str:
    hint = did_you_mean(str(option), options)
    return f'{group}={option}: there is no {group} named "{option}"; {hint}options: {", ".join(options)}'
