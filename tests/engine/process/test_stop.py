"""Which signals ask a command to stop."""

import signal

from configs.errors import STOP_SIGNALS
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
