"""The table of faults names tests and campaigns that are there."""

import ast
import re
from functools import cache
from pathlib import Path

from tests.helpers.programs import ROOT
from tests.torture.__main__ import CAMPAIGNS, table
from tests.torture.tries import Outcome, Setting

PAGE = (ROOT / "docs" / "faults.md").read_text()
ROWS = re.findall(r"^\| (\d+) \|(.+)\|(.+)\|(.+)\|(.*)\|$", PAGE, re.MULTILINE)
NUM_FAULTS = 40


@cache
def names_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_fault_has_a_row_in_its_order() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, NUM_FAULTS + 1))


def test_every_fault_is_shown_by_tests_that_are_there() -> None:
    for number, _, _, shown, _ in ROWS:
        names = re.findall(r"`(\S+)::(\w+)`", shown)
        assert names, f"row {number} names no test"
        for file, name in names:
            assert name in names_in(file), f"{file}::{name}"


def test_every_campaign_that_is_named_is_there_and_every_one_is_named() -> None:
    assert {name for *_, named in ROWS for name in re.findall(r"`(\w+)`", named)} == set(CAMPAIGNS)


def test_the_table_of_the_campaigns_counts_by_fault_and_ends_with_the_sum() -> None:
    outcomes = [Outcome("cut", 0), Outcome("cut", 1, lost="loaded silently"), Outcome("killed", -1)]
    lines = [line.split() for line in table(outcomes).strip().splitlines()]
    assert lines[1:3] == [["cut", "2", "1", "1"], ["killed", "1", "1", "0"]]
    assert table(outcomes).splitlines()[-1] == "torture: 3 tries, 1 lost"


def test_a_smaller_scale_makes_tries_of_all_kinds_and_each_draws_what_it_draws_in_the_whole() -> None:
    whole, part = Setting(Path("resume")), Setting(Path("resume"), scale=0.25)
    assert whole.numbers(8) == list(range(8)) and part.numbers(8) == [0, 4] and part.numbers(1) == [0]
    assert Setting(Path("resume"), only=5).numbers(8) == [5]
    assert part.random(4).random() == whole.random(4).random() != whole.random(5).random()
