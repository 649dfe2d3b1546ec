"""What predict.py says at its end."""

from pathlib import Path

from assembly.predictions import Report
from configs.errors import DamagedFileError, UserError
from data.inputs import Input


def test_the_end_counts_everything_and_names_the_first_that_were_left_out() -> None:
    report = Report(num_inputs=20, num_labelled=8, num_there_before=5, seconds=2.0)
    for number, kind in enumerate([UserError, DamagedFileError, *[UserError] * 5]):
        report.leave_out(Input(Path(f"in/{number}.jpg"), f"{number}"), kind("damaged"))
    listing = ", ".join(f"in/{number}.jpg" for number in range(5))
    assert str(report) == (f"inputs: 20; labelled: 8, 0.25 s each; there already: 5; left out: 7, {listing} and 2 more")
    assert report.exit_code == DamagedFileError.exit_code


def test_nothing_is_said_of_what_there_is_none() -> None:
    assert str(Report(num_inputs=2, num_there_before=2)) == "inputs: 2; there already: 2"


def test_seconds_are_written_out() -> None:
    seconds = {2.0: "2 s", 0.0371: "0.037 s", 9.96: "10 s", 214.2: "214 s"}
    for value, text in seconds.items():
        assert str(Report(num_inputs=1, num_labelled=1, seconds=value)) == f"inputs: 1; labelled: 1, {text} each"
