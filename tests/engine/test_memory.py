"""What is left of memory, as the system's files say it."""

from pathlib import Path

import pytest
import torch

from engine.memory import available_bytes, taken_bytes

CPU = torch.device("cpu")
GIB = 2**30


def system(folder: Path, groups: str, available_gib: int = 8) -> Path:
    """A /proc with this much available, and this process in these control groups."""
    (folder / "proc" / "self").mkdir(parents=True)
    (folder / "proc" / "meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable:  {available_gib * 2**20} kB\n")
    (folder / "proc" / "self" / "cgroup").write_text(groups)
    return folder / "proc"


def group(folder: Path, version: int, limit: str, use_gib: int, files_gib: int) -> None:
    names = ("memory.max", "memory.current", "inactive_file")
    limit_name, use_name, files_name = (
        names if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / limit_name).write_text(f"{limit}\n")
    (folder / use_name).write_text(f"{use_gib * GIB}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{files_name} {files_gib * GIB}\n")


def test_without_a_control_group_the_system_s_word_counts(tmp_path: Path) -> None:
    assert available_bytes(CPU, system(tmp_path, "0::/\n"), tmp_path / "none") == 8 * GIB


@pytest.mark.parametrize(("version", "line", "root"), [(2, "0::/a/b", ""), (1, "4:cpu,memory:/a/b", "memory")])
def test_the_narrowest_of_all_control_groups_counts_and_cached_files_can_go(
    tmp_path: Path, version: int, line: str, root: str
) -> None:
    groups = tmp_path / "cgroup"
    group(groups / root / "a" / "b", version, "max" if version == 2 else str(2**63 - 4096), 1, 0)
    group(groups / root / "a", version, str(4 * GIB), use_gib=3, files_gib=1)
    assert available_bytes(CPU, system(tmp_path, line), groups) == 2 * GIB


def test_a_container_that_sees_its_group_as_the_root_is_limited_by_it(tmp_path: Path) -> None:
    group(tmp_path / "cgroup", 2, str(2 * GIB), use_gib=1, files_gib=0)
    assert available_bytes(CPU, system(tmp_path, "0::/not/to/be/seen"), tmp_path / "cgroup") == GIB


def test_what_no_system_says_is_not_known(tmp_path: Path) -> None:
    assert available_bytes(CPU, tmp_path, tmp_path) is None
    assert taken_bytes(CPU, tmp_path) is None


def test_what_a_process_takes_grows_with_what_it_fills() -> None:
    before = taken_bytes(CPU)
    filled = torch.ones(2**26, dtype=torch.uint8)
    after = taken_bytes(CPU)
    assert before is not None and after is not None
    assert after - before == pytest.approx(filled.numel(), rel=0.1)
