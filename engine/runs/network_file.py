"""A trained network in a file: a run's checkpoint, or `model.safetensors`, which is written and sealed here.

`model.safetensors` holds the weights alone, and as text what is to be known of them. safetensors checks no sums, so
the SHA-256 of all tensors and texts stands among the texts: one flipped bit anywhere is found. Nothing is executed.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Literal

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from configs.errors import DamagedFileError, UserError
from configs.schema import SAFETENSORS_SUFFIX, Config
from engine.runs import checkpoint

FORMAT = 1
FOR_OTHER_PROGRAMS = (".onnx", ".pt2")
LONGEST_TEXT = 2**20  # characters; a description of ours has a few thousand
SIZE_BYTES = 8  # at the beginning of the file: how long the header is, which is JSON
DESCRIPTION, SEAL = "network", "sha256"  # names of texts
LISTS = ("class_names", "palette")  # names of texts that other programs read, too

Rgb = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)]


class Description(BaseModel):
    """What is to be known of a network beside its weights."""

    model_config = ConfigDict(strict=True, frozen=True)

    class_names: list[str]
    palette: list[Rgb]  # for every class
    stage: Literal["frontend", "context", "warmup", "joint"]  # the last one that trained it
    precision: Literal["auto", "float32", "bfloat16"]  # that it was trained in
    config: dict[str, Any]  # as `Config` takes it; a checkpoint of another version may hold other keys
    geometry: dict[str, Any] = {}
    versions: dict[str, str] = {}  # of the libraries that it was trained with

    def texts(self) -> dict[str, str]:
        """As every exported file carries it: the class names and colours for everybody, the rest for this project."""
        parts = dict(self)
        lists = {name: json.dumps(parts.pop(name)) for name in LISTS}
        return {**lists, DESCRIPTION: json.dumps({"format": FORMAT, **parts})}


@dataclass(frozen=True)
class NetworkFile:
    """The weights by the network's names, on the CPU, and their description."""

    weights: dict[str, Tensor]
    description: Description


def read_network(path: Path) -> NetworkFile:
    """Of a checkpoint or, by its suffix, an exported file. Raises UserError and DamagedFileError, as `checkpoint.load`.

    The config of a checkpoint, which another version may have written, is validated where a network is built from it.
    """
    is_exported = path.suffix == SAFETENSORS_SUFFIX
    try:
        return read_safetensors(path) if is_exported else _read_checkpoint(path)
    except DamagedFileError as error:
        another = "export it again" if is_exported else "give another checkpoint of its run"
        raise error.saying(f"{error}; copy it from where it is whole, or {another}") from error


def _read_checkpoint(path: Path) -> NetworkFile:
    if path.suffix in FOR_OTHER_PROGRAMS:
        raise UserError(
            f"checkpoint={path}: a program for other programs, which is not read back; give the checkpoint that it was "
            f"exported from, or the model{SAFETENSORS_SUFFIX} beside it"
        )
    content = checkpoint.load(path)
    try:
        description = Description.model_validate(
            {
                "class_names": content["classes"]["names"],
                "palette": content["classes"]["palette"],
                "stage": content["progress"]["stage"],
                "precision": content["runtime"]["precision"],
                "config": content["config"],
                "geometry": content.get("geometry", {}),
                "versions": content.get("versions", {}),
            },
            strict=False,  # tuples serve as lists
        )
        weights = content["model"]
    except (ValidationError, LookupError, TypeError) as error:
        raise _not_ours(path, error) from error
    if not isinstance(weights, dict) or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise DamagedFileError(f"{path}: not written by this project: its weights are no tensors")
    return NetworkFile(weights, description)


def write_safetensors(file: IO[bytes], network: NetworkFile) -> None:
    """The same network gives the same bytes.

    The texts `mean`, `scale` and `order` say, to `model.pretrained` and others, how pixels are normalized.
    """
    weights = {name: tensor.contiguous() for name, tensor in sorted(network.weights.items())}
    texts = {
        "format": "pt",  # of the tensors, as other libraries ask
        "order": "RGB",
        "mean": _numbers(weights["mean_rgb"]),
        "scale": _numbers(weights["scale_rgb"]),
        **network.description.texts(),
    }
    content = memoryview(safetensors.torch.save(weights, {**texts, SEAL: _digest(weights, texts)}))
    begin = SIZE_BYTES + int.from_bytes(content[:SIZE_BYTES], "little")  # of the tensors, after the header
    # The library writes texts in random order.
    header = json.dumps(json.loads(bytes(content[SIZE_BYTES:begin])), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % SIZE_BYTES)  # tensors are aligned
    file.write(len(header).to_bytes(SIZE_BYTES, "little") + header)
    file.write(content[begin:])


def read_safetensors(path: Path) -> NetworkFile:
    """What `write_safetensors` has written. Raises UserError for other files, DamagedFileError for damaged ones."""
    if not path.is_file():
        raise UserError(f"checkpoint={path}: no such file; give a .safetensors file that export.py has written")
    try:
        with safe_open(path, framework="pt") as file:
            texts = file.metadata() or {}
            _require_ours(path, texts)
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DamagedFileError(f"{path}: not readable as safetensors: {error}") from error
    if texts.pop(SEAL, "") != _digest(weights, texts):
        raise DamagedFileError(f"{path}: damaged: its tensors and texts do not match its checksum")
    return NetworkFile(weights, _description(path, texts))


def _require_ours(path: Path, texts: Mapping[str, str]) -> None:
    if DESCRIPTION not in texts:
        known = f"its texts are called {', '.join(sorted(texts)[:5])}" if texts else "it holds tensors alone"
        raise UserError(
            f"checkpoint={path}: not a network that export.py has written ({known}); required is a file that says what "
            "network it holds; weights that only start a training belong to model.pretrained"
        )
    if any(len(text) > LONGEST_TEXT for text in texts.values()):
        raise DamagedFileError(f"{path}: not written by this project: a text has more than {LONGEST_TEXT} characters")


def _description(path: Path, texts: Mapping[str, str]) -> Description:
    try:
        parts = json.loads(texts[DESCRIPTION])
        number = parts.pop("format")
        lists = {name: json.loads(texts[name]) for name in LISTS}
        if isinstance(number, int) and number > FORMAT:
            raise UserError(
                f"checkpoint={path}: written in format {number}, this version reads up to {FORMAT}; update this project"
            )
        description = Description.model_validate({**parts, **lists})
        Config.model_validate(description.config)
    except UserError:
        raise
    except (ValueError, RecursionError, KeyError, AttributeError, TypeError) as error:
        raise _not_ours(path, error) from error
    return description


def _not_ours(path: Path, error: Exception) -> DamagedFileError:
    reason = " ".join(str(error).split()[:30])
    return DamagedFileError(f"{path}: not written by this project: what it says of itself: {reason}")


def _digest(weights: Mapping[str, Tensor], texts: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(texts, sort_keys=True).encode())
    for name, tensor in sorted(weights.items()):
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _numbers(rgb_311: Tensor) -> str:
    return ",".join(map(str, rgb_311.flatten().tolist()))
