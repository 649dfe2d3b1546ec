"""An exported network is whole or refused, and says what it is."""

import json
import random
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from assembly.trained import restore
from configs.errors import DamagedFileError, UserError
from configs.schema import PredictConfig
from engine.runs import checkpoint
from engine.runs.network_file import Description, NetworkFile, read_network, write_safetensors
from models.frontend import Frontend
from models.pretrained import load_into, read_pretrained
from tests.helpers.trained_networks import random_network, tiny_model, write_checkpoint


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run's checkpoint, `run.pt`, and what is exported of it, `model.safetensors`."""
    folder = tmp_path_factory.mktemp("saved")
    write_checkpoint(folder / "run.pt", random_network(tiny_model()), tiny_model())
    write(folder / "model.safetensors", read_network(folder / "run.pt"))
    return folder


def write(path: Path, network: NetworkFile) -> None:
    with path.open("wb") as file:
        write_safetensors(file, network)


def described(network: NetworkFile, **changes: Any) -> NetworkFile:
    """Sealed as if this project had written it, whatever it says."""
    content = {**dict(network.description), **changes}
    return NetworkFile(network.weights, Description.model_construct(**content))


def test_an_exported_file_holds_what_the_checkpoint_holds(saved: Path) -> None:
    run, exported = read_network(saved / "run.pt"), read_network(saved / "model.safetensors")
    assert run.description == exported.description and run.weights.keys() == exported.weights.keys()
    assert all(torch.equal(tensor, exported.weights[name]) for name, tensor in run.weights.items())
    assert run.description.config == checkpoint.load(saved / "run.pt")["config"]


def test_the_same_network_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    """Also of what was read from such a file; the library alone orders its texts anew each time."""
    for number in range(4):
        write(tmp_path / f"{number}.safetensors", read_network(saved / "model.safetensors"))
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {(saved / "model.safetensors").read_bytes()}


def test_other_programs_read_classes_and_normalization_in_it(saved: Path) -> None:
    with safe_open(saved / "model.safetensors", framework="pt") as file:
        texts = file.metadata()
    assert json.loads(texts["class_names"])[5] == "butterfly" and json.loads(texts["palette"])[5] == [244, 140, 202]
    assert texts["mean"] == "100.0,110.5,120.25" and texts["order"] == "RGB" and texts["format"] == "pt"


def test_a_training_starts_from_its_front_end(saved: Path) -> None:
    pretrained = read_pretrained(str(saved / "model.safetensors"))
    config, weights = tiny_model(), read_network(saved / "run.pt").weights
    frontend = Frontend(config.frontend, 9, config.padding)
    assert set(load_into(frontend, pretrained).states.values()) == {"loaded"}
    assert all(torch.equal(x, weights[f"frontend.{name}"]) for name, x in frontend.state_dict().items())
    assert pretrained.mean_rgb == (100.0, 110.5, 120.25)
    torch.testing.assert_close(torch.tensor(pretrained.scale_rgb), torch.tensor([0.02, 0.03, 0.04]))


def test_one_flipped_bit_anywhere_is_found(saved: Path, tmp_path: Path) -> None:
    whole, path, generator = (saved / "model.safetensors").read_bytes(), tmp_path / "a.safetensors", random.Random(0)
    (num_header,) = struct.unpack("<Q", whole[:8])
    places = [*range(8), *(generator.randrange(8 + num_header) for _ in range(300))]
    for place in [*places, *(generator.randrange(len(whole)) for _ in range(200))]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"a\.safetensors"):
            read_network(path)


