"""The streams that a sample draws from."""

import numpy as np

from data.streams import STREAMS, generator, sources


def test_streams_are_those_that_spawning_gives_in_order() -> None:
    """So the first three give the bits that they gave when they were spawned, however many there are now."""
    key = (3, 1, 4)
    spawned = np.random.SeedSequence(key).spawn(len(STREAMS))
    for stream, expected in zip(STREAMS, spawned, strict=True):
        assert np.array_equal(sources(key, stream).generate_state(4), expected.generate_state(4))
    assert STREAMS[:3] == ("geometry", "geometry, Python's", "mirrored cells")


def test_streams_of_one_key_are_independent_of_each_other() -> None:
    """No two are large and small together: of 400 keys, one in a hundred thousand for each pair."""
    draws = np.array([[generator((0, 0, index), stream).random() > 0.5 for stream in STREAMS] for index in range(400)])
    assert (np.abs(draws.sum(axis=0) - 200) < 45).all()
    for first in range(len(STREAMS)):
        for second in range(first):
            counts = np.histogram2d(draws[:, first], draws[:, second], bins=2)[0]
            expected = counts.sum(1, keepdims=True) * counts.sum(0, keepdims=True) / counts.sum()
            assert ((counts - expected) ** 2 / expected).sum() < 19.5, (STREAMS[first], STREAMS[second])
