"""Image files of every kind, written by hand or by Pillow, and what a reader has to make of each."""

import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.helpers.pictures import Pixels, orientation_tag, png

BLOCK = 8  # pixels of a block of a JPEG: an even one of quality 100 comes back exactly


class Case(NamedTuple):
    """A file and the RGB pixels that are in it, None: it is to be refused.

    `upright` are the pixels for a reader that turns as EXIF says, which a reader of training images must refuse.
    `may_be_refused`: a file whose pixels may be there or not.
    """

    path: Path
    pixels: Pixels | None = None
    upright: Pixels | None = None
    may_be_refused: bool = False


Maker = Callable[[Path, Random], Case]  # writes below a folder


def random_pixels(draw: Random, channels: int = 3) -> Pixels:
    """(H, W, channels), (H, W) for one, of odd sizes."""
    shape = (draw.randrange(17, 60), draw.randrange(17, 60), channels)
    values = np.random.default_rng(draw.getrandbits(32)).integers(0, 256, shape, dtype=np.uint8)
    return values[..., 0] if channels == 1 else values


def blocks(draw: Random, channels: int = 1) -> Pixels:
    """Even blocks, of which a JPEG of quality 100 loses nothing as long as its channels are not mixed."""
    side = np.ones((BLOCK, BLOCK) if channels == 1 else (BLOCK, BLOCK, 1), dtype=np.uint8)
    cells = random_pixels(draw, channels)[:6, :5]
    return np.kron(cells, side)


def as_rgb(gray_HW: NDArray[np.uint8]) -> Pixels:
    return np.repeat(gray_HW[..., np.newaxis], 3, axis=2)


def saved(path: Path, pixels: Pixels, mode: str | None = None, **options: object) -> Path:
    image = Image.fromarray(pixels)
    assert mode is None or image.mode == mode
    image.save(path, **options)  # type: ignore[arg-type]
    return path


ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def interlaced_png(path: Path, draw: Random) -> Case:
    pixels = random_pixels(draw)
    parts = (pixels[row::down, column::across] for row, column, down, across in ADAM7)
    rows = b"".join(b"\0" + row.tobytes() for part in parts for row in part)
    height, width = pixels.shape[:2]
    return Case(png(path / "interlaced.png", width, height, 8, 2, rows, interlaced=True), pixels)


def rgb_16_png(path: Path, draw: Random) -> Case:
    high = random_pixels(draw)
    samples = (high.astype(np.uint16) << 8 | draw.randrange(256)).astype(">u2")
    height, width = high.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    return Case(png(path / "rgb16.png", width, height, 16, 2, rows), high)


def gray_16_png(path: Path, draw: Random) -> Case:
    high = random_pixels(draw, 1)
    return Case(saved(path / "gray16.png", high.astype(np.uint16) << 8 | draw.randrange(256)), as_rgb(high))  # type: ignore[arg-type]


def rgb(suffix: str, **options: object) -> Maker:
    def make(path: Path, draw: Random) -> Case:
        pixels = random_pixels(draw)
        return Case(saved(path / f"rgb{suffix}", pixels, **options), pixels)

    return make


def alpha_png(path: Path, draw: Random) -> Case:
    pixels = random_pixels(draw, 4)
    return Case(saved(path / "rgba.png", pixels, "RGBA"), pixels[..., :3])


def gray_alpha_png(path: Path, draw: Random) -> Case:
    pixels = random_pixels(draw, 2)
    return Case(saved(path / "la.png", pixels, "LA"), as_rgb(pixels[..., 0]))


def gray_png(path: Path, draw: Random) -> Case:
    pixels = random_pixels(draw, 1)
    return Case(saved(path / "gray.png", pixels, "L"), as_rgb(pixels))


def bit_png(path: Path, draw: Random) -> Case:
    pixels = random_pixels(draw, 1) > 127
    return Case(saved(path / "bits.png", pixels, "1"), as_rgb(pixels.astype(np.uint8) * np.uint8(255)))


def palette_png(path: Path, draw: Random) -> Case:
    """With a transparent colour, which is a colour all the same."""
    ids, colors = random_pixels(draw, 1) % 16, random_pixels(draw).reshape(-1, 3)[:16]
    image = Image.fromarray(ids)
    image.putpalette(colors.tobytes())
    image.save(path / "palette.png", transparency=bytes(draw.randrange(256) for _ in range(16)))
    return Case(path / "palette.png", colors[ids])


def cmyk_tiff(path: Path, draw: Random) -> Case:
    pixels = random_pixels(draw, 4)
    image = Image.frombytes("CMYK", (pixels.shape[1], pixels.shape[0]), pixels.tobytes())
    image.save(path / "cmyk.tif")
    return Case(path / "cmyk.tif", np.array(image.convert("RGB")))


def cmyk_jpeg(path: Path, draw: Random) -> Case:
    pixels = blocks(draw, 4)
    image = Image.frombytes("CMYK", (pixels.shape[1], pixels.shape[0]), pixels.tobytes())
    image.save(path / "cmyk.jpg", quality=100)
    return Case(path / "cmyk.jpg", np.array(image.convert("RGB")))