@pytest.mark.parametrize("kept", [0, 0.1, 0.5, 0.9999])
def test_a_truncated_file_is_found(saved: Path, tmp_path: Path, kept: float) -> None:
    whole = (saved / "model.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(DamagedFileError, match=r"a\.safetensors"):
        read_network(tmp_path / "a.safetensors")


@pytest.mark.parametrize("texts", [None, {"format": "pt", "mean": "1,2,3"}])
def test_weights_of_another_program_are_no_network(tmp_path: Path, texts: dict[str, str] | None) -> None:
    safetensors.torch.save_file({"features.0.weight": torch.zeros(3)}, tmp_path / "vgg.safetensors", texts)
    with pytest.raises(UserError, match=r"not a network that export.py has written .*model\.pretrained") as refusal:
        read_network(tmp_path / "vgg.safetensors")
    assert not isinstance(refusal.value, DamagedFileError)


@pytest.mark.parametrize(
    "changes",
    [
        {"class_names": "day sky"},
        {"palette": [["red"]]},
        {"palette": [[0, 0]] * 9},
        {"palette": [[0, 0, 256]] * 9},
        {"stage": "\x1b[31m"},
        {"config": {"model": {"padding": "mirror"}}},
        {"config": {"model": 3}},
        {"config": []},
        {"precision": "float8"},
        {"versions": {"torch": 2}},
        {"stage": None},
        {"config": {"experiment": "x" * 2**21}},
    ],
)
def test_what_a_file_says_is_judged_whoever_sealed_it(saved: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    write(tmp_path / "a.safetensors", described(read_network(saved / "run.pt"), **changes))
    with pytest.raises(DamagedFileError, match=r"a\.safetensors: not written by this project"):
        read_network(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": None},
        {"classes": {"names": ["a", "b"]}},
        {"classes": {"names": ["a", ["b"]], "palette": [[0, 0, 0]] * 2}},
        {"classes": {"names": ["a", "b"], "palette": [[0, 0, "red"], [0, 0]]}},
        {"classes": {"names": torch.zeros(2), "palette": torch.zeros(2, 3)}},
        {"progress": "joint"},
        {"progress": {"stage": "last"}},
        {"runtime": {"precision": 16}},
        {"runtime": []},
        {"config": [1]},
        {"model": {"frontend.fc6.weight": [[1.0]]}},
        {"model": torch.zeros(3)},
    ],
)
def test_what_a_checkpoint_says_is_judged_whoever_sealed_it(
    saved: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    checkpoint.save(tmp_path / "a.pt", {**checkpoint.load(saved / "run.pt"), **changes})
    with pytest.raises(DamagedFileError, match=r"a\.pt: not written by this project"):
        read_network(tmp_path / "a.pt")


def test_a_checkpoint_may_lack_what_older_versions_did_not_write(saved: Path, tmp_path: Path) -> None:
    content = checkpoint.load(saved / "run.pt")
    colors = [tuple(color) for color in content["classes"]["palette"]]
    older = {**content, "classes": {**content["classes"], "palette": colors}}
    checkpoint.save(tmp_path / "a.pt", {key: older[key] for key in older.keys() - {"geometry", "versions"}})
    description = read_network(tmp_path / "a.pt").description
    assert description.palette == content["classes"]["palette"] and not description.geometry


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2"])
def test_a_program_for_others_is_answered_with_the_file_to_give_instead(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(UserError, match=r"give the checkpoint .*, or the model\.safetensors beside it"):
        read_network(tmp_path / name)


def test_a_file_of_a_later_format_asks_for_an_update(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as later:
        later.setattr("engine.runs.network_file.FORMAT", 2)
        write(tmp_path / "a.safetensors", read_network(saved / "run.pt"))
    with pytest.raises(UserError, match="format 2, this version reads up to 1; update this project"):
        read_network(tmp_path / "a.safetensors")


def test_a_number_too_long_to_be_one_is_refused(saved: Path, tmp_path: Path) -> None:
    network = read_network(saved / "run.pt")
    texts = {**network.description.texts(), "class_names": "1" * 5000}
    changed = NetworkFile(network.weights, Description.model_construct(**dict(network.description)))
    object.__setattr__(changed.description, "texts", lambda: texts)
    write(tmp_path / "a.safetensors", changed)
    with pytest.raises(DamagedFileError, match=r"a\.safetensors: not written by this project"):
        read_network(tmp_path / "a.safetensors")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such file; give a \.safetensors file that export.py has written"):
        read_network(tmp_path / "a.safetensors")


def test_a_file_that_describes_a_larger_network_than_it_holds_claims_no_memory(saved: Path, tmp_path: Path) -> None:
    network = read_network(saved / "run.pt")
    config = json.loads(json.dumps(network.description.config))
    config["model"]["frontend"]["fc_channels"] = 10**7  # 400 terabytes
    write(tmp_path / "a.safetensors", described(network, config=config))
    with pytest.raises(DamagedFileError, match=r"its settings describe a network of [0-9,]{15,} weights, and it holds"):
        restore(PredictConfig(checkpoint=str(tmp_path / "a.safetensors")))
