"""The verifier of a submission finds every planted fault, in folder and archive, and nothing in good files."""

import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from configs.schema import SubmissionName
from data.build import open_images
from data.dataset import FileSet
from data.labels import VOID
from data.server_files import sizes_by_name, verify
from data.servers import SERVERS, Server
from tests.helpers.data_sets import write_voc_test

SPLIT = "test"


@dataclass
class Files:
    """A right submission of two images below `root`, to be spoiled."""

    server: Server
    sizes: dict[str, tuple[int, int]]
    root: Path

    @property
    def first(self) -> Path:
        return self.root / self.server.path(min(self.sizes), SPLIT)

    @property
    def archive(self) -> Path:
        return self.root / self.server.archive.format(split=SPLIT)

    def ids(self) -> NDArray[np.uint8]:
        return np.array(Image.open(self.first))

    def save(self, pixels: NDArray[np.uint8], palette: bytes | None = None) -> None:
        """Instead of the first label map; with the server's colours if no others are given."""
        image = Image.fromarray(pixels)
        if pixels.ndim == 2 and self.server.palette is not None:
            image.putpalette(palette or np.array(self.server.palette, dtype=np.uint8).tobytes())
        image.save(self.first)

    def pack(self) -> None:
        paths = [path.relative_to(self.root).as_posix() for path in sorted((self.root / "results").rglob("*.*"))]
        with self.archive.open("wb") as file:
            self.server.pack(file, self.root, paths)

    def problems(self) -> list[str]:
        return verify(self.server, SPLIT, self.sizes, self.root)


def right_files(key: SubmissionName, root: Path) -> Files:
    names = ("2008_000001", "2008_000002") if key != "cityscapes" else ("berlin_000000_000019", "bonn_000001_000019")
    sizes = {name: (9, 7 + row) for row, name in enumerate(names)}
    server = SERVERS[key]
    for name, (width, height) in sizes.items():
        path = root / server.path(name, SPLIT)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(server.encoded(np.arange(width * height).reshape(height, width) % server.classes.num_classes))
    files = Files(server, sizes, root)
    files.pack()
    return files


def too_many(files: Files) -> None:
    shutil.copy(files.first, files.first.with_name("berlin_000009_000019.png"))


def of_another_size(files: Files) -> None:
    files.save(files.ids()[:, :-1])


def as_rgb(files: Files) -> None:
    Image.open(files.first).convert("RGB").save(files.first)


def truncated_by(num_bytes: int) -> Callable[[Files], object]:
    return lambda files: files.first.write_bytes(files.first.read_bytes()[:-num_bytes])


def with_id(value: int) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        ids_HW = files.ids()
        ids_HW[2, 3] = value
        files.save(ids_HW)

    return change


def as_jpeg(files: Files) -> None:
    content = io.BytesIO()
    Image.fromarray(files.ids()).save(content, "JPEG")
    files.first.write_bytes(content.getvalue())


def of_train_ids(files: Files) -> None:
    files.save(np.arange(63, dtype=np.uint8).reshape(7, 9) % 19)


def with_other_colours(files: Files) -> None:
    files.save(files.ids(), palette=np.arange(768, dtype=np.uint8).tobytes())


def as_gray(files: Files) -> None:
    Image.fromarray(files.ids()).save(files.first)


FAULTS: list[tuple[Callable[[Files], object], dict[SubmissionName, str]]] = [
    (
        lambda files: files.first.unlink(),
        dict.fromkeys(SERVERS, "is missing; each of the 2 images of split test must have a label map"),
    ),
    (too_many, dict.fromkeys(SERVERS, "berlin_000009_000019.png is too many")),
    (of_another_size, dict.fromkeys(SERVERS, "8x7, but its image is 9x7")),
    (as_rgb, {"voc": "of kind RGB; a PNG with a palette", "cityscapes": "of kind RGB; one channel of labelIds"}),
    *((truncated_by(num_bytes), dict.fromkeys(SERVERS, "cannot be decoded")) for num_bytes in (5, 12, 16, 100)),
    (truncated_by(1), dict.fromkeys(SERVERS, "the end of the PNG file is missing")),
    (lambda files: files.first.write_bytes(b""), dict.fromkeys(SERVERS, "the file is empty")),
    (as_jpeg, dict.fromkeys(SERVERS, "a JPEG file; PNG is required")),
    (with_id(21), {"voc": "ids 21 (1 px) are not among those that are scored, 0-20"}),
    (with_id(VOID), dict.fromkeys(SERVERS, "ids 255 (1 px) are not among those that are scored")),
    (with_id(0), {"cityscapes": "ids 0 (1 px) are not among those that are scored, 7-8, 11-13, 17, 19-28, 31-33"}),
    (of_train_ids, {"cityscapes": "these look like trainIds, and labelIds are required: road is 7, not 0"}),
    (with_other_colours, {"voc": "its palette is not VOC's"}),
    (as_gray, {"voc": "of kind L; a PNG with a palette"}),
]


