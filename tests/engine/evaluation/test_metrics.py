"""Scores against brute force and against arithmetic done by hand."""

import numpy as np
import pytest
import torch

from configs.schema import VOID
from engine.evaluation.metrics import Confusion, scores_from_confusion


def test_hand_worked_two_class_example() -> None:
    scores = scores_from_confusion(torch.tensor([[3, 1], [2, 4]]))
    assert scores.class_iou == [pytest.approx(3 / 6), pytest.approx(4 / 7)]
    assert scores.mean_iou == pytest.approx((3 / 6 + 4 / 7) / 2)
    assert scores.pixel_accuracy == pytest.approx(0.7)
    assert scores.frequency_weighted_iou == pytest.approx(0.4 * 3 / 6 + 0.6 * 4 / 7)


def test_scores_equal_sets_of_pixels_counted_one_by_one() -> None:
    generator = np.random.default_rng(0)
    confusion = Confusion(6)
    pairs = []
    for _ in range(4):
        truth = generator.choice([0, 1, 2, 3, VOID], size=(2, 9, 11))  # 4 and 5 never occur
        predicted = generator.integers(0, 5, size=(2, 9, 11))  # 4 is only predicted, 5 is absent
        confusion.add(torch.from_numpy(predicted), torch.from_numpy(truth.astype(np.uint8)))
        pairs.append((truth.ravel(), predicted.ravel()))
    truth, predicted = (np.concatenate(side) for side in zip(*pairs, strict=True))
    truth, predicted = truth[truth != VOID], predicted[truth != VOID]
    expected = []
    for k in range(6):
        union = ((truth == k) | (predicted == k)).sum()
        expected.append(None if union == 0 else ((truth == k) & (predicted == k)).sum() / union)
    scores = scores_from_confusion(confusion.of_images_NKK.sum(0))
    assert scores.class_iou == [None if value is None else pytest.approx(value) for value in expected]
    assert scores.class_iou[4] == 0 and scores.class_iou[5] is None
    assert scores.num_scored_classes == 5
    assert scores.mean_iou == pytest.approx(np.mean([value for value in expected if value is not None]))
    assert np.sum(scores.confusion_KK) == len(truth)


def test_an_image_of_many_parts_is_counted_pixel_by_pixel() -> None:
    generator = np.random.default_rng(1)
    size = (1, 700, 1000)  # two and a half parts
    predicted, truth = (generator.integers(0, 150, size, np.uint8) for _ in range(2))
    truth[generator.random(size) < 0.2] = VOID
    confusion = Confusion(150)
    confusion.add(torch.from_numpy(predicted), torch.from_numpy(truth))
    expected = np.zeros((150, 150), np.int64)
    np.add.at(expected, (truth[truth != VOID], predicted[truth != VOID]), 1)
    assert np.array_equal(confusion.of_images_NKK[0].numpy(), expected)
    with pytest.raises(AssertionError, match="beyond the classes"):
        Confusion(149).add(torch.from_numpy(predicted), torch.from_numpy(truth))


def test_counts_past_24_bits_stay_exact() -> None:
    many = 2**24 + 1
    assert scores_from_confusion(torch.tensor([[many, 0], [0, 1]])).confusion_KK == [[many, 0], [0, 1]]


def test_a_set_of_only_void_is_refused() -> None:
    confusion = Confusion(3)
    confusion.add(torch.zeros(1, 4, 4, dtype=torch.long), torch.full((1, 4, 4), VOID, dtype=torch.uint8))
    with pytest.raises(ValueError, match="void"):
        scores_from_confusion(confusion.of_images_NKK.sum(0))
