"""A difference is called real when it survives other draws of the images and seeds, and only then."""

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.compare import Counts, paired_difference, save_confusions


def judged(accuracies: list[float], num_images: int = 60, seed: int = 0, luck: float = 0.1) -> Counts:
    """Two classes, 100 pixels of each in every image; accuracies of the seeds, the luck of an image shared by all."""
    generator = np.random.default_rng(seed)
    shared_N = np.random.default_rng(99).normal(0, luck, num_images)
    found = []
    for accuracy in accuracies:
        right_N = np.clip(accuracy + shared_N + generator.normal(0, 0.01, num_images), 0, 1)
        right_N = np.round(100 * right_N).astype(np.int64)
        found.append(np.stack([np.array([[r, 100 - r], [100 - r, r]]) for r in right_N]))
    return np.stack(found)


def test_the_same_answers_differ_by_nothing() -> None:
    counts = judged([0.7, 0.71])
    assert paired_difference(counts, counts) == (0, 0, 0)
    assert not paired_difference(counts, counts).is_real


def test_a_small_steady_gain_is_real_because_the_images_are_paired() -> None:
    """Unpaired, the images' own luck (0.1) would hide a gain of 0.02."""
    better, worse = judged([0.72, 0.72, 0.72], seed=1), judged([0.70, 0.70, 0.70], seed=2)
    gap = paired_difference(better, worse)
    assert gap.is_real and 0 < gap.low < gap.mean < gap.high < 2 * gap.mean
    assert paired_difference(worse, better).mean == pytest.approx(-gap.mean)


def test_a_gain_that_only_one_seed_has_is_not_real() -> None:
    gap = paired_difference(judged([0.80, 0.68, 0.69], seed=1), judged([0.70, 0.70, 0.70], seed=2))
    assert gap.mean > 0 and not gap.is_real


def test_the_mean_is_that_of_the_whole_set_s_confusion_matrices() -> None:
    """Seed 0: 160 of 200 right, IoU 160 / 240; against 100 of 200, IoU 100 / 300."""
    first = np.array([[[[80, 20], [20, 80]]]])
    second = np.array([[[[50, 50], [50, 50]]]])
    assert paired_difference(first, second).mean == pytest.approx(80 / 120 - 50 / 150)


def test_classes_that_a_resample_lacks_are_left_out() -> None:
    counts = np.zeros((1, 5, 3, 3), np.int64)
    counts[0, :, 0, 0] = 10
    counts[0, 0, 2, 1] = 5
    gap = paired_difference(counts, np.roll(counts, 1, axis=1))
    assert np.isfinite(gap).all() and gap.mean == 0


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Forty draws of two equally good schedules: rarely called different (5 % expected; 15 % allowed)."""
    calls = [
        paired_difference(
            judged([0.7] * 3, seed=2 * n, luck=0.05), judged([0.7] * 3, seed=2 * n + 1, luck=0.05)
        ).is_real
        for n in range(40)
    ]
    assert sum(calls) <= 6


def test_confusions_are_kept_bit_for_bit(tmp_path: Path) -> None:
    counts = torch.randint(0, 1000, (4, 3, 3))
    for _ in range(2):
        save_confusions(tmp_path / "confusions-context.npy", counts)
    assert np.array_equal(np.load(tmp_path / "confusions-context.npy"), counts.numpy())
    assert [path.name for path in tmp_path.iterdir()] == ["confusions-context.npy"]
