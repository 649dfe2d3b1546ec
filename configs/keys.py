"""Which keys and groups there are, and the nearest ones to a word that is none of them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, get_type_hints

from configs.errors import UserError

LIKENESS = 0.6  # names less alike than this are no help
LEAF_DISCOUNT = 0.05  # the last word alone counts a little less than the whole key
NEARLY = 0.05  # names so much less alike than the best are named with it


class ConfigError(UserError):
    """Everything that is wrong with a config, one message each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class Key:
    """What a key holds. A section is a dataclass, or (`partial`) a dict that takes some of a dataclass's keys.

    What lies in a partial section is partial, too: a key that was not given must not come back as its default.
    """

    annotation: Any
    section: type | None = None
    partial: bool = False
    is_path: bool = False


def joined(parent: str, name: str) -> str:
    return f"{parent}.{name}" if parent else name


def keys_in(schema: type) -> dict[str, Key]:
    """The keys right inside a section."""
    hints = get_type_hints(schema)
    found = {}
    for entry in fields(schema):
        annotation = hints[entry.name]
        part = entry.metadata.get("keys_of")
        section = annotation if isinstance(annotation, type) and is_dataclass(annotation) else part
        found[entry.name] = Key(annotation, section, part is not None, entry.metadata.get("path", False))
    return found


def known_keys(section: type, parent: str = "") -> Mapping[str, Key]:
    """Every full key from `parent`, the section itself, down: `model`, `model.context`, `model.context.padding`, ..."""
    known = {parent: Key(section, section)}
    for name, key in keys_in(section).items():
        full = joined(parent, name)
        known |= known_keys(key.section, full) if key.section else {}
        known[full] = key
    return known


def groups_in(folder: Path) -> dict[str, list[str]]:
    """The groups of YAML files right below a folder and the options of each."""
    groups: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*/*.yaml")):
        groups.setdefault(path.parent.name, []).append(path.stem)
    return groups


def nearest(word: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names most like a word, best first; keys are also alike when their last words are."""

    def likeness(name: str) -> tuple[float, float]:
        whole = SequenceMatcher(None, word, name).ratio()
        leaf = SequenceMatcher(None, word.rpartition(".")[2], name.rpartition(".")[2]).ratio()
        return max(whole, leaf - LEAF_DISCOUNT), whole

    ranked = sorted(set(known), key=likeness, reverse=True)[:count]
    least = max(LIKENESS, *(likeness(name)[0] - NEARLY for name in ranked), 0)
    return [name for name in ranked if likeness(name)[0] >= least]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A clause with the nearest names, or nothing; ends in a blank."""
    names = nearest(word, known)
    return f"did you mean {' or '.join(names)}? " if names else ""


def unknown_key(full: str, known: Mapping[str, Key], groups: Collection[str] = ()) -> str:
    """Why `full`, which is none of the known keys, is none, and what to write instead."""
    words = full.split(".")
    depth = next(n for n in reversed(range(len(words))) if ".".join(words[:n]) in known)
    word, place = words[depth], ".".join(words[:depth])
    section = known[place].section
    if section is None:
        return f'{full}: {place} holds a value, there is no "{word}" in it; write {place}=...'
    where = f"in {place}" if place else "at the top"
    listing = ", ".join(dict.fromkeys([*keys_in(section), *([] if place else groups)]))
    candidates = [*filter(None, known), *groups]
    return f'{full}: there is no key "{word}" {where}; {did_you_mean(full, candidates)}known {where}: {listing}'


def unknown_option(group: str, option: object, options: Collection[str]) -> str:
    hint = did_you_mean(str(option), options)
    return f'{group}={option}: there is no {group} named "{option}"; {hint}options: {", ".join(options)}'
