"""The section of a report that answers images anew: where runs disagree most, or where a single one fails most."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assembly.report_answers import AnsweredImage, Ids, answered_images
from configs.errors import UserError
from configs.schema import VOID, ReportConfig
from data.labels import ClassSet
from engine.contracts import Picture as ValidationPicture
from engine.reporting.figures import RIGHT_GRAY, VOID_WHITE, WRONG_RED, Rgb, colorize, tiles
from engine.reporting.report.parts import Gallery, Heading, Legend, Paragraph, Picture, Section, Swatch
from engine.reporting.report.pictures import PictureBudget
from engine.reporting.report.ranking import (
    Counts,
    RankedImage,
    are_of_same_images,
    disputed_images,
    least_differing,
    worst_images,
)
from engine.reporting.report.records import Record
from engine.reporting.report.tables import short_name

NUM_SHARES = 3  # classes that a description names
SAME_SHARE = 0.01  # answers that differ from the recorded ones at more of the pixels are told


@dataclass(frozen=True)
class _Answers:
    """Of one run: its images in the order of the ranking."""

    record: Record
    counts_NKK: Counts
    images: list[AnsweredImage]


def images_section(
    records: Sequence[Record], stages: Sequence[str | None], request: ReportConfig, budget: PictureBudget
) -> Section:
    """What is not there any more, a data set or a checkpoint, is said in its place."""
    single = len(records) == 1
    section = Section("images", "Worst images" if single else "Where the runs disagree most")

    def note(text: str) -> None:
        section.parts.append(Paragraph(text, is_note=True))

    counted = [
        (record, stage, counts_NKK)
        for record, stage in zip(records, stages, strict=True)
        if stage and (counts_NKK := record.confusions(stage)) is not None
    ]
    for record in records:
        if all(record is not other for other, *_ in counted):
            note(f"{record.name} left no confusion matrices, so it is not looked at here.")
    if not counted or (not single and len(counted) == 1):
        return section
    counts_of_runs = [counts_NKK for *_, counts_NKK in counted]
    if not are_of_same_images(counts_of_runs):
        note("The runs were scored on different images, or on images of different sizes.")
        return section
    if request.num_pictures == 0:
        note("Left out, as num_pictures=0 asks.")
        return section
    ranked = (
        worst_images(counts_of_runs[0], request.num_pictures)
        if single
        else disputed_images(counts_of_runs, request.num_pictures)
    )
    if not ranked:
        section.parts.append(Paragraph("No pixel is wrong." if single else "The runs' matrices agree on every image."))
        return section
    answers, classes = _answered(counted, [image.position for image in ranked], request, note)
    if classes is not None:
        section.parts += [Paragraph(_introduction(single)), Legend(_swatches(classes))]
        for place, image in enumerate(ranked):
            _add_image(section, answers, place, image, classes.palette, budget)
    for own in answers:
        changed = _changed(own, ranked)
        if changed:
            note(
                f"{own.record.name} answers {changed} of these images otherwise than when it was scored: other files, "
                "or another machine."
            )
    return section


def _answered(
    counted: Sequence[tuple[Record, str, Counts]],
    positions: Sequence[int],
    request: ReportConfig,
    note: Callable[[str], None],
) -> tuple[list[_Answers], ClassSet | None]:
    """Of the runs that can still answer, with their classes; `note` gets why the others cannot."""
    answers, classes = list[_Answers](), None
    for record, stage, counts_NKK in counted:
        file = record.checkpoint(stage)
        if file is None:
            note(f"{record.name}: its checkpoint {stage}.pt is not there any more, so it cannot answer.")
            continue
        try:
            classes, images = answered_images(file, positions, request)
        except (UserError, OSError) as error:
            note(f"{record.name} cannot answer any more: {error}")
            continue
        answers.append(_Answers(record, counts_NKK, images))
    return answers, classes


def _swatches(classes: ClassSet) -> list[Swatch]:
    return [
        Swatch(short_name(name), "#{:02x}{:02x}{:02x}".format(*color))
        for name, color in zip(classes.names, classes.palette, strict=True)
    ]


def _introduction(single: bool) -> str:
    if single:
        return "The validation images with the largest share of wrong pixels, answered anew."
    return (
        "Ranked by the confusion matrices of each image, half of whose distance is the least number of pixels that two "
        "runs answer differently; these few were then answered anew by each run."
    )


def _add_image(
    section: Section,
    answers: Sequence[_Answers],
    place: int,
    ranked: RankedImage,
    palette: Sequence[Sequence[int]],
    budget: PictureBudget,
) -> None:
    first = answers[0].images[place]
    names = answers[0].record.class_names
    alike = [own for own in answers if own.images[place].truth_HW.shape == first.truth_HW.shape]
    pictures = [
        Picture(budget.photograph(first.image_HW3), f"Validation image {first.name}", "image"),
        Picture(budget.flat(colorize(first.truth_HW, palette)), f"Truth: {shares(first.truth_HW, names)}", "truth"),
    ]
    for own in alike:
        answered = own.images[place]
        wrong = f"{100 * wrong_share(answered):.1f} % wrong"
        name = "answer" if len(answers) == 1 else own.record.name
        alt = f"Answer of {own.record.name}: {shares(answered.predicted_HW, names)}; {wrong}"
        pictures.append(Picture(budget.flat(colorize(answered.predicted_HW, palette)), alt, f"{name}: {wrong}"))
    is_labelled = first.truth_HW != VOID
    if len(alike) == 1:
        picture = ValidationPicture(first.name, first.image_HW3, first.truth_HW, first.predicted_HW)
        errors = tiles(picture, palette)[-1]
        alt = f"Errors in red, {100 * wrong_share(first):.1f} % of the labelled pixels; white is not scored"
        pictures.append(Picture(budget.flat(errors), alt, "errors in red"))
        sentence = f"{100 * ranked.share:.1f} % of the labelled pixels were wrong when it was scored."
    else:
        predicted = np.stack([own.images[place].predicted_HW for own in alike])
        differs_HW = (predicted != predicted[0]).any(0)
        share = 100 * (differs_HW & is_labelled).sum() / max(1, is_labelled.sum())
        alt = f"Pixels that the runs answer differently, in red: {share:.1f} % of the labelled ones"
        pictures.append(Picture(budget.flat(_marked(differs_HW, is_labelled)), alt, "answered differently, in red"))
        sentence = (
            f"By the matrices at least {100 * ranked.share:.1f} % of the labelled pixels are answered differently, in "
            f"fact {share:.1f} %."
        )
    section.parts += [Heading(first.name), Paragraph(sentence), Gallery(pictures)]


def _marked(differs_HW: NDArray[np.bool_], is_labelled_HW: NDArray[np.bool_]) -> Rgb:
    marked = np.where(differs_HW[..., None], WRONG_RED, RIGHT_GRAY).astype(np.uint8)
    marked[~is_labelled_HW] = VOID_WHITE
    return marked


def wrong_share(answered: AnsweredImage) -> float:
    """Of the labelled pixels, 0..1."""
    total = answered.confusion_KK.sum()
    return float(1 - answered.confusion_KK.trace() / total) if total else 0.0


def shares(ids_HW: Ids, class_names: Sequence[str]) -> str:
    """The classes that cover most of an image, in per cent: what a picture shows, in words."""
    counts = np.bincount(ids_HW[ids_HW != VOID], minlength=1)
    largest = np.argsort(-counts, kind="stable")[:NUM_SHARES]
    return ", ".join(
        f"{short_name(class_names[place])} {100 * counts[place] / ids_HW.size:.0f} %"
        for place in largest
        if counts[place]
    )


def _changed(answers: _Answers, ranked: Sequence[RankedImage]) -> int:
    """How many images have other confusions now than those that the run recorded."""
    changed = 0
    for image, answered in zip(ranked, answers.images, strict=True):
        recorded_KK = answers.counts_NKK[image.position]
        differing = least_differing(recorded_KK[None], answered.confusion_KK[None])[0]
        changed += bool(differing > SAME_SHARE * recorded_KK.sum())
    return changed
