"""Which signals ask a command to stop, and how it ends then."""

import signal

import pytest

from configs.errors import STOP_SIGNALS, STOPPED
from engine.process.exits import guarded
from engine.process.stop import StopRequest, stop_signals


def test_a_hang_up_that_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert {*STOP_SIGNALS} - {*stop_signals()} == {signal.SIGHUP}
        with StopRequest():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        assert stop_signals() == list(STOP_SIGNALS)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_command_that_was_stopped_ends_with_75_and_adds_no_message(capsys: pytest.CaptureFixture[str]) -> None:
    def stopped() -> int:
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGUSR1)
            stop.check()
        return 0

    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        assert guarded(stopped, "") == STOPPED
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
