"""A checkpoint is whole or refused."""

import os
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from configs.errors import DamagedFileError
from engine.runs import checkpoint
from engine.runs.folder import RunFolder
from tests.helpers.programs import run_code, start_code
from tests.helpers.sealed_files import seal, sealed_zip

CONTENT: dict[str, Any] = {"model": {"weight": torch.arange(300.0)}, "progress": {"step": 3, "best": None}}


def test_round_trip(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "a.pt", CONTENT)
    content = checkpoint.load(tmp_path / "a.pt")
    assert torch.equal(content["model"]["weight"], CONTENT["model"]["weight"])
    assert content["progress"] == CONTENT["progress"]


def test_the_seal_does_not_hide_the_file_from_plain_torch(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "a.pt", CONTENT)
    assert torch.load(tmp_path / "a.pt", weights_only=True)["progress"]["step"] == 3


def test_one_flipped_bit_anywhere_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    checkpoint.save(path, CONTENT)
    whole = path.read_bytes()
    generator = random.Random(0)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[generator.randrange(len(whole))] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match=r"a\.pt"):
            checkpoint.load(path)


@pytest.mark.parametrize("kept", [0, 0.1, 0.5, 0.9999])
def test_a_truncated_file_is_found(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "a.pt"
    checkpoint.save(path, CONTENT)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(DamagedFileError, match=r"a\.pt"):
        checkpoint.load(path)


def test_a_pickle_is_refused_and_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "executed"),))

    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Payload()))
    checkpoint.save(tmp_path / "sealed.pt", {"payload": Payload()})
    for name in ("plain.pt", "sealed.pt"):
        with pytest.raises(DamagedFileError):
            checkpoint.load(tmp_path / name)
    assert not (tmp_path / "executed").exists()


def test_the_seal_is_the_checksum_of_all_that_comes_before_it(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "a.pt", CONTENT)
    content = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(content[:-73] + bytes(2))  # without the comment and its length
    seal(tmp_path / "a.pt")
    assert (tmp_path / "a.pt").read_bytes() == content


class Bytes:
    """What unpickles to a gigabyte of zeros, by a callable that torch's weights_only allows."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (bytearray, (2**30,))


def nested_pairs(depth: int) -> list[Any]:
    """Two to the `depth` values, of which the pickle writes each pair once."""
    pair: list[Any] = []
    for _ in range(depth):
        pair = [pair, pair]
    return pair


@pytest.mark.parametrize("kind", ["compressed", "called", "overlapping", "expanded", "many", "shared", "deep"])
def test_a_small_file_that_asks_for_much_memory_is_refused_before_it_gets_any(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.pt"
    good = tmp_path / "good.pt"
    checkpoint.save(good, {"weight": torch.zeros(4)})
    with zipfile.ZipFile(good) as archive:
        pickled = archive.read("archive/data.pkl")
    if kind == "compressed":
        sealed_zip(path, pickled, bytes(2**29), zipfile.ZIP_DEFLATED)
    elif kind == "called":
        sealed_zip(path, pickle.dumps({"format": 1, "payload": Bytes()}, protocol=2), b"")
    elif kind == "overlapping":
        sealed_zip(path, pickled, bytes(2**20), names=500)
    elif kind == "expanded":  # 1.6 GB, all of them one number
        checkpoint.save(path, {"weight": torch.zeros(1).expand(4 * 10**8)})
    elif kind == "many":
        sealed_zip(path, pickle.dumps({"format": 1, "lists": [[] for _ in range(250_000)]}, protocol=2), b"")
    elif kind == "shared":
        sealed_zip(path, pickle.dumps({"format": 1, "config": nested_pairs(40)}, protocol=2), b"")
    else:  # a list in a list, a thousand times
        sealed_zip(
            path, b"\x80\x02}(X\x06\x00\x00\x00formatK\x01X\x01\x00\x00\x00a" + b"]" * 1000 + b"a" * 999 + b"u.", b""
        )
    assert path.stat().st_size < 2**21
    load = """
import resource, sys
from pathlib import Path
from configs.errors import DamagedFileError
from engine.runs import checkpoint
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    checkpoint.load(Path(sys.argv[1]))
except DamagedFileError as error:
    print(error)
else:
    sys.exit("loaded")
grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
sys.exit(f"{grown_kib} KiB more" if grown_kib > 32 * 1024 else 0)
"""
    done = run_code(load, path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a.pt: not written by this project" in done.stdout or "200000 steps" in done.stdout


def test_content_is_saved_as_a_cpu_s_whatever_device_holds_it(tmp_path: Path) -> None:
    with FakeTensorMode():
        on_gpu = torch.empty(3, device="cuda")
        nested = checkpoint.on_cpu({"state": {0: {"velocity": on_gpu, "step": 5}}, "groups": [on_gpu, None]})
        assert nested["state"][0]["velocity"].device.type == nested["groups"][0].device.type == "cpu"
    assert nested["state"][0]["step"] == 5 and nested["groups"][1] is None
    weight = torch.zeros(3)
    assert checkpoint.on_cpu([weight])[0].data_ptr() == weight.data_ptr(), "what is there is not copied"


def test_tensors_that_were_stored_as_a_gpus_open_without_one(tmp_path: Path) -> None:
    """Files of earlier versions, or of others: where a tensor lay stands in the pickle, by the name of its device."""
    checkpoint.save(tmp_path / "cpu.pt", CONTENT)
    with zipfile.ZipFile(tmp_path / "cpu.pt") as archive, zipfile.ZipFile(tmp_path / "gpu.pt", "w") as rewritten:
        for record in archive.infolist():
            content = archive.read(record)
            if record.filename.endswith("data.pkl"):
                assert content.count(b"X\x03\x00\x00\x00cpu") == 1
                content = content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
            rewritten.writestr(record.filename, content)
    seal(tmp_path / "gpu.pt")
    weight = checkpoint.load(tmp_path / "gpu.pt")["model"]["weight"]
    assert weight.device.type == "cpu" and torch.equal(weight, CONTENT["model"]["weight"])
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device"):
            torch.load(tmp_path / "gpu.pt", weights_only=True)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "a.pt", {"format": checkpoint.FORMAT + 1})
    with pytest.raises(ValueError, match=f"format {checkpoint.FORMAT + 1}"):
        checkpoint.load(tmp_path / "a.pt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.pt: no such file"):
        checkpoint.load(tmp_path / "nowhere.pt")


def test_a_full_disk_leaves_the_old_file_and_no_leftover(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    checkpoint.save(path, CONTENT)
    before = path.read_bytes()
    fill = """
import resource, signal, sys, torch
from pathlib import Path
from engine.runs import checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
checkpoint.save(Path(sys.argv[1]), {"weight": torch.zeros(100_000)})
"""
    done = run_code(fill, path)
    assert done.returncode == 1
    assert "CannotWriteError" in done.stderr and "a.pt cannot be written (File too large)" in done.stderr
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.pt"]


def test_the_checkpoint_before_serves_when_the_newest_is_damaged(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.acquire()
    folder.save_last({"step": 1})
    folder.save_last({"step": 2})
    folder.last.write_bytes(folder.last.read_bytes()[:-9])
    warnings: list[str] = []
    content = folder.load_newest(warnings.append)
    assert content is not None and content["step"] == 1
    assert "last.pt" in warnings[0] and "previous.pt" in warnings[0]
    folder.previous.unlink()
    with pytest.raises(DamagedFileError, match=r"last\.pt: damaged.*start afresh in another run\.dir"):
        folder.load_newest(warnings.append)
    folder.close()


def test_one_folder_one_process(tmp_path: Path) -> None:
    hold = "from pathlib import Path; from engine.runs.folder import RunFolder; import sys; " \
        "f = RunFolder(Path(sys.argv[1])); f.acquire(); print('held', flush=True); input()"  # fmt: skip
    holder = start_code(hold, tmp_path)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(ValueError, match="in use"):
        RunFolder(tmp_path).acquire()
    holder.kill()
    holder.wait()
    RunFolder(tmp_path).acquire()


def test_leftovers_of_a_killed_save_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".last.pt.123.tmp").write_bytes(b"half")
    folder = RunFolder(tmp_path)
    folder.acquire()
    assert not list(tmp_path.glob(".*.tmp"))
    folder.close()


def test_confusions_are_kept_bit_for_bit(tmp_path: Path) -> None:
    counts = torch.randint(0, 1000, (4, 3, 3))
    for _ in range(2):
        RunFolder(tmp_path).save_confusions("context", counts)
    assert np.array_equal(np.load(tmp_path / "confusions-context.npy"), counts.numpy())
    assert [path.name for path in tmp_path.iterdir()] == ["confusions-context.npy"]