@pytest.mark.parametrize("key", SERVERS)
def test_right_files_have_no_problems_wherever_they_are_read(key: SubmissionName, tmp_path: Path) -> None:
    files = right_files(key, tmp_path)
    assert files.problems() == [] and verify(files.server, SPLIT, files.sizes, files.archive) == []


@pytest.mark.parametrize(
    ("change", "key", "message"),
    [(change, key, message) for change, messages in FAULTS for key, message in messages.items()],
)
def test_a_planted_fault_is_found_in_the_folder_and_in_the_archive(
    change: Callable[[Files], object], key: SubmissionName, message: str, tmp_path: Path
) -> None:
    files = right_files(key, tmp_path)
    change(files)
    (problem,) = files.problems()  # of the folder: the archive was packed before
    assert message in problem
    files.pack()
    problem, in_archive = files.problems()
    assert message in problem and message in in_archive
    assert in_archive.startswith(files.archive.name)


def test_a_file_missing_from_the_archive_alone_is_found(tmp_path: Path) -> None:
    files = right_files("voc", tmp_path)
    content = files.first.read_bytes()
    files.first.unlink()
    files.pack()
    files.first.write_bytes(content)
    (problem,) = files.problems()
    assert (
        problem.startswith("voc_comp6_test.tgz: ")
        and "is missing; each of the 2 images of split test must have a label map" in problem
    )


@pytest.mark.parametrize("key", SERVERS)
def test_archives_that_are_missing_cut_or_of_another_kind_are_found(key: SubmissionName, tmp_path: Path) -> None:
    files = right_files(key, tmp_path)
    kind = "zip file" if key == "cityscapes" else "gzipped tar file"
    content = files.archive.read_bytes()
    plain_tar = io.BytesIO()
    with tarfile.open(fileobj=plain_tar, mode="w") as tar:
        tar.add(tmp_path / "results", "results")
    for wrong in (content[: len(content) // 2], b"", b"no archive", plain_tar.getvalue()):
        files.archive.write_bytes(wrong)
        (problem,) = files.problems()
        assert f"cannot be read as a {kind}" in problem
    files.archive.unlink()
    assert files.problems() == [f"{files.archive} is missing, the archive to upload"]


def test_archives_of_other_programs_are_read(tmp_path: Path) -> None:
    """`tar czf x.tgz ./results`, which begins every path with a dot, and a zip without the folder."""
    voc, cityscapes = right_files("voc", tmp_path / "voc"), right_files("cityscapes", tmp_path / "cityscapes")
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as tar:
        tar.add(voc.root / "results", "./results")
    assert verify(voc.server, SPLIT, voc.sizes, tmp_path / "x.tgz") == []
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for path in (cityscapes.root / "results").iterdir():
            packed.write(path, f"{path.stem}_pred.png")
    assert verify(cityscapes.server, SPLIT, cityscapes.sizes, tmp_path / "x.zip") == []


def test_two_label_maps_of_one_image_are_found(tmp_path: Path) -> None:
    files = right_files("cityscapes", tmp_path)
    shutil.copy(files.first, files.first.with_name(f"{files.first.stem}_leftImg8bit.png"))
    (problem,) = files.problems()
    assert "a second label map of image berlin_000000_000019" in problem


def test_nothing_in_an_archive_is_followed_extracted_or_blown_up(tmp_path: Path) -> None:
    files = right_files("voc", tmp_path)
    names = [files.server.path(name, SPLIT) for name in files.sizes]
    with tarfile.open(files.archive, "w:gz") as tar:
        link = tarfile.TarInfo(names[0])
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        bomb = tarfile.TarInfo(names[1])
        bomb.size = 65 * 2**20
        tar.addfile(bomb, io.BytesIO(bytes(bomb.size)))
        outside = tarfile.TarInfo("../outside.png")
        tar.addfile(outside, io.BytesIO())
    problems = verify(files.server, SPLIT, files.sizes, files.archive)
    assert len(problems) == 3
    for part, problem in zip(
        ("empty, or a link", "larger than 64 MB", "../outside.png is too many"), problems, strict=True
    ):
        assert part in problem
    assert not (tmp_path.parent / "outside.png").exists()


def test_sizes_are_those_of_the_images_width_first(tmp_path: Path) -> None:
    images = open_images(write_voc_test(tmp_path), SPLIT, needs_labels=False)
    assert isinstance(images, FileSet)
    assert sizes_by_name(images) == {"2008_000001": (24, 16), "2008_000002": (24, 17)}
    images.pairs[1].image.write_bytes(b"")
    with pytest.raises(ValueError, match=r"2008_000002\.jpg"):
        sizes_by_name(images)