def ycck_jpeg(path: Path, draw: Random) -> Case:
    """Inks as brightness and colour, here without colour: the same brightness of all three, and black.

    Pillow writes the inverse of the four channels; the transform in Adobe's segment says what they mean.
    """
    pixels = blocks(draw, 4)
    pixels[..., 1:3] = 127  # stored as 128: no colour
    image = Image.frombytes("CMYK", (pixels.shape[1], pixels.shape[0]), pixels.tobytes())
    content = io.BytesIO()
    image.save(content, "JPEG", quality=100, subsampling=0)
    written = bytearray(content.getvalue())
    written[written.index(b"Adobe") + 11] = 2
    (path / "ycck.jpg").write_bytes(written)
    inks = np.stack([255 - pixels[..., 0]] * 3 + [pixels[..., 3]], axis=2)
    meant = Image.frombytes("CMYK", image.size, inks.tobytes())
    return Case(path / "ycck.jpg", np.array(meant.convert("RGB")))


def gray_jpeg(**options: object) -> Maker:
    def make(path: Path, draw: Random) -> Case:
        pixels = blocks(draw)
        return Case(saved(path / "gray.jpg", pixels, "L", quality=100, **options), as_rgb(pixels))

    return make


def turned(path: Path, draw: Random) -> Case:
    """Orientation 6: the picture's top is the right side of the file."""
    pixels = blocks(draw)
    place = saved(path / "turned.jpg", pixels, "L", quality=100, exif=orientation_tag(6))
    return Case(place, None, as_rgb(np.rot90(pixels, -1)))


def several(suffix: str) -> Maker:
    """An animation, or pages: the first picture counts."""

    def make(path: Path, draw: Random) -> Case:
        first, colors = random_pixels(draw, 1) % 16, random_pixels(draw).reshape(-1, 3)[:16]
        images = [Image.fromarray(ids.copy()) for ids in (first, first[::-1], first[:, ::-1])]
        for image in images:
            image.putpalette(colors.tobytes())
        kept = images if suffix == ".gif" else [image.convert("RGB") for image in images]
        kept[0].save(path / f"several{suffix}", save_all=True, append_images=kept[1:])
        return Case(path / f"several{suffix}", colors[first])

    return make


def gif(path: Path, draw: Random) -> Case:
    ids, colors = random_pixels(draw, 1) % 16, random_pixels(draw).reshape(-1, 3)[:16]
    image = Image.fromarray(ids)
    image.putpalette(colors.tobytes())
    image.save(path / "one.gif")
    return Case(path / "one.gif", colors[ids])


def filled_up_jpeg(path: Path, draw: Random) -> Case:
    """As some cameras write it: whole, and zeros up to the end of a block."""
    case = gray_jpeg()(path, draw)
    case.path.write_bytes(case.path.read_bytes() + bytes(draw.randrange(256, 4096)))
    return case


def another_name(path: Path, draw: Random) -> Case:
    """A PNG that is called .jpg is a PNG."""
    pixels = random_pixels(draw)
    return Case(saved(path / "png.jpg", pixels, format="PNG"), pixels)


def cut(maker: Maker, is_one_picture: bool = True) -> Maker:
    """The file of another maker without its end; of several pictures the first may still be there."""

    def make(path: Path, draw: Random) -> Case:
        case = maker(path, draw)
        content = case.path.read_bytes()
        case.path.write_bytes(content[: int(len(content) * draw.uniform(0.3, 0.95))])
        return Case(case.path) if is_one_picture else case._replace(may_be_refused=True)

    return make


def zero_tail(maker: Maker) -> Maker:
    """As a file is after a power failure: of its full length, the second part never written."""

    def make(path: Path, draw: Random) -> Case:
        case = maker(path, draw)
        content = case.path.read_bytes()
        kept = int(len(content) * draw.uniform(0.3, 0.9))
        case.path.write_bytes(content[:kept] + bytes(len(content) - kept))
        return Case(case.path)

    return make


def flipped_png(path: Path, draw: Random) -> Case:
    """One bit of the packed pixels; every chunk of a PNG has a checksum."""
    place = saved(path / "flipped.png", random_pixels(draw))
    content = bytearray(place.read_bytes())
    begin = content.index(b"IDAT") + 4
    content[draw.randrange(begin, content.index(b"IEND") - 8)] ^= 1 << draw.randrange(8)
    place.write_bytes(content)
    return Case(place)


def wrong_size_png(path: Path, draw: Random) -> Case:
    """The header says more rows than there are."""
    pixels = random_pixels(draw)
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    return Case(png(path / "rows.png", width, height + draw.randrange(1, 40), 8, 2, rows))


def huge_png(path: Path, draw: Random) -> Case:
    side = draw.randrange(40_000, 2**31)
    return Case(png(path / "huge.png", side, side, 8, 2, bytes(100)))


