"""What export.py says of a network before it is written."""

from pathlib import Path

import pytest

from assembly.exporting import EXPORTED, export_report, introduction
from assembly.trained import restore
from configs.schema import ExportConfig, ResizeConfig
from engine.runs import checkpoint
from tests.helpers.trained_networks import SMALL_SCENES, random_network, tiny_model, write_checkpoint


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_that_computed_otherwise_than_its_exported_files_is_named(tmp_path: Path, precision: str) -> None:
    path = tmp_path / "run.pt"
    write_checkpoint(path, random_network(tiny_model()), tiny_model())
    content = checkpoint.load(path)
    checkpoint.save(path, {**content, "runtime": {**content["runtime"], "precision": precision}})
    text = introduction(restore(EXPORTED.model_copy(update={"checkpoint": str(path)})))
    assert ("set precision=float32" in text) == (precision == "bfloat16")


@pytest.mark.parametrize("resize", [ResizeConfig(), ResizeConfig(long_px=128)])
def test_at_what_size_the_run_saw_images_is_said_and_written(tmp_path: Path, resize: ResizeConfig) -> None:
    data = SMALL_SCENES.model_copy(update={"resize": resize})
    write_checkpoint(tmp_path / "run.pt", random_network(tiny_model()), tiny_model(), data)
    trained = restore(EXPORTED.model_copy(update={"checkpoint": str(tmp_path / "run.pt")}))
    is_said = "images are resized to a long side of 128 px" in introduction(trained)
    assert is_said == (resize.long_px is not None)
    report = export_report(ExportConfig(formats=["safetensors"]), trained, [])
    assert report["resize"] == {"long_px": resize.long_px, "short_px": None, "factor": None}
