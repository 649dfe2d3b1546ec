"""From images and videos to the files of what a network answers, one at a time."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm

from assembly.finished import Finished, Source
from assembly.predictor import Predictor
from configs.errors import OK, UserError
from data.inputs import Input
from data.names import readable
from data.photographs import Photograph, read_photograph
from data.results import Results
from data.videos import Frame, Video, replacing_video
from engine.runs.files import CannotWriteError, replacing

MOST_NAMED = 5  # of what was left out, at the end
JPEG = {"format": "JPEG", "quality": 90, "subsampling": 0}  # colours as sharp as brightness: thin lines, small text
FORMATS: Mapping[str, Mapping[str, Any]] = {".png": {"format": "PNG"}, ".jpg": JPEG}

Item = TypeVar("Item")


@dataclass
class Report:
    """What has become of the inputs. A video is one input; `num_labelled` counts images and frames."""

    num_inputs: int
    num_labelled: int = 0
    num_there_before: int = 0
    num_left_out: int = 0
    first_left_out: list[str] = field(default_factory=list)
    exit_code: int = OK
    seconds: float = 0.0

    def leave_out(self, item: Input, error: UserError) -> None:
        self.num_left_out += 1
        self.exit_code = max(self.exit_code, error.exit_code)
        if len(self.first_left_out) < MOST_NAMED:
            self.first_left_out.append(readable(item.file))

    def __str__(self) -> str:
        parts = [f"inputs: {self.num_inputs}"]
        if self.num_labelled:
            seconds = self.seconds / self.num_labelled
            parts.append(f"labelled: {self.num_labelled}, {seconds:{'.0f' if seconds >= 10 else '.2g'}} s each")
        if self.num_there_before:
            parts.append(f"there already: {self.num_there_before}")
        if self.num_left_out:
            num_more = self.num_left_out - len(self.first_left_out)
            more = f" and {num_more} more" if num_more else ""
            parts.append(f"left out: {self.num_left_out}, {', '.join(self.first_left_out)}{more}")
        return "; ".join(parts)


def joined(reports: Sequence[Report]) -> Report:
    """Of the parts of the inputs that several processes have labelled at the same time."""
    left_out = [name for report in reports for name in report.first_left_out]
    return Report(
        num_inputs=sum(report.num_inputs for report in reports),
        num_labelled=sum(report.num_labelled for report in reports),
        num_there_before=sum(report.num_there_before for report in reports),
        num_left_out=sum(report.num_left_out for report in reports),
        first_left_out=left_out[:MOST_NAMED],
        exit_code=max(report.exit_code for report in reports),
        seconds=max(report.seconds for report in reports),
    )


def label_inputs(inputs: Sequence[Input], results: Results, predictor: Predictor, finished: Finished) -> Report:
    """Label each, unless it is finished. What cannot be read is listed on stderr and left out.

    Raises CannotWriteError.
    """
    report, start_s = Report(len(inputs)), time.perf_counter()
    for item in _progress(inputs, "input", predictor):
        label = _label_video if item.is_video else _label_image
        try:
            num_labelled = label(item, results, predictor, finished)
        except CannotWriteError:
            raise
        except UserError as error:
            tqdm.write(f"left out: {error}", file=sys.stderr)
            report.leave_out(item, error)
            continue
        report.num_labelled += num_labelled
        report.num_there_before += num_labelled == 0
    report.seconds = time.perf_counter() - start_s
    return report


def _label_image(item: Input, results: Results, predictor: Predictor, finished: Finished) -> int:
    source, files = Source.of(item.file), results.of_image(item.name)
    if finished.has(item.name, source, files):
        return 0
    images = predictor.images(read_photograph(item.file), results.kinds)
    for kind, path in files.items():
        _write(path, images[kind])
    finished.add(item.name, source, files)
    return 1


def _label_video(item: Input, results: Results, predictor: Predictor, finished: Finished) -> int:
    """Frames that are there are passed over, unless the overlays, which are one file, are still to be made of all."""
    video, source, whole, num_labelled = Video(item.file), Source.of(item.file), results.of_video(item.name), 0
    if finished.has(item.name, source, whole):
        whole = {}
    frames = _progress(
        video.frames(), "frame", predictor, desc=readable(item.file.name), total=video.num_frames or None, leave=False
    )
    with ExitStack() as stack:
        append = [stack.enter_context(_video_file(path, video.frames_per_s)) for path in whole.values()]
        for position, decode in enumerate(frames):
            name, files = f"{item.name}/{position:06d}", results.of_frame(item.name, position)
            if not whole and finished.has(name, source, files):
                continue
            images = predictor.images(Photograph(decode()), [*files, *whole], of_video=True)
            for kind, path in files.items():
                _write(path, images[kind])
            for kind, write in zip(whole, append, strict=True):
                write(np.asarray(images[kind]))
            finished.add(name, source, files)
            num_labelled += 1
    finished.add(item.name, source, whole)
    return num_labelled


def _progress(items: Iterable[Item], unit: str, predictor: Predictor, **settings: Any) -> Iterable[Item]:
    """A bar, where there is a terminal; of several processes the first has one."""
    has_bar = sys.stderr.isatty() and predictor.runtime.ranks.is_first
    bar: Iterable[Item] = tqdm(items, unit=unit, disable=not has_bar, **settings)
    return bar


def _write(path: Path, image: Image.Image) -> None:
    _make_folder(path)
    with replacing(path) as file:
        image.save(file, **FORMATS[path.suffix])


@contextmanager
def _video_file(path: Path, frames_per_s: float) -> Iterator[Callable[[Frame], None]]:
    _make_folder(path)
    try:
        with replacing_video(path, frames_per_s) as append:
            yield append
    except OSError as error:
        raise CannotWriteError(f"{readable(path)} cannot be written ({error.strerror or error}); make room") from error


def _make_folder(path: Path) -> None:
    """Of a file that is to be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWriteError(
            f"{readable(path.parent)} cannot be made ({error.strerror}); set output elsewhere"
        ) from error
