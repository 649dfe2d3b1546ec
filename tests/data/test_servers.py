"""The files that the evaluation servers take, read as somebody else would read them."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.labels import CITYSCAPES, VOC
from data.servers import SERVERS, check_images


def decoded(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_a_label_map_for_voc_is_a_png_of_class_ids_with_voc_s_colours() -> None:
    ids_HW = np.arange(21).reshape(3, 7)
    image = decoded(SERVERS["voc"].encoded(ids_HW))
    assert (image.format, image.mode, image.size) == ("PNG", "P", (7, 3))
    assert np.array_equal(np.array(image), ids_HW)
    colors = np.array(image.convert("RGB")).reshape(21, 3).tolist()
    assert colors == [list(color) for color in VOC.palette]
    assert colors[15] == [192, 128, 128]  # a person, as in VOC's own labels


def test_a_label_map_for_cityscapes_is_a_gray_png_of_label_ids() -> None:
    image = decoded(SERVERS["cityscapes"].encoded(np.arange(19).reshape(1, 19)))
    assert (image.format, image.mode) == ("PNG", "L")
    label_ids = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]  # helpers/labels.py
    assert np.array(image).ravel().tolist() == label_ids
    names = dict(zip(CITYSCAPES.names, label_ids, strict=True))
    assert (names["road"], names["person"], names["bicycle"]) == (7, 24, 33)


@pytest.mark.parametrize(
    ("server", "split", "path"),
    [
        ("voc", "test", "results/VOC2012/Segmentation/comp6_test_cls/2008_000001.png"),
        ("voc_comp5", "test", "results/VOC2012/Segmentation/comp5_test_cls/2008_000001.png"),
        ("voc", "val", "results/VOC2012/Segmentation/comp6_val_cls/2008_000001.png"),
        ("cityscapes", "test", "results/2008_000001.png"),
    ],
)
def test_label_maps_lie_where_the_server_looks(server: str, split: str, path: str) -> None:
    assert SERVERS[server].path("2008_000001", split) == path  # type: ignore[index]


def test_an_archive_holds_the_files_alone_and_is_the_same_every_time(tmp_path: Path) -> None:
    for key in ("voc", "cityscapes"):
        server = SERVERS[key]  # type: ignore[index]
        paths = [server.path(name, "test") for name in ("berlin_000000_000019", "berlin_000001_000019")]
        for seed, path in enumerate(paths):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(server.encoded(np.full((4, 6), seed)))
        archives = []
        for _ in range(2):
            file = io.BytesIO()
            server.pack(file, tmp_path, paths)
            archives.append(file.getvalue())
        assert archives[0] == archives[1]
        if key == "voc":
            with tarfile.open(fileobj=io.BytesIO(archives[0]), mode="r:gz") as tar:
                contents = {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]
        else:
            with zipfile.ZipFile(io.BytesIO(archives[0])) as packed:
                contents = {name: packed.read(name) for name in packed.namelist()}
        assert contents == {path: (tmp_path / path).read_bytes() for path in paths}


def test_images_that_the_server_could_not_pair_are_refused_before_anything_is_written() -> None:
    voc, cityscapes = SERVERS["voc"], SERVERS["cityscapes"]
    check_images(voc, "test", {"2008_000001": (500, 375)})
    check_images(cityscapes, "test", {"berlin_000000_000019": (2048, 1024)})
    check_images(cityscapes, "val", {"lindau_000000_000019": (512, 256)})  # scored here, not there
    with pytest.raises(ValueError, match=r"berlin_000000_000019 is 1024x512, .*2048x1024"):
        check_images(cityscapes, "test", {"berlin_000000_000019": (1024, 512)})
    with pytest.raises(ValueError, match=r"image frame7: .*CITY_SEQUENCE_FRAME"):
        check_images(cityscapes, "val", {"frame7": (2048, 1024)})
    with pytest.raises(ValueError, match=r"image deep/2008_000001: "):
        check_images(voc, "test", {"deep/2008_000001": (500, 375)})
