"""Which samples are trained on and which are scored, where no files say so: by their groups, or by a share."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path

from configs.errors import UserError
from configs.schema import DataConfig
from data.dataset import FileSet, ImageSet
from data.joined import sources_of
from data.names import readable

MOST_NAMED = 12  # groups in a line


def open_split(config: DataConfig, split: str, open_files: Callable[[str], FileSet]) -> FileSet:
    """The samples of a split, from files that `open_files` opens by the name of a split.

    With `data.hold_out` or `data.folder.val_share` both train_split and val_split are parts of the files of
    train_split; what both name is trained on. Raises UserError where a part would be empty, or does not exist.
    """
    share = config.folder.val_share if config.name == "folder" else 0.0
    if split not in (config.train_split, config.val_split) or not (config.hold_out or share):
        return open_files(split)
    whole, train = open_files(config.train_split), config.train_split
    held_out = _names_in_groups(whole, config) if config.hold_out else _names_in_share(whole, config)
    part = ", ".join(config.hold_out) if config.hold_out else f"{100 * share:.3g} %"
    is_train = split == train
    return replace(
        whole,
        pairs=[pair for pair in whole.pairs if (pair.name in held_out) != is_train],
        split=f"{train} without {readable(part)}" if is_train else f"{split} = {readable(part)} of {train}",
    )


def group_lines(train_set: ImageSet, val_set: ImageSet) -> list[str]:
    """How many images of which group each of the two has, where groups are known; a warning if they share some."""
    train, val = _group_sizes(train_set), _group_sizes(val_set)
    if not train or not val:
        return []
    lines = [f"images of each group: {_listing(train)} to train on; {_listing(val)} to score"]
    shared = Counter({group: count for group, count in val.items() if group in train})
    if shared:
        lines.append(
            f"warning: {shared.total()} of the {val.total()} images to score are of groups to train on, "
            f"{_listing(shared)}; images of a group are alike, so the score flatters; data.hold_out=[GROUP] keeps a "
            "group from training and scores it"
        )
    return lines


def _names_in_groups(whole: FileSet, config: DataConfig) -> set[str]:
    key, sizes = f"data.hold_out=[{','.join(map(readable, config.hold_out))}]", _group_sizes(whole)
    for group in config.hold_out:
        if group not in sizes:
            nearest = get_close_matches(group, sizes, n=1)
            hint = f"did you mean {nearest[0]}? " if nearest else ""
            raise UserError(
                f"{key}: {config.train_split} has no group {readable(group)}; {hint}groups and their images: "
                f"{_listing(sizes)}; correct the key"
            )
    if len(set(config.hold_out)) == len(sizes):
        raise UserError(
            f"{key}: nothing is left to train on; {config.train_split} has these groups and images: {_listing(sizes)}; "
            "hold out fewer of them"
        )
    return {pair.name for pair in whole.pairs if _group(whole, pair.name) in config.hold_out}


def _names_in_share(whole: FileSet, config: DataConfig) -> set[str]:
    """Those whose hash, as a number from 0 to 1, lies below the share: no name depends on another."""
    share, key = config.folder.val_share, f"data.folder.val_share={config.folder.val_share}"
    root, folder = Path(config.root or ""), config.folder
    train, val = (sources_of(root, split, folder) for split in (config.train_split, config.val_split))
    existing = [path for path in val if path not in train and os.path.exists(path)]
    if existing:
        raise UserError(
            f"{key}: there is a split {config.val_split} already, {readable(existing[0])}, and a share is taken where "
            "there is none; set data.folder.val_share=0, or name the share otherwise by data.val_split"
        )
    units = {pair.name: _group(whole, pair.name) if whole.group_of else readable(pair.name) for pair in whole.pairs}
    held_out = {name for name, unit in units.items() if _hash_fraction(unit) < share}
    if len(held_out) in (0, len(whole)):
        num, kind = len(set(units.values())), "groups" if whole.group_of else "images"
        raise UserError(
            f"{key}: the hash gives {'none' if not held_out else 'all'} of the {num} {kind} of {config.train_split} to "
            "validation, and both parts need some; set another share, or choose the groups by data.hold_out"
        )
    return held_out


def _hash_fraction(text: str) -> float:
    return int.from_bytes(sha256(text.encode()).digest()[:8]) / 2**64


def _group(images: FileSet, name: str) -> str:
    assert images.group_of is not None, "configs/data_rules.py asks for groups"
    return images.group_of(name)


def _group_sizes(images: ImageSet) -> Counter[str]:
    """Images of every group, by its name; empty where groups are not known."""
    if not isinstance(images, FileSet) or images.group_of is None:
        return Counter()
    return Counter(sorted(images.group_of(pair.name) for pair in images.pairs))


def _listing(sizes: Counter[str]) -> str:
    named = [f"{readable(group)} ({count})" for group, count in list(sizes.items())[:MOST_NAMED]]
    return ", ".join(named) + (f" and {len(sizes) - MOST_NAMED} more" if len(sizes) > MOST_NAMED else "")