def huge_bmp(path: Path, draw: Random) -> Case:
    place = saved(path / "huge.bmp", random_pixels(draw))
    content = bytearray(place.read_bytes())
    content[18:26] = struct.pack("<ii", 60_000, 60_000)
    place.write_bytes(content)
    return Case(place)


def floats(path: Path, draw: Random) -> Case:
    Image.fromarray(random_pixels(draw, 1).astype(np.float32)).save(path / "float.tif")
    return Case(path / "float.tif")


def gray_32(path: Path, draw: Random) -> Case:
    Image.fromarray(random_pixels(draw, 1).astype(np.int32) * 1000).save(path / "gray32.tif")
    return Case(path / "gray32.tif")


def lab(path: Path, draw: Random) -> Case:
    pixels = random_pixels(draw)
    Image.frombytes("LAB", (pixels.shape[1], pixels.shape[0]), pixels.tobytes()).save(path / "lab.tif")
    return Case(path / "lab.tif")


def text(path: Path, draw: Random) -> Case:
    (path / "text.jpg").write_text("<html>404</html>" * draw.randrange(1, 100))
    return Case(path / "text.jpg")


def archive(path: Path, draw: Random) -> Case:
    with zipfile.ZipFile(path / "archive.png", "w") as content:
        content.writestr("image.png", draw.randbytes(1000))
    return Case(path / "archive.png")


def bytes_of_chance(path: Path, draw: Random) -> Case:
    (path / "noise.png").write_bytes(draw.randbytes(draw.randrange(1, 5000)))
    return Case(path / "noise.png")


def empty(path: Path, _: Random) -> Case:
    (path / "empty.png").touch()
    return Case(path / "empty.png")


def folder(path: Path, _: Random) -> Case:
    (path / "folder.png").mkdir()
    return Case(path / "folder.png")


def pipe(path: Path, _: Random) -> Case:
    os.mkfifo(path / "pipe.png")
    return Case(path / "pipe.png")


def device(path: Path, _: Random) -> Case:
    (path / "zeros.png").symlink_to("/dev/zero")
    return Case(path / "zeros.png")


def broken_link(path: Path, _: Random) -> Case:
    (path / "link.png").symlink_to(path / "nowhere.png")
    return Case(path / "link.png")


LOSSLESS = {"lossless": True}
SOUND: dict[str, Maker] = {
    "RGB PNG": rgb(".png"),
    "interlaced PNG": interlaced_png,
    "16-bit RGB PNG": rgb_16_png,
    "16-bit gray PNG": gray_16_png,
    "gray PNG": gray_png,
    "1-bit PNG": bit_png,
    "palette PNG with alpha": palette_png,
    "RGBA PNG": alpha_png,
    "gray PNG with alpha": gray_alpha_png,
    "BMP": rgb(".bmp"),
    "PPM": rgb(".ppm"),
    "TIFF": rgb(".tif"),
    "packed TIFF": rgb(".tif", compression="tiff_lzw"),
    "WebP": rgb(".webp", **LOSSLESS),
    "CMYK TIFF": cmyk_tiff,
    "CMYK JPEG": cmyk_jpeg,
    "YCCK JPEG": ycck_jpeg,
    "JPEG": gray_jpeg(),
    "progressive JPEG": gray_jpeg(progressive=True),
    "JPEG that EXIF turns": turned,
    "animated GIF": several(".gif"),
    "animated PNG": several(".png"),
    "TIFF of several pages": several(".tif"),
    "GIF": gif,
    "JPEG filled up with zeros": filled_up_jpeg,
    "PNG named .jpg": another_name,
}
ONE_PICTURE = (
    *("RGB PNG", "interlaced PNG", "BMP", "PPM", "TIFF", "packed TIFF", "WebP", "CMYK JPEG", "JPEG"),
    *("progressive JPEG", "GIF"),
)
SEVERAL_PICTURES = ("animated GIF", "animated PNG", "TIFF of several pages")
ZEROED = ("RGB PNG", "interlaced PNG", "JPEG", "progressive JPEG", "CMYK JPEG", "WebP", "GIF", "packed TIFF")
KINDS: dict[str, Maker] = {
    **SOUND,
    **{f"{name}, cut": cut(SOUND[name]) for name in ONE_PICTURE},
    **{f"{name}, cut": cut(SOUND[name], is_one_picture=False) for name in SEVERAL_PICTURES},
    **{f"{name}, zeros at its end": zero_tail(SOUND[name]) for name in ZEROED},
    "PNG with a flipped bit": flipped_png,
    "PNG of fewer rows than it says": wrong_size_png,
    "PNG that claims to be huge": huge_png,
    "BMP that claims to be huge": huge_bmp,
    "TIFF of floats": floats,
    "TIFF of 32-bit integers": gray_32,
    "TIFF in Lab": lab,
    "text": text,
    "archive": archive,
    "bytes of chance": bytes_of_chance,
    "empty file": empty,
    "folder": folder,
    "pipe": pipe,
    "device": device,
    "broken link": broken_link,
}
