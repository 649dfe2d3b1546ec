"""Every kind of image file, sound and damaged, once; `make torture` repeats them with other sizes, pixels and cuts."""

from pathlib import Path
from random import Random

import pytest

from tests.torture.image_files import KINDS
from tests.torture.images import judged


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_is_read_exactly_or_refused_by_its_name(tmp_path: Path, kind: str) -> None:
    assert judged(KINDS[kind](tmp_path, Random(kind))) == ""
