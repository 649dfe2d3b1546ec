"""Damaged files: what was not written is not loaded."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from configs.errors import UserError
from configs.schema import SAFETENSORS_SUFFIX
from engine.runs import checkpoint
from engine.runs.folder import BEST_NAME, LAST_NAME
from engine.runs.network_file import read_network, write_safetensors
from tests.torture import runs
from tests.torture.processes import answer
from tests.torture.tries import Outcome, Setting

NUM_FILES = 300
BLOCK, PAGE = 512, 4096  # bytes


def flipped(content: bytearray, draw: random.Random) -> None:
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)


def cut(content: bytearray, draw: random.Random) -> None:
    del content[draw.randrange(len(content)) :]


def swapped(content: bytearray, draw: random.Random) -> None:
    one, other = (BLOCK * number for number in draw.sample(range(len(content) // BLOCK), 2))
    parts = content[one : one + BLOCK], content[other : other + BLOCK]
    content[other : other + BLOCK], content[one : one + BLOCK] = parts


def zeroed(content: bytearray, draw: random.Random) -> None:
    begin = PAGE * draw.randrange(len(content) // PAGE)
    content[begin : begin + PAGE] = bytes(PAGE)


DAMAGES: dict[str, Callable[[bytearray, random.Random], None]] = {
    "one flipped bit": flipped,
    "cut": cut,
    "two blocks swapped": swapped,
    "a page of zeros": zeroed,
}


def damage(setting: Setting) -> Iterator[Outcome]:
    data, run_dir = setting.folder / "set", setting.folder / "run"
    runs.write_set(data)
    failed = runs.finished(runs.words(data), run_dir)
    assert not failed, failed
    exported = run_dir / f"model{SAFETENSORS_SUFFIX}"
    failed = answer(lambda: _export(run_dir / BEST_NAME, exported), setting.folder / "export")
    assert not failed, failed
    sources = [run_dir / LAST_NAME, exported]
    for number in setting.numbers(NUM_FILES):
        source, name = sources[number % 2], list(DAMAGES)[number // 2 % len(DAMAGES)]
        path = setting.folder / f"damaged{source.suffix}"
        path.write_bytes(_damaged(source.read_bytes(), DAMAGES[name], setting.random(number)))
        yield Outcome(
            f"{name} in {source.name}", number, answer(lambda path=path: _read(path), setting.folder / "read")
        )


def _export(best: Path, path: Path) -> str:
    with path.open("wb") as file:
        write_safetensors(file, read_network(best))
    read_network(path)  # whole as it is
    return ""


def _damaged(content: bytes, change: Callable[[bytearray, random.Random], None], draw: random.Random) -> bytes:
    """Changed until it differs: a page of zeros may be one already."""
    damaged = bytearray(content)
    while damaged == content:
        change(damaged, draw)
    return bytes(damaged)


def _read(path: Path) -> str:
    """What is wrong with how a damaged file is read."""
    readers = [read_network] if path.suffix == SAFETENSORS_SUFFIX else [checkpoint.load, read_network]
    for reader in readers:
        try:
            reader(path)
        except UserError as error:
            if path.name not in str(error):
                return f"refused without its name: {error}"
        else:
            return f"loaded silently by {reader.__name__}"
    return ""
