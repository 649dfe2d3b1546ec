"""What is wrong with the data of a run to come, and what is worth knowing of them."""

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

from assembly.audit_page import audit_content, finding_lines, statistics_lines, wrapped
from configs.errors import OK, WRONG_INPUT, UserError, cannot_write
from configs.schema import AuditConfig
from data.audit.across import findings_across
from data.audit.findings import Finding, counted, listing
from data.audit.reading import num_cores, read_all
from data.audit.split import Split
from data.audit.statistics import SplitStatistics, statistics_of
from data.audit.within import findings_within
from data.build import open_images
from data.faults import Fault
from data.splits import group_lines
from engine.runs.files import write_json

NAME = "audit.json"
UNEVEN = 2.0  # largest over smallest weight, from which on weights are worth a try
MEAN_TOLERANCE = 2.0  # of 255: a mean that is nearer to the data's is as good


def audit(config: AuditConfig) -> int:
    """Read every file of both splits, print what is found, write audit.json and pictures; returns the exit code.

    Raises UserError where `output` cannot be written.
    """
    folder = Path(config.output)
    _make(folder)
    # All that is read in other processes comes first: they are forked, and small as long as torch is not there.
    splits = [_read(config, name) for name in dict.fromkeys((config.data.train_split, config.data.val_split))]
    findings = _findings(config, splits)
    statistics = {split.name: statistics_of(split) for split in splits}
    names = next((split.images.classes.names for split in splits if split.images), ())
    weights_C = _sqrt_inverse(statistics[splits[0].name])
    suggestions = _suggestions(config, statistics[splits[0].name], weights_C)
    write_json(folder / NAME, audit_content(findings, names, statistics, list(chain(*suggestions.values()))))
    for line in chain(
        finding_lines(findings),
        statistics_lines(names, statistics, weights_C),
        _suggestion_lines(suggestions),
        [""],
        _picture_lines(config, splits, folder),
        _last_lines(config, findings, folder),
    ):
        print(line)
    return WRONG_INPUT if _num_errors(findings) else OK


def _read(config: AuditConfig, name: str) -> Split:
    """A split as far as it opens, every sample read; nothing that is wrong with it is raised."""
    faults: list[Fault] = []
    # What would be skipped is found here, sample by sample.
    data = config.data.model_copy(update={"on_error": "raise"})
    try:
        images = open_images(data, name, on_fault=faults.append)
    except UserError as error:
        return Split(name, None, faults=faults, failure=error)
    print(images.describe(), flush=True)
    return Split(name, images, read_all(images, config.runtime.threads or num_cores()), faults)


def _findings(config: AuditConfig, splits: Sequence[Split]) -> list[Finding]:
    from assembly.audit_sizes import size_findings  # torch, which the processes that read do without

    train, val = (split.without_skipped(config.data) for split in (splits[0], splits[-1]))
    findings = [finding for split in splits for finding in findings_within(split, config.data)]
    findings += [*findings_across(train, val), *size_findings(config, train, val)]
    if train.images and val.images:
        warnings = [line for line in group_lines(train.images, val.images) if line.startswith("warning: ")]
        findings += [_shared_groups(line.removeprefix("warning: ")) for line in warnings]
    return _without_repeats(findings)


def _without_repeats(findings: Sequence[Finding]) -> list[Finding]:
    """A wrong setting is met in both splits; and files of which a part is held out are opened for both."""
    kept: dict[object, Finding] = {}
    for finding in findings:
        key = (finding.kind, finding.what, tuple(finding.places))
        kept[key] = replace(finding, split="") if key in kept else finding
    return list(kept.values())


def _shared_groups(warning: str) -> Finding:
    what, _, advice = warning.rpartition("; ")
    return Finding("warning", "shared_groups", "", what, advice)


def _sqrt_inverse(train: SplitStatistics) -> list[float]:
    from engine.training.losses import class_weights

    return class_weights("sqrt_inverse", np.array(train.class_pixels)) if any(train.class_pixels) else []


def _suggestions(config: AuditConfig, train: SplitStatistics, weights_C: Sequence[float]) -> dict[str, list[str]]:
    """Overrides that the training split suggests, below the reason for them; `weights_C` are those of sqrt_inverse."""
    suggestions = {}
    occurring = [weight for weight, pixels in zip(weights_C, train.class_pixels, strict=False) if pixels]
    stages = [stage for stage in config.stages if not getattr(config.stage, stage).loss.class_weights]
    if stages and occurring and max(occurring) > UNEVEN * min(occurring):
        suggestions["rare classes count more in the loss, by the weights above"] = [
            f"stage.{stage}.loss.class_weights=sqrt_inverse" for stage in stages
        ]
    mean_3, current_3 = train.mean_rgb, config.data.mean_rgb
    is_far = not current_3 or np.abs(np.subtract(mean_3 or current_3, current_3)).max() > MEAN_TOLERANCE
    if mean_3 and is_far and not config.model.mean_rgb:
        reason = "the mean of the training pixels, used where pretrained weights bring none"
        suggestions[reason] = [f"data.mean_rgb={listing(mean_3)}"]
    return suggestions


def _suggestion_lines(suggestions: Mapping[str, Sequence[str]]) -> Iterator[str]:
    if suggestions:
        yield ""
        yield "overrides to consider"
    for reason, overrides in suggestions.items():
        yield from wrapped(f"{reason}:", "  - ", "    ")
        yield f"        {shlex.join(overrides)}"


def _picture_lines(config: AuditConfig, splits: Sequence[Split], folder: Path) -> Iterator[str]:
    """Draws a sheet of each split and, on request, training samples; says where they are."""
    from assembly.audit_pictures import write_contact_sheets, write_training_samples
    from engine.reporting.commands import relative

    sheets = write_contact_sheets({split.name: split.images for split in splits if split.images}, folder)
    if sheets:
        yield f"images with their labels: {', '.join(map(relative, sheets))}"
    train_set = splits[0].without_skipped(config.data).images
    if config.pictures and train_set:
        paths = write_training_samples(config, train_set, config.pictures, folder, print)
        samples = [path for path in paths if path.parent == folder]
        if samples:
            more = f" and {len(samples) - 1} more" if len(samples) > 1 else ""
            yield f"what the network gets: {relative(samples[0])}{more}; a larger file of each sample beside"


def _last_lines(config: AuditConfig, findings: Sequence[Finding], folder: Path) -> Iterator[str]:
    from engine.reporting.commands import command, relative

    num_errors, place = _num_errors(findings), relative(folder / NAME)
    yield f"every finding with all its files: {place}"
    words = [word for word in sys.argv[1:] if not word.startswith("pictures=")]
    look = command("audit.py", [*words, "pictures=24"])
    verdict = f"training would go wrong: {counted(num_errors, 'error')} above" if num_errors else "training can begin"
    yield f"{verdict}" + ("" if config.pictures else f"; to look at what the network gets: {look}")


def _num_errors(findings: Sequence[Finding]) -> int:
    return sum(finding.severity == "error" for finding in findings)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(f"output={folder}", error, "set output elsewhere") from error
