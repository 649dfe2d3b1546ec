"""What export.py says of a network before it is written."""

from pathlib import Path

import pytest

from assembly.exporting import EXPORTED, introduction
from assembly.trained import restore
from engine.runs import checkpoint
from tests.helpers.trained_networks import random_network, tiny_model, write_checkpoint


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_that_computed_otherwise_than_its_exported_files_is_named(tmp_path: Path, precision: str) -> None:
    path = tmp_path / "run.pt"
    write_checkpoint(path, random_network(tiny_model()), tiny_model())
    content = checkpoint.load(path)
    checkpoint.save(path, {**content, "runtime": {**content["runtime"], "precision": precision}})
    text = introduction(restore(EXPORTED.model_copy(update={"checkpoint": str(path)})))
    assert ("set precision=float32" in text) == (precision == "bfloat16")
