"""A checkpoint or an exported network that anybody wrote is read, or refused by its name; never anything else."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.runs import checkpoint
from engine.runs.folder import read_confusions
from engine.runs.network_file import DESCRIPTION, NetworkFile, read_network
from tests.helpers.fuzzing import damaged_copies, fuzzed, json_values, result_or_refusal
from tests.helpers.sealed_files import sealed_zip
from tests.helpers.trained_networks import random_network, tiny_model, write_checkpoint

PARTS = ["classes", "progress", "runtime", "config", "model", "geometry", "versions", "format"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a checkpoint, `run.pt`, that is sound."""
    folder = tmp_path_factory.mktemp("fuzzed")
    write_checkpoint(folder / "run.pt", random_network(tiny_model()), tiny_model())
    return folder


@fuzzed
@given(st.data())
def test_a_damaged_pickle_under_a_right_checksum_never_raises_anything_else(folder: Path, data: st.DataObject) -> None:
    checkpoint.save(folder / "small.pt", {"model": {"weight": torch.arange(4.0)}, "progress": {"step": 3}})
    with zipfile.ZipFile(folder / "small.pt") as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        pickled = archive.read(name)
    sealed_zip(folder / "a.pt", data.draw(damaged_copies(pickled)), torch.arange(4.0).numpy().tobytes())
    content = result_or_refusal(lambda: checkpoint.load(folder / "a.pt"), "a.pt")
    assert content is None or isinstance(content["format"], int)


@fuzzed
@given(part=st.sampled_from(PARTS), value=json_values())
def test_whatever_a_sealed_checkpoint_says_of_itself_is_judged(folder: Path, part: str, value: Any) -> None:
    content = {**checkpoint.load(folder / "run.pt"), part: value}
    torch_writes = {key: each for key, each in content.items() if key != "format" or part == "format"}
    checkpoint.save(folder / "a.pt", torch_writes)
    network = result_or_refusal(lambda: read_network(folder / "a.pt"), "a.pt")
    assert network is None or isinstance(network, NetworkFile)


@fuzzed
@given(texts=st.dictionaries(st.sampled_from([DESCRIPTION, "class_names", "palette", "sha256"]), json_values()))
def test_whatever_an_exported_file_says_of_itself_is_judged(folder: Path, texts: dict[str, Any]) -> None:
    written = {key: json.dumps(value) for key, value in texts.items()}
    safetensors.torch.save_file({"weight": torch.zeros(3)}, folder / "a.safetensors", written)
    assert result_or_refusal(lambda: read_network(folder / "a.safetensors"), "a.safetensors") is None, "it has no seal"


@fuzzed
@given(data=st.data(), archive=st.booleans())
def test_confusions_in_a_damaged_file_or_another_one_of_numpys_are_read_or_refused(
    tmp_path: Path, data: st.DataObject, archive: bool
) -> None:
    path, counts_NKK = tmp_path / "confusions-joint.npy", np.ones((2, 3, 3), np.int64)
    with path.open("wb") as file:
        (np.savez if archive else np.save)(file, counts_NKK)
    path.write_bytes(data.draw(damaged_copies(path.read_bytes()) | st.just(path.read_bytes())))
    read_NKK = result_or_refusal(lambda: read_confusions(path), path.name)
    assert read_NKK is None or (read_NKK.nbytes <= path.stat().st_size and read_NKK.min() >= 0 and not archive)
