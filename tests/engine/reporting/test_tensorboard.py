"""TensorBoard's event files, read back with its own reader."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.text.text_plugin import text_array_to_html

from engine.reporting.tensorboard import Board
from tests.helpers.pictures import noise
from tests.helpers.programs import run_code


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    return events


def test_a_resumed_run_shows_every_step_once_as_it_was_in_the_end(tmp_path: Path) -> None:
    """The first sitting goes on to step 5 and dies; its last checkpoint was at step 3."""
    for sitting, steps in enumerate((range(1, 6), range(4, 8))):
        board = Board(tmp_path, steps[0], warn=pytest.fail)
        board.text("config", [f"sitting={sitting}"], steps[0] - 1)
        for step in steps:
            board.scalars({"joint/loss": 10 * sitting + step}, step)
        board.close()
    events = read(tmp_path)
    points = [(event.step, event.value) for event in events.Scalars("joint/loss")]
    assert points == [(1, 1), (2, 2), (3, 3), (4, 14), (5, 15), (6, 16), (7, 17)]
    assert [event.step for event in events.Tensors("config/text_summary")] == [0, 3]


def test_a_picture_comes_back_pixel_by_pixel(tmp_path: Path) -> None:
    pixels = noise(5, 9)
    board = Board(tmp_path, 1, warn=pytest.fail)
    board.picture("validation/a", pixels, 7)
    board.close()
    (event,) = read(tmp_path).Images("validation/a")
    assert event.step == 7
    assert np.array_equal(np.array(Image.open(io.BytesIO(event.encoded_image_string))), pixels)


def test_text_is_shown_as_it_is_and_nothing_in_it_is_markup(tmp_path: Path) -> None:
    lines = ["data.root=/a_b_c/*x*|y", "experiment=<script>alert(1)</script>", "data.folder.images={split}/images"]
    board = Board(tmp_path, 1, warn=pytest.fail)
    board.text("config", lines, 0)
    board.close()
    (event,) = read(tmp_path).Tensors("config/text_summary")
    html = text_array_to_html(np.array(event.tensor_proto.string_val[0].decode(), dtype=object), True)
    shown = "\n".join(lines).replace("<", "&lt;").replace(">", "&gt;")
    assert html == f"<pre><code>{shown}\n</code></pre>"


def test_a_full_disk_is_told_once_and_ends_nothing(tmp_path: Path) -> None:
    fill = """
import resource, sys
from pathlib import Path
from engine.reporting.tensorboard import Board
board = Board(Path(sys.argv[1]), 1, warn=print)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for step in range(1, 200):
    board.scalars({"joint/loss": 0.5, "joint/lr": 0.1}, step)
    board.flush()
board.close()
print("the end")
"""
    done = run_code(fill, tmp_path)
    assert done.returncode == 0, done.stderr
    warning, *end = done.stdout.splitlines()
    assert warning.startswith("TensorBoard stopped (") and "File too large" in warning and end == ["the end"]


@pytest.mark.parametrize("damage", ["truncated", "garbage"])
def test_a_damaged_file_of_an_earlier_sitting_costs_its_own_points_alone(tmp_path: Path, damage: str) -> None:
    board = Board(tmp_path, 1, warn=pytest.fail)
    board.scalars({f"joint/{name}": 0.25 for name in "abc"}, 1)
    board.close()
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-5] if damage == "truncated" else noise(40, 50).tobytes())
    board = Board(tmp_path, 2, warn=pytest.fail)
    board.scalars({"joint/loss": 0.5}, 2)
    board.close()
    assert [(event.step, event.value) for event in read(tmp_path).Scalars("joint/loss")] == [(2, 0.5)]
