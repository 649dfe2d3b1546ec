"""Where the chance in a training sample comes from: a stream for each purpose, a pure function of (seed, epoch, index).

A stream of its own for every purpose: what one option draws moves nothing that another one draws, so that switching
an option on leaves crop, mirror and colour of every sample as they were.
"""

from typing import Literal, get_args

import numpy as np

SampleKey = tuple[int, int, int]  # seed, epoch, index

# A stream is known by its position: new ones go to the end.
Stream = Literal[
    "geometry",  # of albumentations: scale, place of the crop, rotation, mirror, colour; numpy's generator
    "geometry, Python's",  # the same, for what albumentations draws from the standard library
    "mirrored cells",
    "class_balance",
    "vertical_mirror",
    "quarter_turns",
    "shade",
    "brightness",
    "white_balance",
    "blur_px",
    "noise",
    "gamma",
    "crop of maps",
    "kept version",
]
STREAMS: tuple[Stream, ...] = get_args(Stream)


def sources(key: SampleKey, stream: Stream) -> np.random.SeedSequence:
    """What `SeedSequence(key).spawn` gives at the stream's position.

    Spawning keeps it apart from `SeedSequence((seed, epoch))`, which orders the epoch and equals (seed, epoch, 0).
    """
    return np.random.SeedSequence(key, spawn_key=(STREAMS.index(stream),))


def generator(key: SampleKey, stream: Stream) -> np.random.Generator:
    return np.random.default_rng(sources(key, stream))
