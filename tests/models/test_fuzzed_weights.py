"""Weights that anybody wrote are read, or refused by their file's name; never anything else."""

from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torchvision.models  # noqa: F401 -- or the first file would pay for the import
from hypothesis import given
from hypothesis import strategies as st

from models.caffe import read_caffe
from models.pretrained import read_pretrained
from tests.helpers.caffe_files import caffemodel_bytes
from tests.helpers.fuzzing import damaged_copies, fuzzed, result_or_refusal

WEIGHTS = {"features.0.weight": torch.ones(2, 3, 3, 3), "features.0.bias": torch.zeros(2)}
BLOBS = {"conv1_1": [torch.ones(2, 3, 3, 3), torch.zeros(2)], "fc6": [torch.ones(2, 2)]}


def lengths(content: bytes) -> st.SearchStrategy[bytes]:
    """A field of any number around the content, with the right length or a lie."""
    varint = st.integers(0, 2**64).map(encoded)
    return st.tuples(st.sampled_from([1, 2, 4, 5, 6, 7, 8, 100]), varint | st.just(encoded(len(content)))).map(
        lambda parts: encoded(parts[0] << 3 | 2) + parts[1] + content
    )


def encoded(value: int) -> bytes:
    groups = [value >> shift & 127 for shift in range(0, max(1, value.bit_length()), 7)]
    return bytes(group | 128 for group in groups[:-1]) + bytes(groups[-1:])


@fuzzed
@given(st.recursive(st.binary(max_size=12), lambda inner: inner.flatmap(lengths) | st.lists(inner).map(b"".join)))
def test_fields_in_any_order_are_no_weights(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.caffemodel"
    path.write_bytes(content)
    layers = result_or_refusal(lambda: read_caffe(path), "a.caffemodel")
    assert layers is None or 4 * sum(blob.numel() for blobs in layers.values() for blob in blobs) <= len(content)


@fuzzed
@given(damaged_copies(caffemodel_bytes(BLOBS)))
def test_a_damaged_caffemodel_claims_no_more_numbers_than_it_has(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.caffemodel"
    path.write_bytes(content)
    layers: dict[str, Any] | None = result_or_refusal(lambda: read_caffe(path), "a.caffemodel")
    assert layers is None or 4 * sum(blob.numel() for blobs in layers.values() for blob in blobs) <= len(content)


@fuzzed
@given(suffix=st.sampled_from(["pth", "old.pth", "safetensors"]), data=st.data())
def test_a_damaged_file_of_weights_is_read_or_refused(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "safetensors":
        safetensors.torch.save_file(WEIGHTS, path)
    else:
        torch.save(WEIGHTS, path, _use_new_zipfile_serialization=suffix == "pth")
    path.write_bytes(data.draw(damaged_copies(path.read_bytes())))
    read = result_or_refusal(lambda: read_pretrained(str(path)), path.name)
    assert read is None or sum(tensor.nbytes for tensor in read.tensors.values()) <= path.stat().st_size


def test_a_tensor_that_repeats_one_number_is_refused_before_it_is_copied(tmp_path: Path) -> None:
    """Of four bytes in the file; in single precision it would be 1.6 GB."""
    path = tmp_path / "a.pth"
    torch.save({"features.0.weight": torch.zeros(1, dtype=torch.float16).expand(4 * 10**8)}, path)
    assert path.stat().st_size < 10_000
    assert result_or_refusal(lambda: read_pretrained(str(path)), path.name) is None
