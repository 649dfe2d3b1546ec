"""An audit on the terminal and as audit.json."""

import re
import shlex
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from data.audit.findings import SEVERITIES, Finding, Place, counted
from data.audit.statistics import SplitStatistics
from data.names import readable

WIDEST, NARROWEST = 100, 40  # columns
MOST_PLACES, MOST_REASONS = 3, 8  # of a finding, on the terminal: where one reason stands for all, and where not
MOST_SIZES = 6


def finding_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Errors, then warnings, then notes: each kind with its count, its first files, and what to do."""
    for severity in SEVERITIES:
        chosen = [finding for finding in findings if finding.severity == severity]
        if chosen:
            yield ""
            yield f"{severity}s: {len(chosen)}"
        for finding in chosen:
            split = f"{finding.split}: " if finding.split else ""
            yield from wrapped(f"{split}{finding.what}", "  - ", "    ")
            examples = _examples(finding.places)
            for place in examples:
                yield from wrapped(_shown(place), "      ", "        ")
            if len(finding.places) > len(examples):
                yield f"      and {len(finding.places) - len(examples):,} more"
            if finding.advice:
                yield from wrapped(f"{finding.advice}{':' if finding.overrides else ''}", "    > ", "      ")
            if finding.overrides:
                yield f"        {shlex.join(finding.overrides)}"


def statistics_lines(
    names: Sequence[str], statistics: Mapping[str, SplitStatistics], weights: Sequence[float]
) -> Iterator[str]:
    """Sizes, then a line for each class; `weights` are those of the rule sqrt_inverse, empty where there are none."""
    if any(known.num_images for known in statistics.values()):
        yield ""
    for split, known in statistics.items():
        if not known.num_images:
            continue
        sizes = [f"{width}x{height} ({count:,})" for (height, width), count in known.sizes_px.items()]
        if len(sizes) > MOST_SIZES:
            sizes = [sizes[0], "...", sizes[-1]]
        unusable = known.num_images - known.num_readable
        images = counted(known.num_images, "image") + (f" ({unusable:,} of them with errors)" if unusable else "")
        title = f"{split}: {images}, width x height: "
        pixels = ""
        if known.mean_rgb and known.deviation_rgb:
            pixels = f"; R G B: mean {_short(known.mean_rgb)}, deviation {_short(known.deviation_rgb)}"
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in known.label_kinds.items())
        labels = f"; labels: {kinds}" if kinds else ""
        yield from wrapped(title + ", ".join(sizes) + pixels + labels, "  ", "    ")
    columns = [split for split, known in statistics.items() if sum(known.class_pixels)]
    if not columns:
        return
    width = max(len("class"), *map(len, names))
    headings = [*(f"{split:>10}" for split in columns), *(["  sqrt_inverse"] if weights else [])]
    yield "  " + " ".join([f"{'class':<{width}}", *headings])
    for k, name in enumerate(names):
        shares = [f"{100 * statistics[split].class_shares[k]:>{max(10, len(split)) - 2}.2f} %" for split in columns]
        yield "  " + " ".join([f"{name:<{width}}", *shares, *([f"{weights[k]:>14.2f}"] if weights else [])])
    void = [f"{100 * statistics[split].void_share:>{max(10, len(split)) - 2}.2f} %" for split in columns]
    yield "  " + " ".join([f"{'(void)':<{width}}", *void])


def audit_content(
    findings: Sequence[Finding],
    names: Sequence[str],
    statistics: Mapping[str, SplitStatistics],
    suggestions: Sequence[str],
) -> dict[str, Any]:
    """What audit.json holds.

    `would_go_wrong`: whether there is an error. `findings`: severity (error, warning, note), kind, split (empty: of
    several), what, advice, overrides (words of a command line), places (file, message). `splits`: by name num_images,
    num_readable, sizes (height, width, count), label_kinds (counts), classes (pixels and share by name), void_pixels,
    void_share, mean_rgb, deviation_rgb (0..255, null without images). `suggestions`: overrides that the data suggest.
    """
    return {
        "would_go_wrong": any(finding.severity == "error" for finding in findings),
        "findings": [
            {**asdict(finding), "places": [place._asdict() for place in finding.places]} for finding in findings
        ],
        "splits": {
            split: {
                "num_images": known.num_images,
                "num_readable": known.num_readable,
                "sizes": [{"height": h, "width": w, "count": count} for (h, w), count in known.sizes_px.items()],
                "label_kinds": known.label_kinds,
                "classes": {
                    name: {"pixels": pixels, "share": share}
                    for name, pixels, share in zip(names, known.class_pixels, known.class_shares, strict=False)
                },
                "void_pixels": known.void_pixels,
                "void_share": known.void_share,
                "mean_rgb": known.mean_rgb,
                "deviation_rgb": known.deviation_rgb,
            }
            for split, known in statistics.items()
        },
        "suggestions": list(suggestions),
    }


def wrapped(text: str, first: str, rest: str) -> list[str]:
    """A sentence as lines of the terminal's width, WIDEST at most; paths and settings are not broken."""
    width = max(NARROWEST, min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns))
    return textwrap.wrap(
        readable(text), width, initial_indent=first, subsequent_indent=rest, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _short(values: Sequence[float]) -> str:
    return " ".join(f"{value:.0f}" for value in values)


def _examples(places: Sequence[Place]) -> list[Place]:
    """The first places, and before others those with a reason of their own; numbers make no reason."""
    firsts: dict[str, Place] = {}
    for place in places:
        firsts.setdefault(re.sub(r"\d+", "", _reason(place)), place)
    own = list(firsts.values())[:MOST_REASONS]
    return [*own, *(place for place in places if place not in own)][: max(MOST_PLACES, len(own))]


def _shown(place: Place) -> str:
    reason = _reason(place)
    return f"{place.file}: {reason}" if reason else place.file


def _reason(place: Place) -> str:
    """The first part of what is wrong there, without the file."""
    return place.message.removeprefix(place.file).lstrip(": ").partition("; ")[0]
