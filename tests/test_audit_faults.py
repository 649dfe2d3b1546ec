"""Twenty faults in a folder of forty photographs: one audit names all, and who follows its lines can train."""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.helpers.faulty_folder import FAULTS, RUN, SMALL_CACHE, Fault, write_photographs
from tests.helpers.programs import run

NUM_FAULTS = 20
# Severity, split and kind of what is found, and in how many files. Five of the faults leave an image unreadable, two a
# file without partner; two are of two files, of which a copy is named with its original; one is of no file.
FOUND = [
    ("error", "train", "damaged_image", 5),
    ("error", "train", "image_samples", 1),
    ("error", "train", "turned_image", 1),
    ("error", "train", "missing_partner", 2),
    ("error", "train", "same_name", 2),
    ("error", "train", "sizes", 1),
    ("error", "train", "label_samples", 1),
    ("error", "train", "jpeg_label", 1),
    ("error", "train", "label_values", 1),
    ("error", "train", "larger_than_crop", 1),
    ("error", "", "cache_size", 0),
    ("warning", "train", "all_void", 1),
    ("warning", "train", "repeated_image", 1),
    ("warning", "", "in_two_splits", 1),
    ("warning", "", "class_in_val_alone", 1),
]
STAGES = ("frontend", "context", "joint")
TWO_STEPS = [
    *(f"stage.{stage}.{key}=2" for stage in STAGES for key in ("steps", "batch", "validate_steps")),
    *(f"stage.{stage}.schedule.warmup_steps=0" for stage in STAGES),
    *("runtime.threads=1", "runtime.workers=0", "run.num_pictures=0"),
]


class Audit(NamedTuple):
    exit_code: int
    printed: str  # in one line, as words parted by single blanks
    content: dict[str, Any]
    overrides: list[str]  # that errors print


def audited(folder: Path, *overrides: str) -> Audit:
    """The audit of `photographs` in `folder`, with the settings of the run to come."""
    done = run(folder, "audit.py", *RUN, "data.root=photographs", *overrides, "runtime.threads=1", "output=out")
    assert done.returncode in (0, 2) and not done.stderr, done.stderr
    errors = done.stdout.partition("\nwarnings: ")[0].splitlines()
    pasted = [word for line in errors if re.match(r" {8}'?[a-z_.]+=", line) for word in shlex.split(line)]
    return Audit(
        done.returncode, " ".join(done.stdout.split()), json.loads((folder / "out" / "audit.json").read_text()), pasted
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    write_photographs(folder / "photographs")
    for fault in FAULTS:
        fault.plant(folder / "photographs")
    return folder


@pytest.fixture(scope="module")
def first(work: Path) -> Audit:
    return audited(work, SMALL_CACHE)


def test_one_audit_finds_twenty_faults_and_no_other_error_or_warning(first: Audit) -> None:
    assert first.exit_code == 2 and first.content["would_go_wrong"]
    assert len({fault.name for fault in FAULTS}) == NUM_FAULTS
    found = [
        (finding["severity"], finding["split"], finding["kind"], len(finding["places"]))
        for finding in first.content["findings"]
        if finding["severity"] != "note"
    ]
    assert sorted(found) == sorted(FOUND)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_table_and_audit_json_name_each_fault_with_its_files_and_what_to_do(first: Audit, fault: Fault) -> None:
    (finding,) = (finding for finding in first.content["findings"] if _names(finding, fault))
    for part in (finding["what"], finding["advice"], *finding["overrides"], *fault.files):
        assert part and part in first.printed


def _names(finding: Mapping[str, Any], fault: Fault) -> bool:
    text = " ".join([finding["what"], *(f"{place['file']}: {place['message']}" for place in finding["places"])])
    return all(words in text for words in (fault.message, *fault.files))


def test_who_follows_the_lines_of_the_audit_alone_can_train_all_stages(work: Path, first: Audit) -> None:
    for fault in FAULTS:
        if fault.repair:
            fault.repair(work / "photographs")
    again = audited(work, SMALL_CACHE, *first.overrides)
    left = [finding for finding in again.content["findings"] if finding["severity"] != "note"]
    assert again.exit_code == 0, again.printed
    # The pond is taken out: no label has it any more.
    assert [finding["kind"] for finding in left] == ["class_nowhere"]
    words = [*RUN, "data.root=photographs", SMALL_CACHE, *first.overrides, *TWO_STEPS, "run.dir=trained"]
    done = run(work, "train.py", *words)
    assert done.returncode == 0, done.stderr
    summary = json.loads((work / "trained" / "summary.json").read_text())
    assert all(summary["stages"][stage]["steps"] == 2 for stage in STAGES)
    assert all(0 < summary["stages"][stage]["mean_iou"] < 1 for stage in STAGES)
