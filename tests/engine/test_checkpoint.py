"""A checkpoint is whole or refused."""

import os
import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from configs.errors import DamagedFileError
from engine import checkpoint
from engine.folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
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
from engine import checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
checkpoint.save(Path(sys.argv[1]), {"weight": torch.zeros(100_000)})
"""
    done = subprocess.run(
        [sys.executable, "-c", fill, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1 and "Error" in done.stderr
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
    with pytest.raises(DamagedFileError):
        folder.load_newest(warnings.append)
    folder.release()


def test_one_folder_one_process(tmp_path: Path) -> None:
    hold = "from pathlib import Path; from engine.folder import RunFolder; import sys; " \
        "f = RunFolder(Path(sys.argv[1])); f.acquire(); print('held', flush=True); input()"  # fmt: skip
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
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
    folder.release()
