"""Recorded maps stand in for the front end, in their order, and only for windows that they can be of."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.evaluation.recorded_maps import RecordedMaps

CPU = torch.device("cpu")
MODEL: Any = SimpleNamespace(stride=8, margin_px=20, num_classes=3)


def frontend(window_B3HW: Tensor) -> Tensor:
    """Maps of ceil((side - 2 * 20) / 8) cells, different for every window."""
    height, width = (-(-(side - 40) // 8) for side in window_B3HW.shape[-2:])
    return window_B3HW.float().mean().expand(len(window_B3HW), 3, height, width)


def window(height: int, width: int) -> Tensor:
    return torch.full((2, 3, height, width), height + width, dtype=torch.uint8)


def test_a_replay_gives_what_was_recorded_each_time_from_the_first_window_on() -> None:
    recorded = RecordedMaps(MODEL)
    windows = [window(56, 72), window(72, 56), window(60, 61)]  # the last are 2.5 and 2.625 cells
    for _ in range(2):  # a new recording begins from nothing
        computed = [*map(recorded.recording(frontend), windows)]
    for _ in range(2):
        assert all(map(torch.equal, map(recorded.replaying(CPU), windows), computed))


@pytest.mark.parametrize(
    "other",
    [window(56, 81), window(72, 56), window(48, 72), window(56, 72)[:1], torch.zeros(2, 3, 16, 32)],
    ids=["wider", "turned", "lower", "fewer images", "without its margin"],
)
def test_maps_of_another_window_are_refused(other: Tensor) -> None:
    replayed = RecordedMaps(MODEL, [frontend(window(56, 72))]).replaying(CPU)
    with pytest.raises(AssertionError, match=r"recorded maps \(2, 3, 2, 4\) are not those of the window"):
        replayed(other)


def test_more_windows_than_were_recorded_are_refused() -> None:
    replayed = RecordedMaps(MODEL, [frontend(window(56, 72))]).replaying(CPU)
    replayed(window(56, 72))
    with pytest.raises(AssertionError, match="more windows than"):
        replayed(window(56, 72))
