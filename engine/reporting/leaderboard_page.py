"""A leaderboard as text: the page that people read, and plain cells for spreadsheets."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.evaluation.significance import ERROR_RATE, needed_errors
from engine.reporting.comparisons import Comparisons
from engine.reporting.score_table import schedule_name

ENOUGH_SEEDS = 5  # that a page with fewer of them advises
COLUMNS_OF_THEIR_OWN = {"mean_iou": "mean_iou_seed_", "runs": "run_seed_", "class_gain": "class_gain_"}


def row_name(row: Mapping[str, Any], other_settings: Mapping[str, Any]) -> str:
    """The schedule, and whatever else tells this row from others."""
    name, other = schedule_name(row["dilations"], row["widths"]), settings_text(other_settings)
    return f"{name} ({other})" if other else name


def settings_text(settings: Mapping[str, Any]) -> str:
    """width=2, lr=0.1: the last word of a key where that tells it from the others, else all of it."""
    last_words = Counter(key.rpartition(".")[2] for key in settings)
    shown = {key if last_words[last] > 1 else last: value
             for key, value in settings.items() if (last := key.rpartition(".")[2])}  # fmt: skip
    return ", ".join(f"{key}={_plain(value)}" for key, value in shown.items() if value is not None)


def page(rows: Sequence[Mapping[str, Any]], found: Comparisons) -> str:
    """The table, and how sure the first place is."""
    return "\n".join([markdown(rows), *_verdicts(found), *_left_out(found), *_repetitions(rows)])


def _verdicts(found: Comparisons) -> Iterator[str]:
    if not found.compared:
        return
    yield from ("", f"{found.reference} against the others, on the same images and seeds:", "")
    for gap in found.compared:
        bounds = f"{100 * gap['low']:+.2f} to {100 * gap['high']:+.2f} at 95 %"
        seeds = f"{len(gap['seeds'])} seed{'s' if len(gap['seeds']) > 1 else ''}"
        p = "" if gap["p"] is None else f", p {gap['p']:.2g}, corrected {gap['p_corrected']:.2g}"
        yield f"* {gap['second_name']}: {100 * gap['mean']:+.2f} points ({bounds}, {seeds}{p}): {_verdict(gap)}"
    yield from _method(found)


def _verdict(gap: Mapping[str, Any]) -> str:
    if len(gap["seeds"]) == 1:
        return "one seed: nothing can be said of other seeds"
    if gap["p"] is None:
        return (
            "the same score under every seed"
            if gap["mean"] == 0
            else "every seed gave the same: they tell nothing of others"
        )
    if gap["is_real"]:
        return "a real difference"
    return "no difference beyond chance" if gap["p"] > ERROR_RATE else "not certain among so many comparisons"


def _method(found: Comparisons) -> Iterator[str]:
    """How the verdicts come about, and what so few seeds can carry."""
    tested = [gap for gap in found.compared if gap["p"] is not None]
    if not tested:
        return
    choice = (
        f"came first, which any of {found.num_candidates} rows could have: p times {found.num_candidates}, one-sided"
    )
    if not found.came_first:
        choice = "was named, beforehand as we trust"
        if found.num_candidates > 1:
            choice += f"; the best of {found.num_candidates} rows of that name: p times {found.num_candidates}"
    yield ""
    yield (
        "Interval and p are of each pair alone: Student's t over the seeds, or a bootstrap over images and seeds where "
        "that is wider. They assume that differences over seeds are normally distributed. The corrected p allows for "
        f"all {len(tested)} comparisons (Holm) and for the choice of {found.reference}: it {choice}. Real is what "
        "stays below 0.05: at most one page in twenty calls anything real by chance."
    )
    fewest = min(len(gap["seeds"]) for gap in tested)
    if fewest < ENOUGH_SEEDS and not all(gap["is_real"] for gap in tested):
        now, then = (
            needed_errors(num, len(tested), found.num_candidates, came_first=found.came_first)
            for num in (fewest, ENOUGH_SEEDS)
        )
        yield (
            f"With {fewest} seeds even the clearest of the differences must reach {now:.0f} of its standard errors to "
            f"be called real, with {ENOUGH_SEEDS} seeds {then:.0f}: large differences may go uncertified here, and "
            "more seeds would tell."
        )


def _left_out(found: Comparisons) -> Iterator[str]:
    if found.left_out:
        yield from ("", f"Not compared with {found.reference}:", "")
    for reason, names in found.left_out.items():
        yield f"* {reason}: {'; '.join(names)}"


def _repetitions(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    repeated = [row for row in rows if row["repetitions"]]
    if repeated:
        yield from ("", "Repeated under the same settings and seed; of one seed the run that ended first counts:", "")
    for row in repeated:
        for seed, places in row["repetitions"].items():
            yield f"* {row['name']}, seed {seed}: {row['runs'][seed]} counts, not {', '.join(places)}"


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table that people read; mean IoU and gains in per cent."""
    has_other = any(row["other_settings"] for row in rows)
    titles = ["dilations", *(["other settings"] if has_other else []), "field, cells", "in effect", "field, px",
              "holes", "parameters", "multiply-adds", "seconds", "MiB", "seeds", "mean IoU, %", "gain",
              "best class gain", "worst class gain"]  # fmt: skip
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    for row in rows:
        gains = sorted(((gain, name) for name, gain in row["class_gain"].items() if gain is not None), reverse=True)
        extremes = [f"{name} {100 * gain:+.1f}" for gain, name in (gains[0], gains[-1])] if gains else ["", ""]
        gain = "" if row["gain"] is None else f"{100 * row['gain']:+.2f}"
        cells = [
            schedule_name(row["dilations"], row["widths"]),
            *([settings_text(row["other_settings"])] if has_other else []),
            row["field_cells"], f"{row['effective_cells']:.1f}", row["field_px"], row["holes_per_axis"],
            f"{row['parameters']:,}", f"{row['multiply_adds']:,}", f"{row['seconds']:.0f}",
            f"{row['peak_memory_mib']:.0f}", len(row["mean_iou"]), score(row), gain, *extremes,
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def score(row: Mapping[str, Any]) -> str:
    """Mean IoU in per cent, with its interval over the seeds."""
    return f"{100 * row['mean']:.2f}" + ("" if row["interval"] is None else f" ± {100 * row['interval']:.2f}")


def plain_cells(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Numbers and text alone, the same columns in every row: by seed and by class a column each, lists as 1,1,2."""
    table: list[dict[str, Any]] = [{} for _ in rows]
    for key in rows[0] if rows else ():
        if key in COLUMNS_OF_THEIR_OWN:
            names = dict.fromkeys(name for row in rows for name in row[key])
            ordered = names if key == "class_gain" else sorted(names, key=int)
            columns = {f"{COLUMNS_OF_THEIR_OWN[key]}{name}": [row[key].get(name) for row in rows] for name in ordered}
        else:
            columns = {key: [row[key] for row in rows]}
        for title, values in columns.items():
            for line, value in zip(table, values, strict=True):
                line[title] = _plain(value)
    return table


def _plain(value: Any) -> int | float | str:
    """One cell. Nothing is an empty one."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "; ".join(f"{key}={_plain(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ",".join(str(one) for one in value)
    return str(value) if isinstance(value, bool) else value
