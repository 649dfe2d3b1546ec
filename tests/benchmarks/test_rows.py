"""The arithmetic of rows: medians, ratios, spreads, lower bounds, verdicts, exit code, file."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import LATEST, PARTIAL, all_groups, main
from benchmarks.harness import Rounds, Run, Series, Task, Work
from benchmarks.peaks import Peaks
from benchmarks.rows import Group, Note, Pairing, Row, compared
from benchmarks.session import Session, header, is_beaten, table, write

PEAKS = Peaks({"float32": 100.0, "bfloat16": 50.0}, bytes_per_s=10.0)


class GivenPeaks(Peaks):
    """Measures nothing."""

    def measure(self, repeats: int = 1) -> None:
        pass


def series(*seconds: float, grown_mib: float = 1.0) -> Series:
    return Series([Run(value, peak_mib=10 * value, grown_mib=grown_mib) for value in seconds])


def row(**changes: object) -> Row:
    plain = Row("a row", 2.0, 3.0, 1.0, 1.5, 0.1, orientation=False, alternative_name="theirs")
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_a_ratio_is_the_median_over_the_rounds_and_its_spread_half_their_range() -> None:
    # Round by round 2, 3 and 1.5; the medians' own ratio would be 4 / 2 = 2 as well, but not below.
    assert compared([1.0, 2.0, 4.0], [2.0, 6.0, 6.0]) == (2.0, 0.75)
    # A machine that slows down for both changes no ratio, where medians would give 10 / 2 = 5.
    assert compared([1.0, 10.0, 2.0], [1.0, 10.0, 20.0]) == (1.0, 4.5)
    assert compared([2.0], [3.0]) == (1.5, 0.0)
    assert compared([1.0, 2.0, 4.0], [8.0]) == (4.0, 3.0), "run once: against every run of ours"


def test_a_row_holds_the_medians_of_what_was_measured() -> None:
    pairing = Pairing("a row", "ours", "theirs", "theirs", limit=lambda _, peaks: peaks.seconds(50, "float32"))
    found = pairing.row({"ours": series(1.0, 2.0, 4.0), "theirs": series(2.0, 6.0, 6.0)}, PEAKS)
    assert (found.ours, found.alternative, found.limit, found.ratio, found.spread) == (2.0, 6.0, 0.5, 2.0, 0.75)
    assert (found.peak_mib, found.alternative_peak_mib, found.is_bound) == (40.0, 60.0, False)


def test_a_lower_bound_is_divided_by_our_median_and_has_no_spread() -> None:
    pairing = Pairing("a row", "ours", "theirs", "theirs")
    found = pairing.row({"ours": series(1.0, 2.0, 4.0), "theirs": Series(at_least_s=150.0)}, PEAKS)
    assert (found.alternative, found.ratio, found.spread, found.is_bound) == (150.0, 75.0, 0.0, True)
    assert found.holds and "> 75.00" in table([found]) and "> 150" in table([found])


def test_memory_is_compared_by_what_the_work_adds() -> None:
    pairing = Pairing("a row", "ours", "theirs", "theirs", unit="MiB", limit=lambda _, __: 2.0)
    measured = {"ours": series(1.0, grown_mib=4.0), "theirs": series(1.0, grown_mib=160.0)}
    found = pairing.row(measured, PEAKS)
    assert (found.ours, found.alternative, found.ratio, found.limit) == (4.0, 160.0, 40.0, 2.0)
    assert "160 MiB" in table([found])


def test_the_time_of_another_task_can_be_the_limit() -> None:
    pairing = Pairing("a row", "ours", None, limit_task="bare")
    found = pairing.row({"ours": series(2.0), "bare": series(1.5, 1.0)}, PEAKS)
    assert (found.limit, found.alternative, found.ratio, found.spread) == (1.0, None, None, None)
    assert found.holds and found.verdict == "" and pairing.tasks == ["ours", "bare"]


def test_mixed_precision_is_held_against_the_faster_of_both_products() -> None:
    assert PEAKS.seconds(200, "float32") == 2.0 and PEAKS.seconds(200, "bfloat16") == 2.0
    assert Peaks({"float32": 100.0, "bfloat16": 200.0}).seconds(200, "bfloat16") == 1.0


@pytest.mark.parametrize(
    ("ratio", "spread", "orientation", "holds"),
    [(1.2, 0.0, False, True), (0.95, 0.05, False, True), (0.9, 0.05, False, False), (0.5, 0.0, True, True)],
)
def test_a_row_holds_where_ratio_and_spread_come_to_one(
    ratio: float, spread: float, orientation: bool, holds: bool
) -> None:
    found = row(ratio=ratio, spread=spread, orientation=orientation)
    assert found.holds == holds
    assert ("BEHIND" in table([found])) == (not holds)


def test_a_target_is_printed_and_fails_nothing() -> None:
    found = row(ratio=1.2, target=1.7)
    assert found.holds and "(wanted: 1.7)" in table([found])


def test_what_is_faster_than_its_limit_is_said() -> None:
    assert not is_beaten(row()) and not is_beaten(row(limit=None))
    assert not is_beaten(row(alternative=0.5, orientation=True)), "a limit of our network is none of another's"
    assert is_beaten(row(limit=2.5)) and is_beaten(row(alternative=0.5)) and is_beaten(row(alternative=None, limit=3.0))


def test_the_file_holds_header_rows_and_notes(tmp_path: Path) -> None:
    write(tmp_path / "latest.json", header(threads=2), [row(), row(ratio=0.5)], ["a note"])
    content = json.loads((tmp_path / "latest.json").read_text())
    assert {"date", "processor", "cores", "threads", "versions"} <= content["header"].keys()
    first, second = content["rows"]
    assert (first["name"], first["ours"], first["alternative"], first["limit"]) == ("a row", 2.0, 3.0, 1.0)
    assert (first["ratio"], first["spread"], first["orientation"], first["holds"]) == (1.5, 0.1, False, True)
    assert not second["holds"] and content["notes"] == ["a note"]


def unused() -> Work:
    raise AssertionError("nothing is measured in these tests")


class FakeMeasure:
    """Gives the series by the names of the tasks, and notes which were asked for."""

    def __init__(self, given: Mapping[str, Series]) -> None:
        self.given, self.asked = given, [("", Rounds())][:0]

    def __call__(self, tasks: Mapping[str, Task], rounds: Rounds) -> dict[str, Series]:
        self.asked += [(name, rounds) for name in tasks]
        return {name: self.given[name] for name in tasks}


def session(measure: FakeMeasure) -> Session:
    return Session(Rounds(limit_s=150.0), GivenPeaks(), measure, say=lambda _: None, clock=lambda: 0.0)


def group(name: str, *, includes: str | None = None) -> Group:
    tasks = {f"{name} ours": Task(unused), f"{name} theirs": Task(unused, includes=includes)}
    return Group(tasks, [Pairing(name, f"{name} ours", f"{name} theirs", "theirs")])


def test_work_that_holds_what_did_not_end_is_not_tried_and_shares_its_bound() -> None:
    endless = Series(at_least_s=150.0)
    measure = FakeMeasure({"fc6 ours": series(1.0), "fc6 theirs": endless, "step ours": series(3.0)})
    run = session(measure)
    run.run([group("fc6"), group("step", includes="fc6 theirs")])
    assert [name for name, _ in measure.asked] == ["fc6 ours", "fc6 theirs", "step ours"]
    assert [(found.name, found.ratio, found.is_bound) for found in run.rows()] == [
        ("fc6", 150.0, True),
        ("step", 50.0, True),
    ]


def test_the_exit_code_is_1_where_a_row_does_not_hold() -> None:
    given = {"a ours": series(1.0), "a theirs": series(2.0), "b ours": series(2.0), "b theirs": series(1.0)}
    run = session(FakeMeasure(given))
    run.run([group("a")])
    assert run.exit_code() == 0
    run.run([group("b")])
    assert run.exit_code() == 1 and [found.holds for found in run.rows()] == [True, False]


def test_who_takes_no_part_is_skipped_with_a_line() -> None:
    run = session(FakeMeasure({"a ours": series(1.0), "a theirs": Series(unavailable="not installed")}))
    run.run([group("a")])
    assert run.rows() == [] and run.exit_code() == 0
    assert run.notes()[1:] == ["skipped: a: a theirs: not installed"]


@pytest.mark.parametrize(("crashed", "code", "line"), [("theirs", 0, "skipped: a: "), ("ours", 1, "FAILED: a: ")])
def test_where_the_alternative_crashes_there_is_no_row_and_where_ours_does_the_run_fails(
    crashed: str, code: int, line: str
) -> None:
    given = {"a ours": series(1.0), "a theirs": series(1.0)}
    run = session(FakeMeasure({**given, f"a {crashed}": Series(unavailable="it died", is_crashed=True)}))
    run.run([group("a")])
    assert run.rows() == [] and run.exit_code() == code
    assert run.notes()[1:] == [f"{line}a {crashed}: it died"]


def test_where_ours_does_not_end_the_run_fails() -> None:
    run = session(FakeMeasure({"a ours": Series(at_least_s=150.0), "a theirs": series(1.0)}))
    run.run([group("a")])
    assert run.rows() == [] and run.exit_code() == 1
    assert run.notes()[1:] == ["FAILED: a: ours did not end in 150 s"]


def test_a_measurement_that_fails_loses_no_other_and_fails_the_run() -> None:
    def measure(tasks: Mapping[str, Task], rounds: Rounds) -> dict[str, Series]:
        if "a ours" in tasks:
            raise RuntimeError("a measurement failed")
        return {name: series(1.0) for name in tasks}

    run = Session(Rounds(), GivenPeaks(), measure, say=lambda _: None, clock=lambda: 0.0)
    run.run([group("a"), group("b")])
    assert [found.name for found in run.rows()] == ["b"] and run.exit_code() == 1
    assert run.notes()[1:] == ["FAILED: a: a measurement failed"]


def test_a_note_is_measured_once_and_its_lines_follow_the_table() -> None:
    note = Note("parts", "parts of a step", lambda value, _: [f"{value} of it"])
    measure = FakeMeasure({"parts of a step": Series([Run(1.0, 0.0, 0.0, value="half")])})
    run = session(measure)
    run.run([Group({"parts of a step": Task(unused)}, notes=[note])])
    assert run.notes()[1:] == ["parts: half of it"] and run.rows() == []
    ((_, rounds),) = measure.asked
    assert (rounds.least, rounds.most) == (1, 1)


def test_a_chosen_row_brings_only_the_tasks_that_it_needs() -> None:
    tasks = {name: Task(unused) for name in ("ours", "plain", "other", "bare")}
    pairings = [
        Pairing("step", "ours", "plain", limit_task="bare"),
        Pairing("step, other", "ours", "other", orientation=True),
    ]
    chosen = Group(tasks, pairings).only(lambda name: name == "step")
    assert list(chosen.tasks) == ["ours", "plain", "bare"] and chosen.names == ["step"]
    assert Group(tasks, pairings).only(lambda _: False).names == []


def test_all_rows_have_names_of_their_own_and_every_task_that_they_name() -> None:
    names = []
    for found in all_groups(threads=2):
        names += found.names
        needed = {task for pairing in found.pairings for task in pairing.tasks} | {note.task for note in found.notes}
        assert needed == set(found.tasks)
    assert len(names) == len(set(names)) > 50


def test_a_task_is_only_spared_for_one_that_was_measured_before() -> None:
    before: set[str] = set()
    for found in all_groups(threads=2):
        assert {task.includes for task in found.tasks.values() if task.includes} <= before
        before |= found.tasks.keys()


def test_a_name_that_matches_nothing_is_refused_and_a_list_measures_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--only", "no such row"])
    assert refused.value.code == 2 and "no row has such a name" in capsys.readouterr().err
    assert main(["--list", "--only", "fc6*"]) == 0
    assert all(line.startswith("fc6") for line in capsys.readouterr().out.splitlines())
    assert LATEST != PARTIAL
