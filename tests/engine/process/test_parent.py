"""A process whose parent is gone is asked to stop, once."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.process.stop import AGAIN_S
from tests.helpers.programs import ROOT

CHILD = """
import sys, time
from pathlib import Path

sys.path.insert(0, sys.argv[1])

from engine.process.parent import stopping_with_parent
from engine.process.stop import Stopped, StopRequest

with StopRequest() as stop, stopping_with_parent(stop):
    Path("begun").touch()
    while not stop.is_requested:
        time.sleep(0.01)
    time.sleep(float(sys.argv[2]))  # it saves
    try:
        stop.check()
    except Stopped as stopped:
        Path("saved").write_text(str(stopped))
"""
PARENT = """
import subprocess, sys, time
from pathlib import Path

child = subprocess.Popen([sys.executable, "child.py", *sys.argv[1:3]], start_new_session=True)
while not Path("begun").exists():
    time.sleep(0.01)
if number := int(sys.argv[3]):
    child.send_signal(number)
    time.sleep(float(sys.argv[4]))
"""


@pytest.mark.parametrize("number", [0, signal.SIGUSR1])
def test_a_process_whose_parent_is_gone_saves_even_where_it_was_asked_to_before(tmp_path: Path, number: int) -> None:
    """The parent outlives the signal by so much that another one would count as the second."""
    (tmp_path / "child.py").write_text(CHILD)
    (tmp_path / "parent.py").write_text(PARENT)
    words = [str(ROOT), f"{2 * AGAIN_S + 1}", str(int(number)), f"{AGAIN_S + 0.2}"]
    subprocess.run([sys.executable, "parent.py", *words], cwd=tmp_path, check=True, timeout=60)
    until_s = time.monotonic() + 30
    while not (tmp_path / "saved").exists() and time.monotonic() < until_s:
        time.sleep(0.05)
    assert (tmp_path / "saved").read_text() == ("SIGUSR1" if number else "SIGTERM")
