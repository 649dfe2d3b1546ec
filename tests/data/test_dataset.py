"""One image and one label: every kind of file is read right or refused by name."""

import struct
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs.errors import DamagedFileError
from data.dataset import FileSet, Pair, read_image, read_label
from data.labels import ClassSet, ColorDecoder, IdDecoder, id_table
from data.palette import voc_palette
from tests.helpers.pictures import noise, orientation_tag

IDS = np.array([[0, 1, 2], [3, 1, 255]], dtype=np.uint8)
DECODER = IdDecoder(id_table(range(16), [255]), "")
CLASSES = ClassSet(tuple(f"class {k}" for k in range(16)), voc_palette(16))


def gray_png(path: Path, bits: int, rows: list[list[int]]) -> None:
    """A gray PNG of 1, 2, 4 or 16 bits a pixel, written by hand: Pillow cannot write them all."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packed = b""
    for row in rows:
        text = "".join(format(value, f"0{bits}b") for value in row)
        text += "0" * (-len(text) % 8)
        packed += b"\0" + int(text, 2).to_bytes(len(text) // 8, "big")
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), bits, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(packed)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def file_set(image: Path, label: Path) -> FileSet:
    return FileSet("trial", "train", [Pair("a", image, label)], CLASSES, partial(read_label, decoder=DECODER))


# Labels


def test_palette_and_gray_labels_are_read_as_indices(tmp_path: Path) -> None:
    palette = Image.fromarray(IDS, "P")
    palette.putpalette([channel for color in voc_palette(256) for channel in color])
    palette.save(tmp_path / "palette.png")
    Image.fromarray(IDS).save(tmp_path / "gray.png")
    for name in ("palette.png", "gray.png"):
        assert np.array_equal(read_label(tmp_path / name, DECODER), IDS)


@pytest.mark.parametrize(("bits", "largest"), [(1, 1), (2, 3), (4, 15), (16, 15)])
def test_gray_labels_of_other_depths_keep_their_ids(tmp_path: Path, bits: int, largest: int) -> None:
    rows = [[0, 1, largest], [largest, largest // 2, 1]]
    gray_png(tmp_path / "label.png", bits, rows)
    assert read_label(tmp_path / "label.png", DECODER).tolist() == rows


def test_a_16_bit_id_above_255_is_refused_by_its_own_number(tmp_path: Path) -> None:
    gray_png(tmp_path / "label.png", 16, [[1, 257]])
    with pytest.raises(ValueError, match=r"label\.png: label id 257 at row 0, column 1"):
        read_label(tmp_path / "label.png", DECODER)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "F", "I"])
def test_a_label_without_ids_is_refused(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "label.tif"
    Image.fromarray(IDS).convert(mode).save(path)
    with pytest.raises(ValueError, match=rf"label\.tif: a label of kind {mode} .*rgb_labels"):
        read_label(path, DECODER)


def test_colour_labels_are_decoded_where_colours_are_declared(tmp_path: Path) -> None:
    decode = ColorDecoder({color: k for k, color in enumerate(CLASSES.palette)}, "")
    ids = np.arange(16, dtype=np.uint8).reshape(2, 8)
    rgb = Image.fromarray(np.array(CLASSES.palette, dtype=np.uint8)[ids])
    rgb.save(tmp_path / "rgb.png")
    rgb.quantize(16).save(tmp_path / "palette.png")
    for name in ("rgb.png", "palette.png"):
        assert np.array_equal(read_label(tmp_path / name, decode), ids)


@pytest.mark.parametrize("decoder", [DECODER, ColorDecoder({(0, 0, 0): 0, (1, 1, 1): 1}, "")])
def test_jpeg_labels_are_refused_for_their_losses(tmp_path: Path, decoder: IdDecoder | ColorDecoder) -> None:
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / "label.png", format="JPEG")
    with pytest.raises(ValueError, match="saved as JPEG"):
        read_label(tmp_path / "label.png", decoder)


# Images


def test_rgb_images_come_byte_for_byte_even_one_pixel_high(tmp_path: Path) -> None:
    for height in (1, 5):
        Image.fromarray(noise(height, 7)).save(tmp_path / "image.png")
        assert np.array_equal(read_image(tmp_path / "image.png"), noise(height, 7))


def test_every_other_kind_of_image_is_converted_as_defined(tmp_path: Path) -> None:
    rgb = noise(4, 6)
    gray = rgb[..., 0]
    alpha = Image.fromarray(np.dstack([rgb, gray]))
    quantized = Image.fromarray(rgb).quantize(256)
    kinds = {
        "gray.png": (Image.fromarray(gray), np.dstack([gray] * 3)),
        "alpha.png": (alpha, rgb),
        "palette.png": (quantized, np.array(quantized.convert("RGB"))),
        "one_bit.png": (Image.fromarray(gray > 99), np.dstack([(gray > 99) * np.uint8(255)] * 3)),
        "cmyk.tif": (Image.fromarray(np.dstack([255 - rgb, 0 * gray]), "CMYK"), rgb),
        "deep.png": (Image.fromarray(gray.astype(np.uint16) * 256 + 77), np.dstack([gray] * 3)),
    }
    for name, (image, expected) in kinds.items():
        image.save(tmp_path / name)
        converted = read_image(tmp_path / name)
        assert converted.dtype == np.uint8, name
        assert np.array_equal(converted, expected), name


def test_images_of_floats_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((2, 2), dtype=np.float32)).save(tmp_path / "image.tif")
    with pytest.raises(ValueError, match=r"image\.tif: samples of kind F"):
        read_image(tmp_path / "image.tif")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_only_upright_images_are_read(tmp_path: Path, orientation: int, suffix: str) -> None:
    """Also where Pillow turns the pixels by itself, as it does with TIFF: nothing turns the label."""
    path = tmp_path / f"image{suffix}"
    Image.fromarray(noise(4, 6)).save(path, exif=orientation_tag(orientation))
    if orientation == 1:
        assert read_image(path).shape == (4, 6, 3)
        return
    with pytest.raises(ValueError, match=rf"image\{suffix}: EXIF orientation {orientation}"):
        read_image(path)


# Size


def test_a_large_photograph_is_no_attack_and_pillows_own_bound_stays_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    """Pillow's bound is lowered here, so that a small image is to it what one of 200 megapixels is otherwise."""
    for bound in (30, 20, 1):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", bound)
        for suffix in (".png", ".tif", ".webp", ".jpg"):
            Image.fromarray(noise(4, 6)).save(tmp_path / f"image{suffix}")
            assert read_image(tmp_path / f"image{suffix}").shape == (4, 6, 3)
        Image.fromarray(IDS).save(tmp_path / "label.png")
        assert np.array_equal(read_label(tmp_path / "label.png", DECODER), IDS)
        (tmp_path / "broken.png").write_bytes(b"\x89PNG")
        with pytest.raises(DamagedFileError):
            read_image(tmp_path / "broken.png")
        assert bound == Image.MAX_IMAGE_PIXELS
    assert not recwarn.list


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (2**31 - 1, 1), (1, 10**9 + 1)])
def test_a_small_file_that_claims_more_than_a_gigapixel_is_refused_by_its_claim(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, width: int, height: int
) -> None:
    gray_png(tmp_path / "bomb.png", 8, [[0]])
    claim = struct.pack(">II", width, height)
    content = (tmp_path / "bomb.png").read_bytes()
    header = b"IHDR" + claim + content[24:29]
    (tmp_path / "bomb.png").write_bytes(content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:])
    for read in (read_image, partial(read_label, decoder=DECODER)):
        with pytest.raises(
            ValueError, match=rf"bomb\.png: the file claims {width}x{height} .*at most 1000 million .*cut"
        ):
            read(tmp_path / "bomb.png")
    assert not recwarn.list


