"""What only claims to be Caffe's weights is refused at once, with a message, and takes no memory."""

import io
import pickle
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.caffe import read_caffe
from tests.helpers.caffe_files import LAYOUTS, caffemodel_bytes
from tests.helpers.programs import run_code


def field(number: int, content: bytes, claimed: int | None = None) -> bytes:
    """A field with a length, which may lie."""
    return varint(number << 3 | 2) + varint(len(content) if claimed is None else claimed) + content


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    groups = [value >> shift & 127 for shift in range(0, max(1, value.bit_length()), 7)]
    return bytes(group | 128 for group in groups[:-1]) + bytes(groups[-1:])


def one_blob(dims: Sequence[int], data: bytes, legacy: bool = False) -> bytes:
    """A file of one layer called x with one blob."""
    axes = b"".join(varint(axis << 3) + varint(size) for axis, size in enumerate(dims, 1))
    shape = axes if legacy else field(7, field(1, b"".join(varint(size) for size in dims)))
    return field(100, field(1, b"x") + field(7, shape + field(5, data)))


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(file, "jpeg")
    return file.getvalue()


def zipped() -> bytes:
    file = io.BytesIO()
    torch.save({"a": torch.ones(3)}, file)
    return file.getvalue()


def nested(depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        content = field(100, content)
    return content


GOOD = caffemodel_bytes({"x": [torch.arange(6.0).reshape(2, 3)]})
MILLION = 1_000_000
HOSTILE = {
    "empty": (b"", "empty"),
    "text": (b"once upon a time there was a butterfly\n" * 100, "no field starts at byte"),
    "prototxt": (b'name: "VGG"\nlayer {\n  name: "conv1_1"\n}\n', "no field starts at byte 0"),
    "prototxt of layers": (b'layer {\n  name: "conv1_1"\n}\n', "no field starts at byte 0"),
    "jpeg": (jpeg(), "starts at byte|are left|no number|no layer"),
    "pickle": (pickle.dumps({"conv1_1": [1.0] * 100}), "starts at byte|are left|no number|no layer"),
    "zip": (zipped(), "starts at byte|are left|no number|no layer"),
    "zeros": (bytes(MILLION), "no field starts at byte 0"),
    "ones": (b"\xff" * MILLION, "no number ends after byte 0"),
    "a terabyte claimed for a layer": (field(100, b"", 1 << 40), f"claims {1 << 40} bytes, 0 are left"),
    "more than 64 bits claimed": (varint(802) + b"\xff" * 9 + b"\x7f", r"claims \d+ bytes, 0 are left"),
    "a gigabyte claimed for a blob": (field(100, field(7, b"abc", 1 << 30)), "claims 1073741824 bytes, 3 are left"),
    "a gigabyte claimed for data": (field(100, field(7, field(5, b"", 1 << 30))), "claims 1073741824 bytes, 0 are"),
    "a blob that ends after its layer": (field(100, field(7, b"", 9)) + bytes(20), "claims 9 bytes, 0 are left"),
    "five million layers": (field(100, b"") * 5 * MILLION, "more than 100000 fields"),
    "five million blobs": (field(100, field(7, b"") * 5 * MILLION), "more than 100000 fields"),
    "five million V1 blobs": (field(2, field(6, b"") * 5 * MILLION), "more than 100000 fields"),
    "five million pieces": (field(100, field(7, field(5, b"") * 5 * MILLION)), "more than 100000 fields"),
    "five million axes": (one_blob([1] * 5 * MILLION, b"abcd"), "more than 32 axes"),
    "fifty thousand loose axes": (field(100, field(7, field(7, b"\x08\x01" * 50_000))), "more than 32 axes"),
    "thirty-three axes": (one_blob([1] * 33, b"abcd"), "up to 32 axes"),
    "fewer numbers than the shape": (
        one_blob([3, 4], bytes(44)),
        r"x, blob 0 has shape \(3, 4\), which is 12 .* holds 11",
    ),
    "more numbers than the shape": (one_blob([3, 4], bytes(52)), "is 12 numbers, but holds 13"),
    "half a number": (one_blob([3, 4], bytes(46)), "is 12 numbers, but holds 11.5"),
    "no numbers": (one_blob([3], b""), "is 3 numbers, but holds 0"),
    "a negative axis": (one_blob([-3, -4], bytes(48)), r"shape \(-3, -4\); .*at least 1"),
    "a negative old axis": (one_blob([1, 1, -3, -4], bytes(48), legacy=True), "at least 1 are required"),
    "an axis of nothing": (one_blob([0, 4], b""), "at least 1 are required"),
    "gigabytes": (one_blob([1 << 40, 1 << 40], bytes(8)), "but holds 2"),
    "a product that overflows to 0": (one_blob([1 << 32, 1 << 32], b""), "but holds 0"),
    "a product that overflows to 4": (one_blob([1 << 32, (1 << 32) + 1, 1 << 32, 4], bytes(16)), "but holds 4"),
    "an axis missing": (field(100, field(7, b"\x08\x03" + field(5, bytes(12)))), r"shape \(3, 0, 0, 0\)"),
    "a long name": (field(100, field(7, b"") + field(1, bytes(2 * MILLION))), "name has 2000000 bytes"),
    "groups a million deep": (b"\x0b" * MILLION, "no field starts at byte 0"),
    "groups in a layer": (field(100, b"\x23" * MILLION), "no field starts at byte 5"),
    "layers a thousand deep": (nested(1000), "no layer with weights"),
    "no layers": (field(1, b"net"), "no layer with weights"),
    "V0": (field(2, field(1, field(1, b"conv1") + field(50, b""))), "no layer with weights"),
    "one name twice": (GOOD + GOOD, "two layers with weights are called x"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_at_once(tmp_path: Path, case: str) -> None:
    path = tmp_path / "net.caffemodel"
    content, message = HOSTILE[case]
    path.write_bytes(content)
    start = time.process_time()
    with pytest.raises(ValueError, match=message) as error:
        read_caffe(path)
    assert time.process_time() - start < 1
    assert str(error.value).startswith(f"{path}: not readable as Caffe's weights: ")
    assert len(str(error.value)) < 1000


def test_no_hostile_file_takes_memory(tmp_path: Path) -> None:
    """Each is read with 96 MiB of address space to spare, its own mapping included."""
    for number, (content, _) in enumerate(HOSTILE.values()):
        (tmp_path / f"{number}.caffemodel").write_bytes(content)
    program = """
import resource, sys
from pathlib import Path
from models.caffe import read_caffe
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 96 * 2**20, resource.RLIM_INFINITY))
for path in Path(sys.argv[1]).iterdir():
    try:
        read_caffe(path)
    except ValueError as error:
        print("refused")
"""
    done = run_code(program, tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["refused"] * len(HOSTILE)


@pytest.mark.parametrize(("layout", "legacy"), LAYOUTS)
def test_a_file_cut_anywhere_is_refused_or_lacks_whole_layers(tmp_path: Path, layout: str, legacy: bool) -> None:
    blobs = {"a": [torch.randn(2, 3), torch.randn(2)], "b": [torch.randn(3, 1)]}
    whole, path = caffemodel_bytes(blobs, layout, legacy), tmp_path / "net.caffemodel"
    length_of_a = len(caffemodel_bytes({"a": blobs["a"]}, layout, legacy))
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        if length == length_of_a:
            assert list(read_caffe(path)) == ["a"]
            continue
        with pytest.raises(ValueError, match=r"not readable as Caffe's weights"):
            read_caffe(path)


def test_flipped_bytes_never_raise_anything_else(tmp_path: Path) -> None:
    """Of 500 files with one byte changed, each is refused, or read to the shapes that it then claims."""
    generator, path = np.random.default_rng(0), tmp_path / "net.caffemodel"
    for _ in range(500):
        content = bytearray(GOOD)
        content[generator.integers(len(content))] = generator.integers(256)
        path.write_bytes(content)
        try:
            layers = read_caffe(path)
        except ValueError:
            continue
        assert all(len(tensors) == 1 and tensors[0].numel() == 6 for tensors in layers.values())


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.caffemodel"):
        with pytest.raises(ValueError, match="not readable as Caffe's weights"):
            read_caffe(path)
