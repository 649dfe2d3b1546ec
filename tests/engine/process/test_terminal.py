"""Output goes on without its terminal, and a program never waits for a reader that has stopped reading."""

import io
import os
import time

import pytest

from engine.process import terminal
from engine.process.terminal import SurvivingStream
from tests.helpers.programs import run_code, start_code

SPEAK = """
import sys
from engine.process.exits import guarded

def command():
    for number in range(5000):
        print(f"line {number}")
    print("on stderr", file=sys.stderr)
    return 7

sys.exit(guarded(command, ""))
"""


def test_a_closed_pipe_ends_no_program_and_leaves_no_complaint() -> None:
    """As under `| head -1`."""
    speaker = start_code(SPEAK)
    assert speaker.stdout is not None and speaker.stderr is not None
    assert speaker.stdout.readline() == "line 0\n"
    speaker.stdout.close()
    assert speaker.stderr.read() == "on stderr\n"
    assert speaker.wait(60) == 7


def test_a_blocked_pipe_costs_its_patience_once_and_speaks_again_when_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As under `| less`: what is not read is dropped, line by line."""
    monkeypatch.setattr(terminal, "PATIENCE_S", 0.3)
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as file:
        stream = SurvivingStream(file)
        began_s = time.monotonic()
        for _ in range(3000):
            stream.write("x" * 999 + "\n")  # 3 MB; a pipe holds 64 KiB
        assert time.monotonic() - began_s < 3
        held = os.read(reader, 2**20)
        assert 0 < len(held) <= 2**16
        stream.write("again\n")
        assert os.read(reader, 2**20).endswith(b"again\n")
    os.close(reader)


def test_a_path_that_is_no_text_is_shown_and_silences_nothing() -> None:
    code = SPEAK.replace('print(f"line {number}")', 'print("a\\udce9.png") if number < 2 else None')
    done = run_code(code)
    assert done.stdout == "a\\udce9.png\n" * 2 and done.returncode == 7


def test_a_stream_in_memory_gets_every_character() -> None:
    memory = io.StringIO()
    text = "\u20ac" * 5000 + "end"
    assert SurvivingStream(memory).write(text) == len(text)
    assert memory.getvalue() == text
