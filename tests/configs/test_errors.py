"""Errors for the user travel between processes, and can be said in other words, whatever they know besides."""

import pickle
from collections.abc import Iterator

import numpy as np
import pytest

import data.audit.reading
import engine.training.loop
import models.pretrained
from configs.errors import ConfigError, DamagedFileError, UserError
from data.labels import LabelValueError
from data.store import CacheTooSmall

ERRORS = [
    UserError("a"),
    ConfigError(["a", "b"]),
    DamagedFileError("a.png: empty"),
    LabelValueError("a.png: id 9", np.array([9, 9, 7]), is_mask=True),
    CacheTooSmall("too small", 1.5),
]


def kinds(kind: type[UserError]) -> Iterator[type[UserError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from kinds(below)


def test_every_kind_that_takes_more_than_a_message_is_among_the_examples() -> None:
    assert data.audit.reading and engine.training.loop and models.pretrained, "they define some"
    for kind in kinds(UserError):
        assert kind.__init__ is UserError.__init__ or kind in map(type, ERRORS), kind


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_comes_out_of_another_process_as_it_went_in(error: UserError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error) and str(copy) == str(error) and vars(copy) == vars(error)
    assert copy.exit_code == error.exit_code


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_in_other_words_keeps_its_kind_and_what_it_knows(error: UserError) -> None:
    other = error.saying("b")
    assert type(other) is type(error) and str(other) == "b" and vars(other) == vars(error)
    assert str(error) != "b"
