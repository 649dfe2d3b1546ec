"""Which rows of a leaderboard may be compared, and how far their mean IoU lies apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from configs.errors import DamagedFileError, UserError
from engine.evaluation.significance import ERROR_RATE, Counts, corrected, paired_difference
from engine.reporting.leaderboard_rows import IMAGES, Row
from engine.reporting.score_table import schedule_name
from engine.runs.folder import confusions_name, read_confusions

SCHEDULE = "model.context."


@dataclass(frozen=True)
class Comparison:
    """One row against another, as in comparisons.json. Mean IoU, interval and p are those of `Difference`."""

    first: list[int]  # dilations
    second: list[int]
    first_name: str
    second_name: str
    seeds: list[str]  # that both have
    num_images: int
    mean: float  # of first minus second
    low: float
    high: float
    p: float | None
    p_corrected: float | None  # for the number of comparisons and the choice of the reference
    is_real: bool


class Comparisons(NamedTuple):
    """`reference` against others; it came first of `num_candidates`, or was named (and is one of so many rows)."""

    reference: str
    came_first: bool
    num_candidates: int
    compared: list[Comparison]
    left_out: dict[str, list[str]]  # names of rows, by the reason


def compare_rows(folder: Path, rows: Sequence[Row], against: Sequence[int] = ()) -> Comparisons:
    """One row (default: the best) against every other that differs in the schedule alone, on the seeds that both have.

    See `paired_difference` and `corrected`. Raises UserError if no row has the dilations `against`.
    """
    candidates = [row for row in rows if not against or row.dilations == list(against)]
    if against and not candidates:
        known = " ".join(f"[{dilations}]" for dilations in dict.fromkeys(schedule_name(row.dilations) for row in rows))
        raise UserError(f"against=[{schedule_name(against)}]: no finished run has these dilations; there are: {known}")
    if not candidates:
        return Comparisons("", True, 0, [], {})
    reference, came_first = candidates[0], not against
    pairs, left_out = [], dict[str, list[str]]()
    for other in rows:
        if other is reference:
            continue
        matched = _matched_confusions(folder, reference, other)
        if isinstance(matched, str):
            left_out.setdefault(matched, []).append(other.name)
        else:
            pairs.append((other, *matched))
    differences = [paired_difference(first, second) for _, _, first, second in pairs]
    corrected_ps = corrected(differences, len(candidates), came_first=came_first)
    compared = [
        Comparison(
            reference.dilations, other.dilations, reference.name, other.name, seeds, first_SNKK.shape[1],
            *difference, p_corrected=p, is_real=p is not None and p <= ERROR_RATE,
        )
        for (other, seeds, first_SNKK, _), difference, p in zip(pairs, differences, corrected_ps, strict=True)
    ]  # fmt: skip
    return Comparisons(reference.name, came_first, len(candidates), compared, left_out)


def _matched_confusions(folder: Path, first: Row, second: Row) -> tuple[list[str], Counts, Counts] | str:
    """The seeds that both rows have, and their confusion matrices (S, N, K, K); or why they are not comparable."""
    reason = _other_difference(first.other_settings, second.other_settings)
    if reason:
        return reason
    seeds = [seed for seed in first.runs if seed in second.runs]
    if not seeds:
        return "no seed in common"
    files = [[folder / row.runs[seed] / confusions_name(row.stage) for seed in seeds] for row in (first, second)]
    if not all(file.exists() for file in files[0] + files[1]):
        return "a run without its confusions file"
    try:
        of_first, of_second = ([read_confusions(file) for file in of_seeds] for of_seeds in files)
    except DamagedFileError as error:
        return str(error)
    if len({counts.shape for counts in of_first + of_second}) > 1:
        return "scored on other images"
    return seeds, np.stack(of_first), np.stack(of_second)


def _other_difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """Why two rows cannot be compared by their settings; empty if they differ in the schedule alone.

    Rows of older runs that do not tell their images count as scored on the same ones.
    """
    keys = [key for key in first if first[key] != second[key] and not key.startswith(SCHEDULE)]
    if keys == [IMAGES]:
        return "scored on other images" if first[IMAGES] and second[IMAGES] else ""
    return f"differs in {', '.join(key for key in keys if key != IMAGES)}" if keys else ""
