"""What the training labels say of the classes, once for a run: their pixels, the weights that rules give, a table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from assembly.data_check import naming_audit
from assembly.feed import Feed
from configs.errors import UserError
from configs.schema import Config, LossConfig, StageConfig, WeightRule
from configs.validation import with_changes
from data.balance import ClassBalance
from engine.runs.header import RunHeader
from engine.runs.resume import Run
from engine.training.losses import class_weights


def with_class_statistics(run: Run, feed: Feed) -> RunHeader:
    """The header of a run with the pixels of each class and the weights of each stage, where its config needs them.

    A run that goes on keeps the weights that it began with. Raises UserError where its labels have become others.
    """
    rules = _rules(feed.config)
    with naming_audit():
        balance = feed.balance
        if not rules and balance is None:
            return run.header
        pixels_C = feed.class_counts_NC.sum(axis=0)
    names, resumed = feed.train_set.classes.names, run.resumed or {}
    for name, then, now in zip(names, resumed.get("class_pixels", []), pixels_C, strict=False):
        if then != now:
            raise UserError(
                f"resume=auto: the training labels have changed since this run began: of {name} they had {then} pixels "
                f"then, {now} now; restore the files or start afresh in another run.dir"
            )
    earlier = {stage: weights for stage, weights in resumed.get("class_weights", {}).items()
               if resumed["config"]["stage"][stage]["loss"]["class_weights"] == rules.get(stage)}  # fmt: skip
    weights = {stage: earlier.get(stage) or class_weights(rule, pixels_C) for stage, rule in rules.items()}
    for line in class_table(names, pixels_C, balance, {f"weight, {stage}": weights[stage] for stage in rules}):
        feed.log(line)
    return replace(run.header, class_pixels=pixels_C.tolist(), class_weights=weights)


def stage_settings(stage: str, settings: StageConfig, header: RunHeader) -> StageConfig:
    """The settings of a stage with numbers for its class weights."""
    if not isinstance(settings.loss.class_weights, str):
        return settings
    weights = header.class_weights.get(stage, [])  # none has no numbers
    return with_changes(settings, {"loss": {"class_weights": weights}}, f"stage.{stage}")


def class_table(
    names: Sequence[str],
    pixels_C: NDArray[np.int64],
    balance: ClassBalance | None,
    weights: Mapping[str, Sequence[float]],
) -> Iterator[str]:
    """A line for each class: its share of the training pixels, what `balance` makes of it, and weights by column."""
    columns = {"pixels": _percent(pixels_C / pixels_C.sum())}
    if balance is not None:
        yield (
            f"class_balance={balance.share:g}: anchors are the pixels that crops are placed by; of whole images the "
            "pixels drawn are as below, and smaller crops hold more of their anchor's class"
        )
        columns |= {"anchors": _percent(balance.anchor_shares_C()), "drawn": _percent(balance.pixel_shares_C())}
    columns |= {title: [f"{weight:.2f}" for weight in column] for title, column in weights.items()}
    width = max(map(len, names))
    yield " ".join(["class".ljust(width), *(title.rjust(10) for title in columns)])
    for k, name in enumerate(names):
        cells = [column[k].rjust(max(10, len(title))) for title, column in columns.items()]
        yield " ".join([name.ljust(width), *cells])
    absent = [name for name, pixels in zip(names, pixels_C, strict=True) if pixels == 0]
    if absent:
        yield f"warning: no training label has a pixel of {', '.join(absent)}: nothing can be learned of it"


def _rules(config: Config) -> dict[str, WeightRule]:
    """Of the stages whose class weights are to come from the labels."""
    rules: dict[str, WeightRule] = {}
    for stage in config.stages:
        loss: LossConfig = getattr(config.stage, stage).loss
        if isinstance(loss.class_weights, str) and loss.class_weights != "none":
            rules[stage] = loss.class_weights
    return rules


def _percent(shares: NDArray[np.float64]) -> list[str]:
    return [f"{100 * share:.2f} %" for share in shares]