# Damage


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.9])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"image{suffix}"
    Image.fromarray(noise(64, 64)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    for read in (read_image, partial(read_label, decoder=DECODER)):
        with pytest.raises(DamagedFileError, match=f"image{suffix}: "):
            read(path)


def test_text_folders_and_absent_files_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "folder.jpg").mkdir()
    complaints = {"text.jpg": "not an image", "folder.jpg": "a folder", "absent.jpg": "no such file"}
    for name, complaint in complaints.items():
        with pytest.raises(DamagedFileError, match=f"{name}: .*{complaint}"):
            read_image(tmp_path / name)


# The set


def test_image_and_label_of_different_sizes_are_refused_with_both(tmp_path: Path) -> None:
    Image.fromarray(noise(4, 6)).save(tmp_path / "image.png")
    Image.fromarray(np.zeros((6, 4), dtype=np.uint8)).save(tmp_path / "label.png")
    with pytest.raises(ValueError, match=r"image\.png is 6x4 but its label .*label\.png is 4x6"):
        file_set(tmp_path / "image.png", tmp_path / "label.png").read(0)


def test_a_set_gives_its_samples_and_may_be_cut(tmp_path: Path) -> None:
    Image.fromarray(noise(2, 3)).save(tmp_path / "image.png")
    Image.fromarray(IDS).save(tmp_path / "label.png")
    pairs = [Pair(name, tmp_path / "image.png", tmp_path / "label.png") for name in "cab"]
    samples = FileSet("trial", "train", pairs, CLASSES, partial(read_label, decoder=DECODER))
    image, label = samples.read(2)
    assert np.array_equal(image, noise(2, 3)) and np.array_equal(label, IDS)
    assert samples.describe() == "trial, train: 3 images, 16 classes"
    assert samples.first(2).describe() == "trial, train: first 2 of 3 images, 16 classes"
    assert [samples.first(2).name(index) for index in range(2)] == ["c", "a"]
    assert [len(samples.first(limit)) for limit in (None, 1, 9)] == [3, 1, 3]
    with pytest.raises(ValueError, match="no samples"):
        FileSet("trial", "train", [], CLASSES, samples.read_label)
