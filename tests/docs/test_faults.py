"""The table of faults names tests and campaigns that are there."""

import ast
import re

from tests.helpers.programs import ROOT

PAGE = (ROOT / "docs" / "faults.md").read_text()
ROWS = re.findall(r"^\| (\d+) \|(.+)\|(.+)\|(.+)\|(.*)\|$", PAGE, re.MULTILINE)
NUM_FAULTS = 40


def test_every_fault_has_a_row_in_its_order() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, NUM_FAULTS + 1))


def test_every_fault_is_shown_by_tests_that_are_there() -> None:
    for number, _, _, shown, _ in ROWS:
        names = re.findall(r"`(\S+)::(\w+)`", shown)
        assert names, f"row {number} names no test"
        for file, name in names:
            tree = ast.parse((ROOT / "tests" / file).read_text())
            assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"
